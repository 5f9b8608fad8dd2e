// Requests that no browser would send, and a client certificate without a browser: https on the loopback.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";

const LIMIT = 20_000;
// Every name leads to this machine: glibc does not know *.localhost.
const lookup = (_, options, answer) => {
  if (options.all) answer(null, [{ address: "127.0.0.1", family: 4 }]);
  else answer(null, "127.0.0.1", 4);
};

/** A client without a browser. `p12` is its client certificate, if any. Cookies are kept per host and port. */
export class Client {
  constructor(demo, { p12, passphrase, language = "ja" } = {}) {
    this.demo = demo;
    this.tls = { ca: readFileSync(demo.ca_pem), ...(p12 && { pfx: readFileSync(p12), passphrase }) };
    this.language = language;
    this.cookies = new Map();
  }

  /** { status, headers, bytes, text }; redirects are not followed. `form` is sent as a form, `body` as it is. */
  send(method, url, { form, body, headers = {}, language = this.language } = {}) {
    const { protocol, host, hostname } = new URL(url);
    const jar = this.cookies.get(host) ?? new Map();
    this.cookies.set(host, jar);
    const payload = form ? new URLSearchParams(form).toString() : body;
    const all = { Accept: "text/html", "Accept-Language": language, ...headers };
    if (form) all["Content-Type"] ??= "application/x-www-form-urlencoded";
    if (jar.size > 0) all.Cookie ??= [...jar].map((pair) => pair.join("=")).join("; ");
    if (payload !== undefined) all["Content-Length"] = Buffer.byteLength(payload);
    return new Promise((resolve, reject) => {
      const options = { method, headers: all, lookup, agent: false, timeout: LIMIT, ...(protocol === "https:" && { ...this.tls, servername: hostname }) };
      const request = (protocol === "https:" ? https : http).request(url, options, async (response) => {
        const chunks = await response.toArray().catch(reject);
        if (!chunks) return;
        for (const line of response.headers["set-cookie"] ?? []) keep(jar, line);
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, bytes, text: bytes.toString("utf8") });
      });
      request.on("timeout", () => request.destroy(new Error(`no answer from ${url}`)));
      request.on("error", reject);
      request.end(payload);
    });
  }

  get(url, options) {
    return this.send("GET", url, options);
  }

  post(url, options) {
    return this.send("POST", url, options);
  }

  /** Logs in on the portal host; the answer is a redirect on success. */
  logIn({ id, password }) {
    return this.post(`${this.demo.portal}/login`, { form: { id, password } });
  }
}

function keep(jar, line) {
  const [pair, ...attributes] = line.split(";").map((part) => part.trim());
  const at = pair.indexOf("=");
  const [name, value] = [pair.slice(0, at), pair.slice(at + 1)];
  if (value === "" || attributes.some((attribute) => /^max-age=0$/i.test(attribute))) jar.delete(name);
  else jar.set(name, value);
}

/** The mails of the demo's mailbox, newest first. */
export async function mails(demo) {
  const { status, text } = await new Client(demo).get(demo.mailbox, { headers: { Accept: "application/json" } });
  if (status !== 200) throw new Error(`the mailbox answered ${status}`);
  return JSON.parse(text);
}

/** Whether a mail went to this subject: the demo's addresses begin with the ID. */
export const isTo = ({ to }, { id }) => to.startsWith(`${id.toLowerCase()}@`);

/** The newest mail for which `wanted` is true, asked for until it is there. */
export async function mail(demo, what, wanted) {
  const until = performance.now() + LIMIT;
  for (;;) {
    const found = (await mails(demo)).find(wanted);
    if (found) return found;
    if (performance.now() > until) throw new Error(`no mail: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// Requests that no page sends: each gets a clear page or JSON of the 4xx class in the user's language, and changes nothing.

import { heading } from "../lib/browser.mjs";
import { isDue, isUrgent } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { Client, mails } from "../lib/http.mjs";
import { hasState } from "../lib/ledger.mjs";
import { contains, same } from "../lib/scenario.mjs";

export const scenarios = [
  { name: "hostile ids", sets: ["all"], run: ids },
  { name: "hostile forms and headers", sets: ["all"], run: forms },
];

const client = (t, demo, subject) => new Client(demo, { p12: subject.p12, passphrase: subject.p12_passphrase, language: t.language });

/** A holder with a session and a renewal that has begun. */
async function begun(t, demo, subject) {
  const holder = client(t, demo, subject);
  same((await holder.logIn(subject)).headers.location, "/notice", "where the login leads");
  const { status, headers } = await holder.post(`${demo.portal}/renewals`);
  same(status, 303, "status of the renewal");
  return { holder, renewal: headers.location };
}

async function ids(t) {
  const demo = await t.demo();
  const one = await begun(t, demo, demo.subject(isDue));
  const two = await begun(t, demo, demo.subject(isUrgent));
  const requests = (path) => [
    ["GET", path], ["GET", `${path}/start`], ["GET", `${path}/certificate`], ["GET", `${path}/complete`], ["GET", `${path}/status`],
    ["GET", `${path}/start-again`], ["POST", `${path}/declined`, { form: { step: "1" } }], ["POST", `${path}/delivered`],
    ["POST", `${path}/start-again`], ["POST", `${path}/request`, { body: "x", headers: { "Content-Type": "application/pkcs10" } }],
  ];
  const ask = async (holder, path) => {
    const answers = [];
    for (const [method, url, options] of requests(path)) {
      const { status, text, headers } = await holder.send(method, `${demo.portal}${url}`, options);
      // The page's own address stands in the links that switch the language.
      answers.push([method, url.replace(path, "…"), status, headers["content-type"], text.replaceAll(path, "…")].join(" "));
    }
    return answers;
  };
  await t.check("another subject's renewal looks the same as an unknown one", async () => {
    const foreign = await ask(one.holder, two.renewal);
    const unknown = await ask(one.holder, `/renewals/${"0123456789abcdef".repeat(2)}`);
    foreign.forEach((answer, i) => same(answer, unknown[i], "answer to a foreign renewal"));
    for (const answer of foreign) contains(answer, / 404 /, "answer to a foreign renewal");
  });
  await t.check("misspelt ones too, and none is 5xx", async () => {
    const odd = ["a", "%00", "..%2f..%2fetc%2fpasswd", "'%20OR%201=1--", "%F0%9F%92%A3", "a".repeat(2000), two.renewal.slice(10).toUpperCase()];
    for (const id of odd) for (const answer of await ask(one.holder, `/renewals/${id}`)) contains(answer, / 404 /, `answer to ${id.slice(0, 40)}`);
  });
  await t.check("the page says so in the reader's language", async () => {
    const { status, text } = await one.holder.get(`${demo.portal}${two.renewal}`);
    same(status, 404, "status");
    contains(text, t.words.notFound, "page");
    const person = await Person.arrive(t, demo, demo.subject(isDue));
    await person.page.goto(`${demo.portal}/nothing/here`);
    await heading(person.page, t.words.notFound);
    await t.screen(person.page, "problem-not-found");
  });
  await t.check("the other's renewal is untouched, and goes on", async () => {
    same((await two.holder.get(`${demo.portal}${two.renewal}/start`)).status, 200, "status of the other's start screen");
  });
  await t.check("without a session every path leads to the front door", async () => {
    const nobody = client(t, demo, demo.subject(isDue));
    for (const [method, url, options] of requests(one.renewal)) {
      const { status } = await nobody.send(method, `${demo.portal}${url}`, options);
      if (status !== 303 && status !== 401) throw new Error(`${method} ${url} answered ${status}`);
    }
  });
  await t.check("a session is worth nothing with another certificate, or with none", async () => {
    const [host] = one.holder.cookies.keys();
    for (const other of [client(t, demo, demo.subject(isUrgent)), new Client(demo, { language: t.language })]) {
      other.cookies.set(host, new Map(one.holder.cookies.get(host)));
      const { status } = await other.get(`${demo.portal}/main`);
      if (status === 200) throw new Error("the main screen was shown to another certificate");
    }
  });
}

async function forms(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const { holder, renewal } = await begun(t, demo, subject);
  const before = (await mails(demo)).length;
  const url = (path) => `${demo.portal}${path}`;
  const request = url(`${renewal}/request`);
  const pkcs10 = { "Content-Type": "application/pkcs10" };
  const json = { Accept: "application/json" };
  const cases = [
    ["an empty login", 400, "POST", url("/login"), { form: { id: "", password: "" } }],
    ["a login without fields", 400, "POST", url("/login"), { form: { other: "1" } }],
    ["a login as JSON", 415, "POST", url("/login"), { body: "{}", headers: { "Content-Type": "application/json" } }],
    ["a login with broken escapes", 403, "POST", url("/login"), { form: { id: "\u0000<script>", password: "%%%" } }],
    ["a login of another's ID", 403, "POST", url("/login"), { form: { id: demo.subject(isUrgent).id, password: demo.subject(isUrgent).password } }],
    ["a form of 2 MiB", 413, "POST", url("/login"), { form: { id: "x".repeat(2 << 20), password: "x" } }],
    ["an unknown method", 405, "DELETE", url("/login"), {}],
    ["GET where only POST is", 405, "GET", url("/renewals"), {}],
    ["a step that does not exist", [400, 422], "POST", url(`${renewal}/declined`), { form: { step: "9" } }],
    ["a step that is no number", [400, 422], "POST", url(`${renewal}/declined`), { form: { step: "one" } }],
    ["a request without a type", 415, "POST", request, { body: "x" }],
    ["a request of nothing", [400, 422], "POST", request, { body: "", headers: pkcs10 }],
    ["a request of noise", [400, 422], "POST", request, { body: Buffer.alloc(300, 0x30), headers: pkcs10 }],
    ["a request of 1 MiB", 413, "POST", request, { body: Buffer.alloc(1 << 20, 0x30), headers: pkcs10 }],
    ["a private key", 422, "POST", request, { body: "-----BEGIN PRIVATE KEY-----\nMEECAQAw\n-----END PRIVATE KEY-----\n", headers: pkcs10 }],
    ["a delivery before the issue", 409, "POST", url(`${renewal}/delivered`), {}],
    ["a certificate before the issue", [404, 409], "GET", url(`${renewal}/certificate`), {}],
    ["a form from another site", 403, "POST", url("/renewals"), { headers: { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" } }],
    ["a form from another origin", 403, "POST", url("/renewals"), { headers: { Origin: demo.public } }],
    ["another host's name", 421, "GET", url("/"), { headers: { Host: "evil.example" } }],
    ["a path that climbs", 404, "GET", url("/assets/..%2fCargo.toml"), {}],
  ];
  for (const [name, expected, method, target, options] of cases) {
    await t.check(name, async () => {
      const page = await holder.send(method, target, options);
      if (![expected].flat().includes(page.status)) throw new Error(`expected ${expected}, got ${page.status}\n${page.text.slice(0, 500)}`);
      contains(page.headers["content-type"] ?? "", "text/html", "content type");
      contains(page.text, `<html lang="${t.language}">`, "page");
      contains(page.headers["content-security-policy"] ?? "", "default-src 'none'", "policy");
      if (/panicked|\.rs:\d|sqlx|Backtrace/i.test(page.text)) throw new Error(`the page tells of the inside: ${page.text}`);
      if (!target.startsWith(request)) return;
      const script = await holder.send(method, target, { ...options, headers: { ...options.headers, ...json } });
      same(script.status, page.status, "status for a script");
      contains(script.headers["content-type"] ?? "", "application/problem+json", "content type for a script");
      contains(JSON.parse(script.text).code, /^[a-z_]+\.[a-z_]+$/, "code for a script");
    });
  }
  await t.check("after all that nothing has changed", async () => {
    same((await mails(demo)).length, before, "mails");
    same((await holder.get(url(`${renewal}/start`))).status, 200, "status of the start screen");
    await hasState(t, demo, "active", { file: subject.p12, passphrase: subject.p12_passphrase });
  });
}

// Drives headless Chromium without a driver: a small server hands out the modules, and the pages post what they found.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after } from "node:test";

import { missing, scratch } from "./tools.mjs";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-popup-blocking",
  // Another name for the same server: not a potentially trustworthy origin, so a page without crypto.subtle.
  "--host-resolver-rules=MAP insecure.example 127.0.0.1",
];
const LIMIT = 20_000;
const FOLDERS = { assets: "../assets/", browser: "./browser/" };

/**
 * Serves /page?do=NAME&… , which runs the function NAME of browser/scenarios.mjs and posts its result.
 * `certify` answers the pages' requests for a certificate.
 */
export async function startPages({ certify }) {
  const results = new Map();
  const barriers = new Map();
  const server = createServer(async (request, response) => {
    const { pathname, search } = new URL(request.url, "http://localhost");
    const [, place, name] = pathname.split("/");
    const send = (type, body) => {
      response.setHeader("Content-Type", type);
      // As strict as the portal's own; the star lets a sandboxed frame, whose origin is "null", load the modules.
      response.setHeader("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; frame-src 'self'");
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.end(body);
    };
    const body = Buffer.concat(await request.toArray());
    if (place === "page") send("text/html", '<!doctype html><script type="module" src="/browser/scenarios.mjs"></script>');
    else if (place === "result") send("text/plain", void results.get(search)?.(JSON.parse(body)));
    else if (place === "certify") send("application/json", JSON.stringify(certify(body)));
    else if (place === "barrier") meet(barriers, name, () => send("text/plain", ""));
    else if (FOLDERS[place]) send("text/javascript", await readFile(new URL(FOLDERS[place] + name, import.meta.url)));
    else response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address();

  /** Opens one tab for each query, waits for all results, kills the browser. The profile keeps what a killed browser leaves. */
  async function visit(profile, queries, host = "localhost") {
    const searches = queries.map((query) => `?${new URLSearchParams(query)}`);
    const answers = searches.map((search) => new Promise((resolve) => results.set(search, resolve)));
    // Headless Chromium takes one address only: the first tab opens the others.
    const open = new URLSearchParams(searches.slice(1).map((search) => ["also", search]));
    const url = `http://${host}:${port}/page${searches[0]}#${open}`;
    // A group of its own, so that its many processes end together and nobody else's do.
    const chromium = spawn("chromium", [...FLAGS, `--user-data-dir=${join(profile, "data")}`, url], {
      detached: true, stdio: "ignore", env: { ...process.env, HOME: profile },
    });
    let timer;
    const failed = new Promise((_, reject) => {
      chromium.on("error", (cause) => reject(cause.code === "ENOENT" ? missing("chromium") : cause));
      chromium.on("exit", (code) => reject(new Error(`Chromium ended by itself (${code})`)));
      timer = setTimeout(() => reject(new Error(`no answer from ${url}`)), LIMIT);
    });
    try {
      return await Promise.race([Promise.all(answers), failed]);
    } finally {
      clearTimeout(timer);
      if (chromium.pid && chromium.exitCode === null) {
        process.kill(-chromium.pid, "SIGKILL");
        await once(chromium, "exit");
      }
    }
  }
  return { visit, newProfile: scratch };
}

/** Lets two callers go at the same moment: the first waits for the second. */
function meet(barriers, name, go) {
  const first = barriers.get(name);
  if (!first) return barriers.set(name, go);
  barriers.delete(name);
  first();
  go();
}

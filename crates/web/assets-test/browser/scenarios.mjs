// Runs inside Chromium: /page?do=NAME&… runs the function NAME with the query and posts what it returns.

import { certificationRequest, makeKey, makePassphrase, pkcs12, spkiFingerprint } from "/assets/key.mjs";
import { forgetAllBut, forgetOlderThan, get, getOrMake, remove, setPassphrase } from "/assets/key-store.mjs";

// The true one: a scenario may put another one in its place for the page's own requests.
const { fetch } = globalThis;
const post = (path, body) => fetch(path, { method: "POST", body });
const codeOf = (promise) => promise.then(() => "no error", (error) => `${error.name} ${error.code}`);
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** All of a record that can be compared outside, and whether its two keys still work together. */
async function describe(record) {
  if (record === null) return null;
  const { keyPair, passphrase, createdAt } = record;
  const data = new TextEncoder().encode("proof");
  const how = { name: "ECDSA", hash: "SHA-256" };
  const signature = await crypto.subtle.sign(how, keyPair.privateKey, data);
  const works = await crypto.subtle.verify(how, keyPair.publicKey, signature, data);
  const extractable = keyPair.privateKey.extractable;
  return { fingerprint: await spkiFingerprint(keyPair), passphrase, createdAt, works, extractable };
}

/** Which of these renewals have a record, each named by one letter. */
async function keptOf(ids) {
  const there = [];
  for (const id of ids) if (await get(id)) there.push(id);
  return there.join("");
}

function pageWith(html = "") {
  document.body.innerHTML = `<main id="main">${html}</main>`;
  return document.getElementById("main");
}

/** What renew.mjs needs of the start screen. Every question is answered with はい at once, and written down. */
function startPage(data) {
  const words = ["making", "requesting", "retrying", "fetching", "delivering", "issued", "problem", "offline", "storage",
    "unsupported", "unexpected", "code"];
  const dialog = (id) => `<dialog id="${id}"><form method="dialog"><button value="yes"></button></form></dialog>`;
  const main = pageWith(`
    <div id="problem" tabindex="-1" hidden><h2 id="problem-title"></h2><p id="problem-detail"></p><p id="problem-code"></p></div>
    <section id="ready"><button id="renew" disabled></button><p id="progress"></p></section>
    <section id="gone" tabindex="-1" hidden></section><span id="new-serial"></span>
    ${dialog("confirm-request")}${dialog("confirm-delivery")}
    <form id="declined"><input name="step"></form>
    <ul id="words">${words.map((word) => `<li data-word="${word}">${word}</li>`).join("")}</ul>`);
  Object.assign(main.dataset, data);
  const asked = [];
  for (const one of main.querySelectorAll("dialog")) {
    one.showModal = () => {
      asked.push(one.id);
      one.returnValue = "yes";
      one.dispatchEvent(new Event("close"));
    };
  }
  return { main, asked, sent: [] };
}

const scenarios = {
  /** Two tabs do this at once; the barrier holds each until the other has found no key either. */
  async race({ tab, rounds }) {
    const seen = [];
    for (let round = 0; round < Number(rounds); round += 1) {
      let made = 0;
      const record = await getOrMake(`race-${round}`, async () => {
        made += 1;
        const keyPair = await makeKey();
        await post(`/barrier/key-${round}`);
        return keyPair;
      });
      await post(`/barrier/passphrase-${round}`);
      const passphrase = await setPassphrase(`race-${round}`, `of tab ${tab}`);
      seen.push({ made, got: await describe(record), passphrase, kept: await describe(await get(`race-${round}`)) });
    }
    return seen;
  },

  async keep({ id }) {
    const record = await describe(await getOrMake(id, makeKey));
    if (!sessionStorage.before) {
      await setPassphrase(id, "first");
      sessionStorage.before = JSON.stringify(record);
      location.reload();
      return undefined;
    }
    return { before: JSON.parse(sessionStorage.before), reloaded: record };
  },

  async find({ id }) {
    let made = 0;
    const found = await describe(await getOrMake(id, () => (made += 1)));
    return { found, made };
  },

  async end() {
    for (const id of ["a", "b", "c", "d"]) await getOrMake(id, makeKey, "mine");
    await getOrMake("o", makeKey, "another's");
    const kept = () => keptOf("abcdo");
    const steps = [await kept()];
    await remove("b");
    await remove("never there");
    steps.push(await kept());
    await forgetAllBut(["c", "d", "z"], "mine");
    steps.push(await kept());
    const gone = await codeOf(setPassphrase("a", "text"));
    await forgetAllBut([], "mine");
    steps.push(await kept());
    await forgetOlderThan(60_000);
    steps.push(await kept());
    await new Promise((resume) => setTimeout(resume, 20));
    await forgetOlderThan(10);
    steps.push(await kept());
    return { steps, gone, absent: await get("a") };
  },

  /** The login page or the main screen, whose script sees only the data of its main element. */
  async visited({ owner, renewal, keepDays, before }) {
    for (const pair of before ? before.split(" ") : []) await getOrMake(pair[0], makeKey, pair.slice(2));
    Object.assign(pageWith().dataset, Object.fromEntries(Object.entries({ owner, renewal, keepDays }).filter(([, value]) => value)));
    await import("/assets/forget.mjs");
    return keptOf("abo");
  },

  /** The start screen: what is asked, what is sent, what is kept, while the server refuses the first request. */
  async renewTwice({ code, state = "started" }) {
    const { main, asked, sent } = startPage({ owner: "mine", renewal: "b", state });
    await getOrMake("a", makeKey, "mine");
    await getOrMake("o", makeKey, "another's");
    const answers = [{ status: 500, body: { code } }, { status: 500, body: { code } }];
    globalThis.fetch = async (url, { method = "GET" } = {}) => {
      sent.push(`${method} ${url}`);
      const { status, body } = answers.shift();
      return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
    };
    await import("/assets/renew.mjs");
    const press = async () => {
      main.querySelector("#renew").click();
      const settled = () => !main.querySelector("#renew").disabled || !main.querySelector("#gone").hidden;
      while (!settled()) await new Promise((resume) => setTimeout(resume, 5));
    };
    await press();
    await press();
    return { asked, sent, kept: await keptOf("abo"), gone: !main.querySelector("#gone").hidden };
  },

  /** A frame without an origin of its own is refused IndexedDB, as some private windows are. */
  async refused({ inside }) {
    if (inside) {
      const codes = [await codeOf(get("a")), await codeOf(getOrMake("a", makeKey)), await codeOf(remove("a"))];
      parent.postMessage(codes, "*");
      return undefined;
    }
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.src = "/page?do=refused&inside=1";
    document.body.append(frame);
    return new Promise((resolve) => addEventListener("message", (event) => resolve(event.data)));
  },

  /** Something that cannot be stored must not look as if it had been. */
  async unstorable() {
    const code = await codeOf(getOrMake("u", async () => ({ privateKey: () => {} })));
    return { code, left: await get("u") };
  },

  async insecure() {
    return { secure: isSecureContext, code: await codeOf(makeKey()), stored: await codeOf(getOrMake("a", makeKey)) };
  },

  async wholeWay() {
    const times = {};
    const timed = async (name, work) => {
      const start = performance.now();
      const result = await work();
      times[name] = performance.now() - start;
      return result;
    };
    const keyPair = await timed("makeKey", makeKey);
    const request = await timed("certificationRequest", () => certificationRequest(keyPair));
    const answer = await (await post("/certify", request)).json();
    const passphrase = makePassphrase();
    const content = {
      privateKey: keyPair.privateKey,
      certificate: fromBase64(answer.certificate),
      chain: answer.chain.map(fromBase64),
      passphrase,
      friendlyName: "電子証明書 alice",
    };
    const file = await timed("pkcs12", () => pkcs12(content));
    return { file: base64(file), passphrase, times };
  },
};

// A tab of its own, in a process of its own: as far apart as two tabs opened by hand.
for (const other of new URLSearchParams(location.hash.slice(1)).getAll("also")) open(`/page${other}`, "_blank", "noopener");
const query = Object.fromEntries(new URLSearchParams(location.search));
const result = await scenarios[query.do](query).catch((error) => ({ failed: `${error.stack}` }));
if (result !== undefined) await post(`/result${location.search}`, JSON.stringify(result));

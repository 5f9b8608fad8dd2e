// The first use of the new certificate: what the activation host says before it, the login that does the same, and what it ends.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import tls from "node:tls";

import { button, heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { Client } from "../lib/http.mjs";
import { contents } from "../lib/judges.mjs";
import { hasState, mailNames } from "../lib/ledger.mjs";
import { contains, same, until } from "../lib/scenario.mjs";

export const scenarios = [
  { name: "activation host explains", sets: ["all"], run: explains },
  { name: "activation by login", sets: ["all"], run: byLogin },
];

async function issued(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  await person.enter(t.words.notice);
  await person.renewNow();
  const saved = await person.obtain();
  return { demo, subject, person, saved, own: { file: subject.p12, passphrase: subject.p12_passphrase } };
}

async function explains(t) {
  const { demo, subject, person, saved, own } = await issued(t);
  const { words } = t;
  await t.check("before the import it says that the previous certificate is used, and which one waits", async () => {
    const tab = await person.openActivation();
    await heading(tab, words.activation);
    await person.says(words.seen.old, tab);
    contains(await tab.locator("main").innerText(), saved.serial, "activation page");
    same(await button(tab, words.activate).count(), 0, "buttons that activate");
    await hasState(t, demo, "pending", saved);
  });
  await t.check("without a certificate it says so", async () => {
    const { text } = await new Client(demo, { language: t.language }).get(demo.activate);
    contains(text, words.seen.none, "activation page");
  });
  await t.judge("asked by somebody who holds another certificate it activates nothing", async () => {
    for (const credentials of [own, {}]) {
      const client = new Client(demo, { p12: credentials.file, passphrase: credentials.passphrase, language: t.language });
      same((await client.post(`${demo.activate}/activate`)).status, 409, "status of the activation");
    }
    await hasState(t, demo, "pending", saved);
  });
  await t.check("a form of another site activates nothing", async () => {
    const client = new Client(demo, { p12: saved.file, passphrase: saved.passphrase, language: t.language });
    const headers = { Origin: demo.portal, "Sec-Fetch-Site": "same-site" };
    same((await client.post(`${demo.activate}/activate`, { headers })).status, 403, "status of the activation");
    await hasState(t, demo, "pending", saved);
  });
  await t.check("after import and restart it works, and ends the predecessor's open connection", async () => {
    const connection = await openConnection(demo, own);
    let closed = false;
    connection.once("close", () => (closed = true));
    person.import(saved);
    await person.browser.restart();
    await person.page.goto(demo.activate);
    await heading(person.page, words.works);
    await until("the old certificate's connection is closed", () => closed, 2);
    await mailNames(demo, subject, saved.serial, contents(own.file, own.passphrase).serial);
  });
}

/** A connection with this certificate that has been used once and is kept open. */
async function openConnection(demo, { file, passphrase }) {
  const { port, hostname } = new URL(demo.portal);
  const socket = tls.connect({
    host: "127.0.0.1", port, servername: hostname, ca: readFileSync(demo.ca_pem), pfx: readFileSync(file), passphrase,
  });
  socket.on("error", () => {});
  await once(socket, "secureConnect");
  socket.write(`GET /doctor HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
  const [answer] = await once(socket, "data");
  contains(answer.toString(), "200 OK", "answer on the open connection");
  socket.resume();
  return socket;
}

async function byLogin(t) {
  const { demo, person, saved, own } = await issued(t);
  const { words } = t;
  await t.check("the login page recognises the new certificate", async () => {
    person.import(saved);
    await person.browser.restart();
    await person.openLogin(words.seen.pending);
  });
  await t.check("a wrong password activates nothing", async () => {
    await person.logIn("not the password");
    await person.page.getByRole("alert").getByText(words.loginFailed).waitFor();
    await hasState(t, demo, "pending", saved);
    await hasState(t, demo, "active", own);
  });
  await t.check("the login with the password does", async () => {
    await person.logIn();
    await heading(person.page, words.main);
    same(await person.serial(), saved.serial, "serial number on the main screen");
    await hasState(t, demo, "active", saved);
    await hasState(t, demo, "superseded", own);
  });
  await t.check("the key is forgotten, though nobody came back to the completion screen", () =>
    until("no key is left in the browser", async () => (await person.keys()).length === 0),
  );
}

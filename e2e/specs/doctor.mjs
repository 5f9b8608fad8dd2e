// /doctor, on every host, in every state of a certificate.

import { heading, link } from "../lib/browser.mjs";
import { isAdministrator, isDue, isExpired } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { Client } from "../lib/http.mjs";
import { doctor, hasState } from "../lib/ledger.mjs";
import { contents } from "../lib/judges.mjs";
import { contains, same } from "../lib/scenario.mjs";
import { run } from "../lib/tools.mjs";

export const scenarios = [
  { name: "doctor in the browser", sets: ["all"], run: inTheBrowser },
  { name: "doctor of each state", sets: ["all"], run: ofEachState },
];

async function inTheBrowser(t) {
  const demo = await t.demo();
  const subject = demo.subject(isAdministrator);
  const person = await Person.arrive(t, demo, subject);
  const { page, words } = person;
  const { serial } = contents(subject.p12, subject.p12_passphrase);
  await t.check("the login page leads to it, and it finds no problem", async () => {
    await person.openLogin();
    await link(page, words.doctor).click();
    await heading(page, words.doctor);
    await person.says(words.seen.healthy);
    contains(await page.locator("main").innerText(), serial, "doctor page");
  });
  await t.screen(page, "doctor-active");
  await t.check("the activation host has it too", async () => {
    await page.goto(`${demo.activate}/doctor`);
    await heading(page, words.doctor);
    contains(await page.locator("main").innerText(), words.status.active, "doctor page");
  });
  await t.check("the public host, which never sees a certificate, leads to the host that does", async () => {
    await page.goto(demo.public);
    await link(page, words.doctor).first().click();
    await person.says(words.seen.healthy);
    await page.goto(`${demo.public}/doctor`);
    await heading(page, words.doctor);
    same(page.url(), `${demo.portal}/doctor`, "doctor");
  });
  await t.check("without a certificate it says so, and where to go", async () => {
    const other = await Person.arrive(t, demo, subject, { p12: null });
    await other.page.goto(`${demo.portal}/doctor`);
    await other.says(words.seen.none);
    await link(other.page, words.obtainLink).waitFor();
    await t.screen(other.page, "doctor-none");
    await other.browser.close();
  });
  await t.check("the languages can be switched, and the choice is kept", async () => {
    const other = t.language === "ja" ? "en" : "ja";
    await page.locator(`nav.languages a[lang=${other}]`).click();
    await page.locator(`html[lang=${other}]`).waitFor();
    await page.goto(demo.portal);
    await page.locator(`html[lang=${other}]`).waitFor();
    await page.goto(`${demo.portal}/?lang=${t.language}`);
    await heading(page, words.login);
  });
}

async function ofEachState(t) {
  const demo = await t.demo();
  const credentials = (subject) => ({ file: subject.p12, passphrase: subject.p12_passphrase });
  await t.check("none", () => hasState(t, demo, "none"));
  await t.check("active, with ID only masked before the login page and whole for the holder", async () => {
    const subject = demo.subject(isAdministrator);
    await hasState(t, demo, "active", credentials(subject));
    const client = new Client(demo, { p12: subject.p12, passphrase: subject.p12_passphrase, language: t.language });
    const { text } = await client.get(demo.portal);
    same(text.includes(`>${subject.id}<`), false, "the login page shows the whole ID");
  });
  await t.check("expired", async () => {
    const subject = demo.subject(isExpired);
    await hasState(t, demo, "expired", credentials(subject));
    const text = await doctor(demo, t.language, credentials(subject));
    contains(text, t.words.expiredDaysAgo(3), "doctor page");
    contains(text, `href="${demo.public}`, "doctor page");
  });
  await t.check("pending, superseded, revoked: a renewal, a new start, an activation", async () => {
    const subject = demo.subject(isDue);
    const person = await Person.arrive(t, demo, subject);
    await person.enter(t.words.notice);
    await person.renewNow();
    const first = await person.obtain();
    await hasState(t, demo, "pending", first);
    await person.page.goto(person.page.url().replace(/complete$/, "start-again"));
    await person.page.locator("#start-again").click();
    await heading(person.page, t.words.start);
    const second = await person.obtain();
    await hasState(t, demo, "revoked", first);
    person.import(second);
    await person.activate();
    await hasState(t, demo, "superseded", credentials(subject));
    await hasState(t, demo, "active", second);
    await person.home.replaceBy(first.file, first.passphrase);
    await person.browser.restart();
    await person.page.goto(`${demo.portal}/doctor`);
    await heading(person.page, t.words.doctor);
    // Revoked, while the second one is in use: the browser has to show that one.
    await person.says(t.words.seen.old);
    contains((await person.page.locator("main").innerText()).replace(/\s/g, ""), second.serial, "doctor page");
    await t.screen(person.page, "doctor-revoked");
  });
  await t.check("another CA's, and one that pretends to be ours", async () => {
    const folder = demo.data;
    for (const name of ["CN=somebody else", `CN=${demo.subject(isDue).id}`]) {
      const [key, pem, file] = ["key", "pem", "p12"].map((end) => `${folder}/foreign.${end}`);
      run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30", "-subj", `/${name}`, "-keyout", key, "-out", pem]);
      run("openssl", ["pkcs12", "-export", "-in", pem, "-inkey", key, "-passout", "pass:foreign", "-out", file]);
      await hasState(t, demo, "unknown", { file, passphrase: "foreign" });
      const client = new Client(demo, { p12: file, passphrase: "foreign", language: t.language });
      same((await client.logIn(demo.subject(isDue))).status, 403, "status of a login with it");
    }
  });
}

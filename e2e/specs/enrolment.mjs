// 電子証明書取得: for the expired, and for those who never had a certificate.

import { button, heading, link } from "../lib/browser.mjs";
import { isAdministrator, isExpired, isNew } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { Client, isTo, mail } from "../lib/http.mjs";
import { certificateIsSound, chainIsWhole, contents, everyReaderOpens } from "../lib/judges.mjs";
import { hasState, mailNames, onlyIssued } from "../lib/ledger.mjs";
import { contains, same } from "../lib/scenario.mjs";

export const scenarios = [
  { name: "expired", sets: ["ci", "all"], run: expired },
  { name: "not yet enrolled", sets: ["all"], run: notYetEnrolled },
  { name: "enrolment refused", sets: ["all"], run: refused },
];

async function expired(t) {
  const demo = await t.check("the demo starts", () => t.demo());
  const subject = demo.subject(isExpired);
  const { words } = t;
  await t.check("a browser that offers the dead certificate is greeted, and led to 電子証明書取得", () => greeted(t, demo, subject));
  // On Linux Chromium does not even offer a certificate that has expired: to the portal it is as if there were none.
  const person = await t.check("the browser starts with the expired certificate", () => Person.arrive(t, demo, subject));
  await t.check("the login page says that no certificate came, and where to go", () => person.openLogin(words.seen.none));
  await t.screen(person.page, "login-no-certificate");
  await t.check("its one next step leads to 電子証明書取得", async () => {
    await link(person.page, words.obtainLink).click();
    await heading(person.page, words.enrol);
    same(person.page.url(), `${demo.public}/enrol`, "next step");
  });
  const old = contents(subject.p12, subject.p12_passphrase).serial;
  await enrol(t, person, old);
}

/** The greeting, seen through a browser that presents the file itself instead of its store. */
async function greeted(t, demo, subject) {
  const browser = { presents: { origin: demo.portal, pfxPath: subject.p12, passphrase: subject.p12_passphrase } };
  const person = await Person.arrive(t, demo, subject, { p12: null, browser });
  await person.openLogin(t.words.seen.expired);
  contains(await person.page.locator("main").innerText(), t.words.expiredDaysAgo(3), "login page");
  await t.screen(person.page, "login-expired");
  await link(person.page, t.words.obtainLink).click();
  await heading(person.page, t.words.enrol);
  same(person.page.url(), `${demo.public}/enrol`, "next step");
  await person.browser.close();
}

async function notYetEnrolled(t) {
  const demo = await t.demo();
  const person = await Person.arrive(t, demo, demo.subject(isNew));
  await t.check("the login page's next step leads to 電子証明書取得", async () => {
    await person.openLogin(t.words.seen.none);
    await link(person.page, t.words.obtainLink).click();
    await heading(person.page, t.words.enrol);
    same(person.page.url(), `${demo.public}/enrol`, "next step");
  });
  await t.check("so does the public host's first page", async () => {
    await person.page.goto(demo.public);
    await heading(person.page, t.words.home);
    await t.screen(person.page, "enrol-home");
    await link(person.page, t.words.obtainLink).click();
    await person.page.waitForURL(`${demo.public}/enrol`);
  });
  await enrol(t, person, null);
}

/** From the form for ID and password to a login with the certificate. */
async function enrol(t, person, old) {
  const { demo, subject, words } = person;
  await t.screen(person.page, "enrol-identify");
  await t.check("ID, password and the code from the mail prove who it is", () => person.prove());
  await t.screen(person.page, "enrol-start");
  const saved = await t.check("two confirmations bring the certificate", () => person.obtain({ name: words.obtain }));
  await t.screen(person.page, "enrol-complete");
  await t.judge("four programs open the file, two judges accept the certificate", async () => {
    everyReaderOpens(saved.file, saved.passphrase, saved.serial);
    await certificateIsSound(demo, saved, person.home.path);
  });
  await t.judge("the file holds the chain up to the root", () => chainIsWhole(demo, saved));
  await t.check("pk12util imports it, and the activation host says that it works", async () => {
    await hasState(t, demo, "pending", saved);
    person.import(saved);
    const tab = await person.activate();
    await t.screen(tab, "enrol-activation-done");
  });
  await t.check("the restarted browser logs in with it", async () => {
    await person.browser.restart();
    await person.enter(words.main);
    same(await person.serial(), saved.serial, "serial number on the main screen");
  });
  await t.check("holder and administrator were told of the one certificate", async () => {
    await mailNames(demo, subject, saved.serial);
    await onlyIssued(demo, subject, old, saved.serial);
    await administratorsAreTold(demo, saved.serial);
  });
}

async function administratorsAreTold(demo, serial) {
  const administrator = demo.subject(isAdministrator);
  await mail(demo, `one to the administrator about ${serial}`, (one) => isTo(one, administrator) && one.text.includes(serial));
}

async function refused(t) {
  const demo = await t.demo();
  const subject = demo.subject(isExpired);
  const person = await Person.arrive(t, demo, subject);
  const { page, words } = person;
  await t.check("a wrong password is answered like a right one, and sends no mail", async () => {
    const client = new Client(demo, { language: t.language });
    const answers = [];
    for (const form of [
      { id: subject.id, password: "wrong" },
      { id: "nobody-9999", password: "wrong" },
      { id: demo.subject(isAdministrator).id, password: demo.subject(isAdministrator).password },
    ]) {
      const { status, headers } = await client.post(`${demo.public}/enrol`, { form });
      answers.push(`${status} ${headers.location}`);
    }
    same([...new Set(answers)].join(), "303 /enrol/code", "answers to wrong, unknown and not entitled");
  });
  await t.check("a wrong code is refused, the right one still works", async () => {
    await page.goto(`${demo.public}/enrol`);
    await person.identify();
    const code = await t.code(demo, subject);
    await page.getByLabel(words.field.code, { exact: true }).fill(code === "00000000" ? "11111111" : "00000000");
    await button(page, words.confirm).click();
    await page.getByRole("alert").getByText(words.codeWrong).waitFor();
    await t.screen(page, "enrol-code-wrong");
    await page.getByLabel(words.field.code, { exact: true }).fill(code);
    await button(page, words.confirm).click();
    await heading(page, words.startEnrolment);
  });
  await t.check("the code opens one enrolment, in one browser", async () => {
    const client = new Client(demo, { language: t.language });
    await client.post(`${demo.public}/enrol`, { form: subject });
    const code = await t.code(demo, subject);
    const first = await client.post(`${demo.public}/enrol/code`, { form: { code } });
    same(first.status, 303, "status for the right code");
    const second = await client.post(`${demo.public}/enrol/code`, { form: { code } });
    same(`${second.status} ${second.headers.location}`, `303 ${first.headers.location}`, "answer to the same form once more");
    const elsewhere = new Client(demo, { language: t.language });
    await elsewhere.post(`${demo.public}/enrol`, { form: subject });
    same((await elsewhere.post(`${demo.public}/enrol/code`, { form: { code } })).status, 403, "status for the code of another browser");
  });
}

// The main job: notice, renewal, activation, login with the new certificate.

import { button, heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { certificateIsSound, chainIsWhole, contents, everyReaderOpens } from "../lib/judges.mjs";
import { hasState, isRefused, mailNames, onlyIssued } from "../lib/ledger.mjs";
import { contains, same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "renew now", sets: ["ci", "all"], run: renewNow }];

async function renewNow(t) {
  const demo = await t.check("the demo starts", () => t.demo());
  t.report.note(`ready after ${(demo.startedIn / 1000).toFixed(2)} s`);
  const subject = demo.subject(isDue);
  const old = contents(subject.p12, subject.p12_passphrase);
  const { words } = t;
  const person = await t.check("the browser starts with the 30-day certificate", () => Person.arrive(t, demo, subject));

  await t.check("the login page recognises the certificate", () => person.openLogin());
  await t.screen(person.page, "login");
  await t.check("the login leads to the notice, with 30 days left", async () => {
    await person.logIn();
    await heading(person.page, words.notice);
    contains(await person.page.locator("main").innerText(), words.daysLeft(30), "notice");
  });
  await t.screen(person.page, "notice");
  await t.check("今すぐ更新する leads through the preparation to the start", () => person.renewNow());
  await t.screen(person.page, "start");
  await t.check("更新 asks for the first confirmation", async () => {
    await person.pressRenew();
    await person.question(1);
  });
  await t.screen(person.page, "confirmation-1");
  const asked = await t.check("はい asks for the second, which names the serial number", async () => {
    await person.answer(1, words.yes);
    return person.serialAsked();
  });
  await t.screen(person.page, "confirmation-2");
  const saved = await t.check("はい completes the issuance and saves the file", () => person.receive());
  await t.screen(person.page, "complete");

  await t.judge("the completion screen says what it has to", () => saysWhatItHasTo(person, saved, asked, old));
  await t.judge("openssl, pk12util, keytool and certtool open the file", () => everyReaderOpens(saved.file, saved.passphrase, saved.serial));
  await t.judge("openssl -x509_strict and pkilint find nothing wrong", () =>
    certificateIsSound(demo, saved, person.home.path),
  );
  await t.judge("the file holds the chain up to the root", () => chainIsWhole(demo, saved));
  await t.judge("before its activation the new certificate waits, the old one is in use", async () => {
    await hasState(t, demo, "pending", saved);
    await hasState(t, demo, "active", { file: subject.p12, passphrase: subject.p12_passphrase });
  });
  await t.check("pk12util imports the file with the passphrase on the screen", () => person.import(saved));
  const tab = await t.check("the activation host says that the new certificate works", () => person.activate());
  await t.judge("it says so in green, with both serial numbers", () => isGreen(tab, saved.serial, old.serial));
  await t.screen(tab, "activation-done");
  await t.check("the completion screen learns of it", () =>
    person.page.getByRole("heading", { name: words.ready, exact: true }).waitFor(),
  );
  await t.screen(person.page, "complete-activated");

  await oldIsRefused(t, person, saved);
  await t.check("このウィンドウを閉じる ends the session", async () => {
    await button(person.page, words.close).click();
    await heading(person.page, words.signedOut);
  });
  await t.check("the restarted browser shows the new certificate", async () => {
    await person.browser.restart();
    await person.openLogin();
    contains(await person.page.locator("main").innerText(), saved.serial.slice(-8), "login page");
  });
  await t.screen(person.page, "login-again");
  await t.check("the login with the new serial number leads to the main screen, without a notice", async () => {
    await person.logIn();
    await heading(person.page, words.main);
    same(await person.serial(), saved.serial, "serial number on the main screen");
    same(await person.page.getByRole("button", { name: words.menuRenew }).count(), 0, "menu items for renewal");
  });
  await t.screen(person.page, "main");
  await t.check("one certificate was issued, and mails told of it", async () => {
    await mailNames(demo, subject, saved.serial, old.serial);
    await onlyIssued(demo, subject, old.serial, saved.serial);
  });
  await t.check("the sign-out works", async () => {
    await button(person.page, words.signOut).click();
    await heading(person.page, words.signedOut);
  });
  await t.check("the demo ends when asked", async () => same(await demo.stop(), true, "ended by itself"));
}

async function saysWhatItHasTo(person, saved, asked, old) {
  const text = await person.page.locator("main").innerText();
  same(saved.serial, asked, "serial number on the completion screen");
  contains(text, person.words.keepToYourself, "completion screen");
  contains(text, old.serial, "completion screen");
  const issuer = contents(saved.file, saved.passphrase).certificate.issuer.match(/^CN=(.*)$/m)[1];
  same(await person.page.locator("#ca-name").innerText(), issuer, "the CA's name");
  if (saved.passphrase.length < 20) throw new Error(`the passphrase is too short: ${saved.passphrase.length}`);
  if (!/^[\w.-]+\.p12$/.test(saved.name)) throw new Error(`an odd name for a file: ${saved.name}`);
}

async function isGreen(tab, serial, old) {
  const banner = tab.locator("main .banner").first();
  const text = await banner.innerText();
  for (const number of [serial, old]) contains(text.replace(/\s/g, ""), number, "activation page");
  const colours = await banner.evaluate((element) => {
    const style = getComputedStyle(element);
    return [style.borderTopColor, style.borderLeftColor, style.backgroundColor];
  });
  const green = colours.some((colour) => {
    const [red, full, blue] = colour.match(/\d+/g).map(Number);
    return full > red + 20 && full > blue + 20;
  });
  if (!green) throw new Error(`nothing about the banner is green: ${colours.join(", ")}`);
}

async function oldIsRefused(t, person, saved) {
  const { demo, subject, words } = person;
  const credentials = { file: subject.p12, passphrase: subject.p12_passphrase };
  // The browser keeps the old certificate for this host until it is restarted: so a new tab shows what it means.
  const tab = await person.browser.context.newPage();
  await t.check("the old certificate's session is over, and the page says why", async () => {
    await tab.goto(`${demo.portal}/main`);
    await heading(tab, words.replaced);
    contains(await tab.locator("main").innerText(), saved.serial, "page of the ended session");
  });
  await t.screen(tab, "session-replaced");
  await t.check("the login page explains that the old certificate is being used", async () => {
    await tab.goto(demo.portal);
    await heading(tab, words.login);
    await person.says(words.seen.old, tab);
    contains(await tab.locator("main").innerText(), saved.serial, "login page");
  });
  await t.screen(tab, "login-old-certificate");
  await tab.close();
  await t.check("a login with it is refused", () => isRefused(t, demo, subject, credentials, words.seen.old));
  await t.check("the doctor sees what it is", () => hasState(t, demo, "superseded", credentials));
}

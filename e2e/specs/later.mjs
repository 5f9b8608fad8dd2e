// 後で更新する, the menu, and what the portal remembers.

import { button, heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents } from "../lib/judges.mjs";
import { onlyIssued } from "../lib/ledger.mjs";
import { contains, same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "renew later", sets: ["all"], run: renewLater }];

async function renewLater(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await t.check("後で更新する leads to the main screen", async () => {
    await person.enter(words.notice);
    same(await page.locator("#later-count").count(), 0, "remarks about earlier choices");
    await button(page, words.renewLater).click();
    await heading(page, words.main);
  });
  await t.check("the next login shows the notice again, and that it was put off once", async () => {
    await button(page, words.signOut).click();
    await heading(page, words.signedOut);
    await person.enter(words.notice);
    contains(await page.locator("#later-count").innerText(), words.laterCount(1), "notice");
  });
  await t.check("the same at another computer, counted on", async () => {
    await button(page, words.renewLater).click();
    await heading(page, words.main);
    await person.browser.another();
    await person.enter(words.notice);
    contains(await person.page.locator("#later-count").innerText(), words.laterCount(2), "notice");
    await button(person.page, words.renewLater).click();
    await heading(person.page, words.main);
  });
  await t.check("証明書更新 in the menu leads to the start", () => person.renewFromMenu());
  await t.check("the menu then offers to go on, and leads to the same renewal", async () => {
    const { page } = person;
    const url = page.url();
    await page.goto(`${demo.portal}/main`);
    same(await page.getByRole("button", { name: words.menuRenew }).count(), 0, "items that begin a renewal");
    await page.getByRole("link", { name: words.menuContinue }).click();
    await heading(page, words.start);
    same(page.url(), url, "renewal");
  });
  const saved = await t.check("and from there to the completed issuance", () => person.obtain());
  await t.check("the main screen then leads to the check, and back to the file", async () => {
    const { page } = person;
    await page.goto(`${demo.portal}/main`);
    await t.screen(page, "main-issued");
    contains(await page.locator("main").innerText(), saved.serial, "main screen");
    await page.locator("#back-to-file").click();
    await heading(page, words.complete);
    const again = await person.saveAgain();
    same(again.passphrase, saved.passphrase, "passphrase of the file saved again");
    same(contents(again.file, again.passphrase).certificate.fingerprint256, contents(saved.file, saved.passphrase).certificate.fingerprint256, "certificate");
  });
  await t.check("imported and activated, it logs in", async () => {
    person.import(saved);
    await person.activate();
    await person.browser.restart();
    await person.enter(words.main);
    same(await person.serial(), saved.serial, "serial number");
    await onlyIssued(demo, subject, contents(subject.p12, subject.p12_passphrase).serial, saved.serial);
  });
}

// いいえ: nothing that matters changes, and it can be taken up again.

import { button, heading, link } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents } from "../lib/judges.mjs";
import { hasState, onlyIssued } from "../lib/ledger.mjs";
import { mails } from "../lib/http.mjs";
import { contains, same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "no to both questions", sets: ["all"], run: declined }];

async function declined(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const own = { file: subject.p12, passphrase: subject.p12_passphrase };
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await person.enter(words.notice);
  await person.renewNow();
  const renewal = page.url();
  const before = (await mails(demo)).length;

  await t.check("いいえ to the first question makes no certificate", async () => {
    await person.pressRenew();
    await person.answer(1, words.no);
    await heading(page, words.declined);
    contains(await page.locator("main").innerText(), words.declinedOne, "page");
    same((await mails(demo)).length, before, "mails");
    await hasState(t, demo, "active", own);
  });
  await t.screen(page, "declined-1");
  await t.check("the same with the Escape key", async () => {
    await link(page, words.goOn).click();
    await heading(page, words.start);
    same(page.url(), renewal, "renewal");
    await person.pressRenew();
    await person.question(1);
    await page.keyboard.press("Escape");
    await heading(page, words.declined);
  });
  await t.check("the main screen still works, and offers to go on", async () => {
    await link(page, words.toMain).click();
    await heading(page, words.main);
    await page.getByRole("link", { name: words.menuContinue }).click();
    await heading(page, words.start);
    same(page.url(), renewal, "renewal");
  });
  let serial;
  await t.check("いいえ to the second question: the old certificate keeps working", async () => {
    await person.pressRenew();
    await person.answer(1, words.yes);
    serial = await person.serialAsked();
    await person.answer(2, words.no);
    await heading(page, words.declined);
    contains(await page.locator("main").innerText(), words.declinedTwo, "page");
    await hasState(t, demo, "active", own);
  });
  await t.screen(page, "declined-2");
  await t.check("going on says that it is issued already", async () => {
    await link(page, words.goOn).click();
    await heading(page, words.start);
    await person.says(words.issuedAlready);
    contains(await page.locator("main").innerText(), serial, "start screen");
  });
  await t.screen(page, "start-issued");
  await t.check("and delivers the same certificate, also after a login with the old one and a new browser session", async () => {
    await button(page, words.signOut).click();
    await heading(page, words.signedOut);
    await person.browser.restart();
    await person.enter(words.notice, null);
    await button(person.page, words.renewLater).click();
    await heading(person.page, words.main);
    await person.page.getByRole("link", { name: words.menuContinue }).click();
    await heading(person.page, words.start);
    await person.pressRenew();
    same(await person.serialAsked(), serial, "serial number asked again");
    const saved = await person.receive();
    same(saved.serial, serial, "serial number delivered");
    await onlyIssued(demo, subject, contents(own.file, own.passphrase).serial, serial);
  });
}

// A reload, and the browser's "back", at each step.

import { heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents } from "../lib/judges.mjs";
import { onlyIssued } from "../lib/ledger.mjs";
import { same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "reload at each step", sets: ["all"], run: reload }];

async function reload(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  const again = async (title) => {
    await page.reload();
    await heading(page, title);
  };
  await t.check("login page", async () => {
    await person.openLogin();
    await again(words.login);
  });
  await t.check("notice", async () => {
    await person.logIn();
    await heading(page, words.notice);
    await again(words.notice);
  });
  let renewal;
  await t.check("preparation", async () => {
    await page.route("**/assets/preparing.mjs*", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
    await page.getByRole("button", { name: words.renewNow }).click();
    await heading(page, words.preparing);
    renewal = page.url();
    await page.unroute("**/assets/preparing.mjs*");
    await page.reload();
    await heading(page, words.start);
    same(page.url(), `${renewal}/start`, "renewal");
  });
  await t.check("start", () => again(words.start));
  await t.check("first question", async () => {
    await person.pressRenew();
    await person.question(1);
    await again(words.start);
    same(await page.locator("#confirm-request").isVisible(), false, "the question is shown");
  });
  let serial;
  await t.check("second question: the same certificate, without the first question", async () => {
    await person.pressRenew();
    await person.answer(1, words.yes);
    serial = await person.serialAsked();
    await again(words.start);
    await person.says(words.issuedAlready);
    await person.pressRenew();
    same(await person.serialAsked(), serial, "serial number");
  });
  const saved = await person.receive();
  await t.check("completion: the file can be saved again, with the same passphrase", async () => {
    await again(words.complete);
    same(await person.serial(), serial, "serial number");
    const file = await person.saveAgain();
    same(file.passphrase, saved.passphrase, "passphrase");
    same(contents(file.file, file.passphrase).certificate.fingerprint256, contents(saved.file, saved.passphrase).certificate.fingerprint256, "certificate");
  });
  await t.check("back to the start, and on again to the same completion", async () => {
    await page.goto(`${renewal}/start`);
    await heading(page, words.start);
    await person.pressRenew();
    same(await person.serialAsked(), serial, "serial number");
    await person.answer(2, words.yes);
    await heading(page, words.complete);
    same(await person.serial(), serial, "serial number");
  });
  await t.check("activation", async () => {
    person.import(saved);
    const tab = await person.activate();
    await tab.goto(demo.activate);
    await heading(tab, words.activation);
    await person.says(words.already, tab);
  });
  await t.check("one certificate was issued", () =>
    onlyIssued(demo, subject, contents(subject.p12, subject.p12_passphrase).serial, serial),
  );
}

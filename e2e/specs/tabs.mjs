// Two tabs, double clicks: one renewal, one key, one certificate.

import { button, heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents } from "../lib/judges.mjs";
import { onlyIssued } from "../lib/ledger.mjs";
import { same } from "../lib/scenario.mjs";

export const scenarios = [
  { name: "two tabs", sets: ["all"], run: twoTabs },
  { name: "double clicks", sets: ["all"], run: doubleClicks },
];

async function twoTabs(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await person.enter(words.notice);
  const other = await person.browser.context.newPage();
  await t.check("今すぐ更新する in both leads to the same renewal", async () => {
    await other.goto(`${demo.portal}/notice`);
    await heading(other, words.notice);
    await Promise.all([button(page, words.renewNow).click(), button(other, words.renewNow).click()]);
    await Promise.all([heading(page, words.start), heading(other, words.start)]);
    same(other.url(), page.url(), "renewal");
  });
  await t.check("はい in both at once: both are asked about the same certificate", async () => {
    await Promise.all([page, other].map((tab) => person.pressRenew(tab)));
    await Promise.all([page, other].map((tab) => person.question(1, tab)));
    await Promise.all([page, other].map((tab) => person.answer(1, words.yes, tab)));
    const [one, two] = await Promise.all([page, other].map((tab) => person.serialAsked(tab)));
    same(two, one, "serial number in the second tab");
  });
  const files = await t.check("both save the same certificate and key under the same passphrase", async () => {
    const files = [await person.receive(page), await person.receive(other)];
    const [one, two] = files.map(({ file, passphrase }) => contents(file, passphrase).certificate);
    same(two.fingerprint256, one.fingerprint256, "certificate");
    same(files[1].passphrase, files[0].passphrase, "passphrase");
    return files;
  });
  await t.check("after the activation both tabs say that it is in use", async () => {
    person.import(files[0]);
    await person.activate(page);
    for (const tab of [page, other]) await tab.getByRole("heading", { name: words.ready, exact: true }).waitFor();
  });
  await t.check("one certificate was issued", () =>
    onlyIssued(demo, subject, contents(subject.p12, subject.p12_passphrase).serial, files[0].serial),
  );
}

async function doubleClicks(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await t.check("on 今すぐ更新する", async () => {
    await person.enter(words.notice);
    await button(page, words.renewNow).dblclick();
    await heading(page, words.start);
  });
  await t.check("on 更新, and twice はい", async () => {
    // Two events before the page can react to the first, as an impatient hand sends them.
    await twice(page, page.locator("#renew"));
    await person.question(1);
    await twice(page, page.locator("#confirm-request button[value=yes]"));
  });
  const saved = await t.check("on the second はい", async () => {
    const serial = await person.serialAsked();
    const download = page.waitForEvent("download");
    await twice(page, page.locator("#confirm-delivery button[value=yes]"));
    await heading(page, words.complete);
    const saved = await person.keep(await download, page);
    same(saved.serial, serial, "serial number");
    return saved;
  });
  await t.check("two requests at the same moment get the same certificate", async () => {
    const url = `${page.url().replace(/\/complete$/, "")}/certificate`;
    const ask = () => page.evaluate((url) => fetch(url).then((answer) => answer.text()), url);
    const [one, two] = await Promise.all([ask(), ask()]);
    same(two, one, "answers");
    same(JSON.parse(one).serial, saved.serial, "serial number");
  });
  await t.check("one certificate was issued", () =>
    onlyIssued(demo, subject, contents(subject.p12, subject.p12_passphrase).serial, saved.serial),
  );
}

async function twice(page, target) {
  await target.waitFor();
  await page.waitForFunction((element) => !element.disabled, await target.elementHandle());
  await target.evaluate((element) => {
    element.click();
    element.click();
  });
}

// A lost answer brings the same certificate; a lost key brings another one, and ends the first.

import { button, heading, loseAnswers } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents, isListedAsRevoked, ocspStatus } from "../lib/judges.mjs";
import { hasState, isRefused, mailNames, onlyIssued } from "../lib/ledger.mjs";
import { same, until } from "../lib/scenario.mjs";

export const scenarios = [
  { name: "lost answers", sets: ["all"], run: lostAnswers },
  { name: "lost key", sets: ["all"], run: lostKey },
  { name: "lost passphrase", sets: ["all"], run: lostPassphrase },
];

async function lostAnswers(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await person.enter(words.notice);
  await person.renewNow();
  const saved = await t.check("of the request, and of the delivery: both are repeated, with one certificate", async () => {
    const request = await loseAnswers(page, "*/request", 2);
    await person.pressRenew();
    await person.answer(1, words.yes);
    const serial = await person.serialAsked();
    await request.restore();
    same(request.lost.length, 2, "lost answers");
    for (const { status, body } of request.lost) {
      same(status, 200, "status of a lost answer");
      same(JSON.parse(body).serial, serial, "serial number in a lost answer");
    }
    const delivery = await loseAnswers(page, "*/delivered", 1);
    const saved = await person.receive();
    same(delivery.lost.length, 1, "lost answers");
    same(saved.serial, serial, "serial number");
    return saved;
  });
  await t.check("of the activation: the certificate is in use all the same", async () => {
    person.import(saved);
    const tab = await person.browser.context.newPage();
    const activation = await loseAnswers(tab, "*/activate", 1);
    await tab.goto(demo.activate);
    await tab.waitForURL((url) => url.protocol === "chrome-error:" || url.pathname === "/activate");
    same(activation.lost.length, 1, "lost answers");
    await activation.restore();
    await tab.goto(demo.activate);
    await person.says(words.already, tab);
    await hasState(t, demo, "superseded", { file: subject.p12, passphrase: subject.p12_passphrase });
  });
  await t.check("one certificate was issued", () =>
    onlyIssued(demo, subject, contents(subject.p12, subject.p12_passphrase).serial, saved.serial),
  );
}

async function lostKey(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const old = contents(subject.p12, subject.p12_passphrase).serial;
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await person.enter(words.notice);
  await person.renewNow();
  const first = await person.obtain();
  await t.check("without the key the completion screen offers a new start", async () => {
    await person.loseKey();
    await page.reload();
    await page.getByRole("heading", { name: words.noKey, exact: true }).waitFor();
  });
  await t.check("without the key the start screen does too", async () => {
    await page.goto(page.url().replace(/complete$/, "start"));
    await person.pressRenew();
    await page.getByRole("heading", { name: words.noKey, exact: true }).waitFor();
  });
  await t.screen(page, "no-key");
  const second = await t.check("新しい鍵でやり直す leads to a new certificate", async () => {
    await button(page, words.startAgain).click();
    await heading(page, words.start);
    const second = await person.obtain();
    if (second.serial === first.serial) throw new Error("the same serial number for a new key");
    return second;
  });
  await firstIsRevoked(t, person, first, second);
  await finishes(t, person, second);
  await t.check("two certificates were issued", () => onlyIssued(demo, subject, old, first.serial, second.serial));
}

async function lostPassphrase(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await person.enter(words.notice);
  await person.renewNow();
  const first = await person.obtain();
  const renewal = page.url().replace(/\/complete$/, "");
  await t.check("the key is still there: the screen asks before it ends the first certificate", async () => {
    await page.goto(`${renewal}/start-again`);
    await heading(page, words.startAgain);
    await person.page.getByText(first.serial.slice(-4)).first().waitFor();
  });
  await t.screen(page, "start-again");
  await t.check("going back changes nothing", async () => {
    await page.locator("#go-back").click();
    await heading(page, words.start);
    await hasState(t, demo, "pending", first);
  });
  const second = await t.check("starting again makes a new key and a new certificate", async () => {
    await page.goto(`${renewal}/start-again`);
    await button(page, words.startAgain).click();
    await heading(page, words.start);
    const second = await person.obtain();
    if (second.serial === first.serial) throw new Error("the same serial number for a new key");
    const keys = [first, second].map(({ file, passphrase }) => contents(file, passphrase).certificate.publicKey.export({ type: "spki", format: "der" }).toString("hex"));
    if (keys[0] === keys[1]) throw new Error("the same key after a new start");
    return second;
  });
  await firstIsRevoked(t, person, first, second);
  await finishes(t, person, second);
}

async function firstIsRevoked(t, { demo, subject, words, home }, first, second) {
  await t.check("the first one is revoked, the old one still works", async () => {
    await hasState(t, demo, "revoked", first);
    await hasState(t, demo, "pending", second);
    await hasState(t, demo, "active", { file: subject.p12, passphrase: subject.p12_passphrase });
    // The second one waits: whoever shows the first one needs neither a new one nor a reissue.
    await isRefused(t, demo, subject, first, words.seen.old);
    await mailNames(demo, subject, first.serial);
  });
  await t.check("the published revocation list says the same", async () => {
    await until("the list names the first certificate", () => isListedAsRevoked(demo, first, home.path));
    same(await isListedAsRevoked(demo, second, home.path), false, "the list names the second certificate");
    same(await ocspStatus(demo, first, home.path), "revoked", "what OCSP says about the first certificate");
    same(await ocspStatus(demo, second, home.path), "good", "what OCSP says about the second certificate");
  });
}

async function finishes(t, person, saved) {
  await t.check("the second one is imported, activated and logs in", async () => {
    person.import(saved);
    await person.activate();
    await person.browser.restart();
    await person.enter(person.words.main);
    same(await person.serial(), saved.serial, "serial number");
  });
}

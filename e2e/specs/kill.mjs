// kill -9 at every step of a renewal, then the same data, the same ports, the same pages: one certificate, the same bytes.

import { button, heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents } from "../lib/judges.mjs";
import { hasState, stored } from "../lib/ledger.mjs";
import { same } from "../lib/scenario.mjs";

/** A renewal in steps. Each finds the pages as the one before has left them. */
const STEPS = [
  { name: "the notice is shown", go: (person) => person.enter(person.words.notice) },
  { name: "the renewal has begun", go: (person) => person.renewNow() },
  {
    name: "the first question is asked",
    async go(person) {
      await person.pressRenew();
      await person.question(1);
    },
  },
  {
    name: "the certificate is issued, the second question is asked",
    async go(person, notes) {
      await person.answer(1, person.words.yes);
      notes.serial = await person.serialAsked();
    },
  },
  {
    name: "the file is saved",
    async go(person, notes) {
      notes.saved = await person.receive();
    },
  },
  {
    name: "the file is imported",
    async go(person, notes) {
      person.import(notes.saved);
      await button(person.page, person.words.imported).click();
    },
  },
  {
    name: "the certificate is in use",
    async go(person) {
      const tab = await person.browser.context.newPage();
      await tab.goto(person.demo.activate);
      await heading(tab, person.words.works);
    },
  },
  {
    name: "the new certificate has logged in",
    async go(person, notes) {
      await person.browser.restart();
      await person.enter(person.words.main);
      same(await person.serial(), notes.saved.serial, "serial number on the main screen");
    },
  },
];

/**
 * The requests that write, killed between what the server did and its answer. `begin` sends one from a page, `goOn` is what
 * the holder does when the page did not go on by itself; both stand for the step of this name.
 */
const WRITES = [
  {
    pattern: "*/renewals",
    step: "the renewal has begun",
    begin: (person, page) => button(page, person.words.renewNow).click(),
    async goOn({ page, words, demo }) {
      await page.goto(`${demo.portal}/main`);
      await page.getByRole("link", { name: words.menuContinue }).click();
      await heading(page, words.start);
    },
  },
  {
    pattern: "*/request",
    step: "the certificate is issued, the second question is asked",
    begin: (person) => person.answer(1, person.words.yes),
    async goOn(person, notes) {
      notes.serial = await person.serialAsked();
    },
  },
  {
    pattern: "*/delivered",
    step: "the file is saved",
    async begin(person, page, notes) {
      notes.download = page.waitForEvent("download");
      await person.answer(2, person.words.yes);
    },
    async goOn(person, notes) {
      await heading(person.page, person.words.complete);
      notes.saved = await person.keep(await notes.download, person.page);
    },
  },
  {
    pattern: "*/activate",
    step: "the certificate is in use",
    // The page that breaks off is an error page of the browser's: that is no failure of this step.
    begin: (person, page) => page.goto(person.demo.activate).catch(() => {}),
    async goOn(person, notes, page) {
      await page.goto(person.demo.activate);
      await person.says(person.words.already, page);
    },
  },
];

// What is tried here has no language.
const languages = ["ja"];

export const scenarios = [
  ...STEPS.map(({ name }, at) => ({ name: `kill -9 when ${name}`, sets: ["all"], languages, run: (t) => killAfter(t, at) })),
  ...WRITES.map((write) => ({ name: `kill -9 before the answer to ${write.pattern}`, sets: ["all"], languages, run: (t) => killBeforeAnswer(t, write) })),
];

async function killAfter(t, at) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const notes = {};
  for (const { go } of STEPS.slice(0, at + 1)) await go(person, notes);
  const before = stored(demo, subject);
  await t.check("killed and started again, everything is as it was", async () => {
    await demo.kill();
    await demo.run();
    same(JSON.stringify(stored(demo, subject)), JSON.stringify(before), "what is stored");
  });
  await t.check("the same pages go on to the end", async () => {
    for (const { go } of STEPS.slice(at + 1)) await go(person, notes);
    await isWhole(t, person, notes, before);
  });
}

async function killBeforeAnswer(t, { pattern, step, begin, goOn }) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const notes = {};
  const at = STEPS.findIndex(({ name }) => name === step);
  for (const { go } of STEPS.slice(0, at)) await go(person, notes);
  await t.check("the page goes on by itself, or the holder takes the step again", async () => {
    const page = pattern.endsWith("/activate") ? await person.browser.context.newPage() : person.page;
    const [killed] = await killOnAnswer(page, demo, pattern);
    await begin(person, page, notes);
    await killed;
    await goOn(person, notes, page);
  });
  await t.check("and from there to the end", async () => {
    for (const { go } of STEPS.slice(at + 1)) await go(person, notes);
    await isWhole(t, person, notes);
  });
}

/** Kills the demo when it has answered a request of this kind, loses the answer, starts the demo again. */
async function killOnAnswer(page, demo, urlPattern) {
  const session = await page.context().newCDPSession(page);
  const happened = new Promise((resolve, reject) => {
    session.once("Fetch.requestPaused", async ({ requestId }) => {
      try {
        await demo.kill();
        await session.send("Fetch.failRequest", { requestId, errorReason: "ConnectionReset" });
        await session.detach();
        await demo.run();
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
  happened.catch(() => {});
  await session.send("Fetch.enable", { patterns: [{ urlPattern, requestStage: "Response" }] });
  // In an array, or the caller would wait here for what has yet to happen.
  return [happened];
}

async function isWhole(t, { demo, subject }, { serial, saved }, before) {
  const { certificates, unsigned } = stored(demo, subject);
  const own = contents(subject.p12, subject.p12_passphrase);
  const fresh = contents(saved.file, saved.passphrase);
  same(serial, saved.serial, "serial number");
  same(certificates.map(({ serial, status }) => `${serial} ${status}`).join(), `${own.serial} superseded,${fresh.serial} active`, "certificates");
  same(certificates[1].der, fresh.certificate.raw.toString("hex").toUpperCase(), "bytes of the certificate");
  same(unsigned, 0, "intents without a certificate");
  const earlier = before?.certificates[1]?.der;
  if (earlier) same(certificates[1].der, earlier, "bytes of the certificate before the kill and after");
  await hasState(t, demo, "active", saved);
  await hasState(t, demo, "superseded", { file: subject.p12, passphrase: subject.p12_passphrase });
}

async function enterAndGoOn(person) {
  await person.page.goto(`${person.demo.portal}/main`);
  await person.page.getByRole("link", { name: person.words.menuContinue }).click();
  await heading(person.page, person.words.start);
}

async function sawActivation(person) {
  const tab = await person.browser.context.newPage();
  await tab.goto(person.demo.activate);
  await person.says(person.words.already, tab);
}

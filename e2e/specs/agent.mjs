// The key on this PC: a click in the page, koshin-agent, NSS, and the same running browser goes on with the new certificate.

import { heading } from "../lib/browser.mjs";
import { Agent } from "../lib/agent.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { contents } from "../lib/judges.mjs";
import { stored } from "../lib/ledger.mjs";
import { contains, same, until } from "../lib/scenario.mjs";

const ROUNDS = 20;

export const scenarios = [
  { name: "agent: from click to new certificate", sets: ["ci", "all", "screens"], run: renew },
  { name: "agent: No at each question", sets: ["all"], run: declined },
  { name: "agent: killed at each question", sets: ["all"], languages: ["en"], run: killed },
  { name: "agent: the browser is killed", sets: ["all"], languages: ["en"], run: browserKilled },
  { name: "agent: the portal is killed", sets: ["all"], languages: ["en"], run: portalKilled },
  { name: "agent: twenty in a row", sets: ["all"], languages: ["en"], seconds: 900, run: twenty },
];

/** Somebody with a certificate, a registered agent, and a browser that may start it. */
async function arrive(t, demo) {
  const subject = demo.subject(isDue);
  const person = new Person(t, demo, subject);
  person.sitDown();
  person.agent = Agent.install(t, demo, person.home);
  person.old = contents(subject.p12, subject.p12_passphrase).serial;
  await person.openBrowser({ env: person.agent.env });
  return person;
}

/** From the login to the screen that offers the agent; returns the digits that it shows. */
async function offered(person) {
  await person.enter(person.words.notice);
  await person.renewNow();
  return digits(person.page);
}

async function digits(page) {
  await page.locator("#choose-agent").click();
  await page.locator("#agent-link").waitFor();
  return (await page.locator("#agent-code").textContent()).replace(/\s/g, "");
}

/** Clicks, and waits until the page says by itself that it is done. Returns the new serial number and how long it took. */
async function click(person) {
  const began = performance.now();
  await person.page.locator("#agent-link").click();
  await heading(person.page, person.words.complete);
  return { serial: await person.serial(), seconds: (performance.now() - began) / 1000 };
}

/** The same browser, still running, opens the portal again, and is known by the new certificate. */
async function goesOn(person, serial) {
  const page = await person.browser.context.newPage();
  const failures = [];
  page.on("requestfailed", (request) => failures.push(`${request.url()}: ${request.failure()?.errorText}`));
  await page.goto(person.demo.portal);
  await heading(page, person.words.login);
  contains(await page.locator("main").innerText(), serial.slice(-8), "the login page's serial number");
  person.page = page;
  await person.logIn();
  await heading(page, person.words.main);
  same(await person.serial(), serial, "serial number on the main screen");
  same(failures.join("\n"), "", "requests that failed");
}

function holdsInTheEnd(person, serial) {
  same(person.agent.serials().join(), serial, "certificates on this computer");
  const { certificates, unsigned } = stored(person.demo, person.subject);
  const found = certificates.map((one) => `${one.serial} ${one.status}`).join();
  same(found, `${person.old} superseded,${serial} active`, "certificates");
  same(unsigned, 0, "intents without a certificate");
}

async function renew(t) {
  const demo = await t.demo();
  const person = await arrive(t, demo);
  const code = await t.check("the start screen offers the agent, with digits", () => offered(person));
  await t.screen(person.page, "start-agent");
  person.agent.answers(code, "yes");
  const { serial, seconds } = await t.check("a click, two answers, and the page completes by itself", () => click(person));
  t.report.note(`${seconds.toFixed(2)} s from the click to the completion screen`);
  await t.screen(person.page, "complete-agent");
  await t.judge("the dialogs named portal, ID and serial number", () => {
    for (const part of [new URL(demo.portal).host, person.subject.id, serial]) contains(person.agent.shown, part, "dialogs");
    same(person.agent.asked, 2, "questions");
  });
  await t.check("the same browser goes on with the new certificate, without an error page", () => goesOn(person, serial));
  await t.check("one certificate was issued, and the old key is gone", () => holdsInTheEnd(person, serial));
}

async function declined(t) {
  const demo = await t.demo();
  const person = await arrive(t, demo);
  const code = await offered(person);
  await t.check("No at the first question: nothing was made", async () => {
    person.agent.answers("no");
    await person.page.locator("#agent-link").click();
    await until("the question was answered", () => person.agent.asked === 1);
    same(stored(demo, person.subject).certificates.length, 1, "certificates");
    same(person.agent.serials().join(), person.old, "certificates on this computer");
  });
  await t.check("No at the second: one certificate, not installed", async () => {
    person.agent.answers(code, "no");
    same(person.agent.attempt("renew").status, 5, "exit status");
    same(stored(demo, person.subject).certificates.length, 2, "certificates");
  });
  await t.check("Yes at last installs the same one", async () => {
    person.agent.answers("yes");
    person.agent.command("renew");
    await heading(person.page, person.words.complete);
    const serial = await person.serial();
    holdsInTheEnd(person, serial);
    await goesOn(person, serial);
  });
}

async function killed(t) {
  for (const [name, answers] of [["first", () => ["kill"]], ["second", (code) => [code, "kill"]]]) {
    const demo = await t.demo();
    const person = await arrive(t, demo);
    const code = await offered(person);
    await t.check(`killed at the ${name} question, and run again`, async () => {
      person.agent.answers(...answers(code));
      await person.page.locator("#agent-link").click();
      await until("the agent is asked", () => person.agent.asked === answers(code).length);
      person.agent.answers(...(name === "first" ? [code, "yes"] : ["yes"]));
      person.agent.command("renew");
      await heading(person.page, person.words.complete);
      const serial = await person.serial();
      await goesOn(person, serial);
      holdsInTheEnd(person, serial);
    });
    await person.browser.close();
  }
}

async function browserKilled(t) {
  const demo = await t.demo();
  const person = await arrive(t, demo);
  const code = await offered(person);
  await t.check("the browser ends while the agent asks; the agent finishes alone", async () => {
    person.agent.answers("no");
    await person.page.locator("#agent-link").click();
    await until("the agent is asked", () => person.agent.asked === 1);
    await person.browser.close();
    person.agent.answers(code, "yes");
    person.agent.command("renew");
    await person.browser.open();
    const [serial] = person.agent.serials();
    await goesOn(person, serial);
    holdsInTheEnd(person, serial);
  });
}

async function portalKilled(t) {
  const demo = await t.demo();
  const person = await arrive(t, demo);
  const code = await offered(person);
  await t.check("the portal is away at the second answer, and everything is kept", async () => {
    person.agent.answers(code, "no");
    await person.page.locator("#agent-link").click();
    await until("the certificate is there", () => person.agent.asked === 2);
    await demo.kill();
    person.agent.answers("yes");
    same(person.agent.attempt("renew").status, 6, "exit status while the portal is away");
    await demo.run();
    person.agent.answers();
    person.agent.command("renew");
    const [serial] = person.agent.serials();
    await goesOn(person, serial);
    holdsInTheEnd(person, serial);
  });
}

async function twenty(t) {
  const times = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const demo = await t.demo();
    const person = await arrive(t, demo);
    await t.check(`round ${round}`, async () => {
      person.agent.answers(await offered(person), "yes");
      const { serial, seconds } = await click(person);
      times.push(seconds);
      await goesOn(person, serial);
      holdsInTheEnd(person, serial);
    });
    await person.browser.close();
    await demo.remove();
  }
  times.sort((one, other) => one - other);
  t.report.note(`from the click: ${times[0].toFixed(2)} to ${times.at(-1).toFixed(2)} s, median ${times[ROUNDS / 2].toFixed(2)} s`);
}

// Every screen once, in the order of a story: for the pictures, and for axe-core.

import { button, heading, link } from "../lib/browser.mjs";
import { isAdministrator, isDue, isExpired, isUrgent } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "every screen", sets: ["all", "screens"], seconds: 300, run: everyScreen }];

async function everyScreen(t) {
  const demo = await t.demo();
  const holder = await Person.arrive(t, demo, demo.subject(isDue));
  await untilTheQuestions(t, holder);
  const first = await throughTheQuestions(t, holder);
  const second = await againWithoutTheKey(t, holder);
  await intoUse(t, holder, second);
  await otherStates(t, holder, first);
  await holder.browser.close();
  await otherPeople(t, demo);
  await t.check("no screen was left out", () => same(t.screens.unseen(t.language).join(), "", "screens not seen"));
}

/** The pages that go on by themselves are held: their scripts are left out. */
async function hold(context, script) {
  const pattern = `**/assets/${script}*`;
  await context.route(pattern, (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
  return () => context.unroute(pattern);
}

async function untilTheQuestions(t, holder) {
  const { page, words, browser } = holder;
  await holder.openLogin();
  await t.screen(page, "login");
  await holder.logIn("not the password");
  await page.getByRole("alert").getByText(words.loginFailed).waitFor();
  await t.screen(page, "login-failed");
  await holder.logIn();
  await heading(page, words.notice);
  await t.screen(page, "notice");
  await button(page, words.renewLater).click();
  await heading(page, words.main);
  await t.screen(page, "main");
  const release = await hold(browser.context, "preparing.mjs");
  await page.getByRole("button", { name: words.menuRenew }).click();
  await heading(page, words.preparing);
  await t.screen(page, "preparing");
  await release();
  await page.locator("#onward").click();
  await heading(page, words.start);
  await t.screen(page, "start");
}

async function throughTheQuestions(t, holder) {
  const { page, words } = holder;
  await holder.pressRenew();
  await holder.question(1);
  await t.screen(page, "confirmation-1");
  await holder.answer(1, words.no);
  await heading(page, words.declined);
  await t.screen(page, "declined-1");
  await link(page, words.goOn).click();
  await heading(page, words.start);
  await holder.pressRenew();
  await holder.answer(1, words.yes);
  await holder.question(2);
  await t.screen(page, "confirmation-2");
  await holder.answer(2, words.no);
  await heading(page, words.declined);
  await t.screen(page, "declined-2");
  await link(page, words.goOn).click();
  await heading(page, words.start);
  await t.screen(page, "start-issued");
  await holder.pressRenew();
  const saved = await holder.receive();
  await t.screen(page, "complete");
  return saved;
}

async function againWithoutTheKey(t, holder) {
  const { page, words, demo } = holder;
  const renewal = page.url().replace(/\/complete$/, "");
  await page.goto(`${demo.portal}/main`);
  await t.screen(page, "main-issued");
  await page.goto(`${renewal}/start-again`);
  await heading(page, words.startAgain);
  await t.screen(page, "start-again");
  await holder.loseKey();
  await page.goto(`${renewal}/start`);
  await holder.pressRenew();
  await page.getByRole("heading", { name: words.noKey, exact: true }).waitFor();
  await t.screen(page, "no-key");
  await button(page, words.startAgain).click();
  await heading(page, words.start);
  return holder.obtain();
}

async function intoUse(t, holder, saved) {
  const { page, words, demo, browser } = holder;
  holder.import(saved);
  const release = await hold(browser.context, "activate.mjs");
  const tab = await holder.openActivation();
  await heading(tab, words.activation);
  await t.screen(tab, "activation-confirm");
  await release();
  await button(tab, words.activate).click();
  await heading(tab, words.works);
  await t.screen(tab, "activation-done");
  await page.getByRole("heading", { name: words.ready, exact: true }).waitFor();
  await t.screen(page, "complete-activated");
  await tab.goto(`${demo.portal}/main`);
  await heading(tab, words.replaced);
  await t.screen(tab, "session-replaced");
  await tab.goto(demo.portal);
  await holder.says(words.seen.old, tab);
  await t.screen(tab, "login-old-certificate");
  await button(page, words.close).click();
  await heading(page, words.signedOut);
  await t.screen(page, "signed-out");
}

async function otherStates(t, holder, first) {
  const { words, demo } = holder;
  await holder.browser.restart();
  await holder.openLogin();
  await t.screen(holder.page, "login-again");
  await holder.page.goto(`${demo.portal}/doctor`);
  await heading(holder.page, words.doctor);
  await t.screen(holder.page, "doctor-active");
  await holder.page.goto(`${demo.portal}/no/such/page`);
  await heading(holder.page, words.notFound);
  await t.screen(holder.page, "problem-not-found");
  holder.home.replaceBy(first.file, first.passphrase);
  await holder.browser.restart();
  await holder.page.goto(`${demo.portal}/doctor`);
  await holder.says(words.seen.old);
  await t.screen(holder.page, "doctor-revoked");
}

async function otherPeople(t, demo) {
  const { words } = t;
  const urgent = await Person.arrive(t, demo, demo.subject(isUrgent));
  await urgent.enter(words.notice);
  await t.screen(urgent.page, "notice-urgent");
  await urgent.browser.close();
  const administrator = await Person.arrive(t, demo, demo.subject(isAdministrator));
  await administrator.enter(words.main);
  await t.screen(administrator.page, "main-administrator");
  await administrator.browser.close();
  const subject = demo.subject(isExpired);
  const presents = { origin: demo.portal, pfxPath: subject.p12, passphrase: subject.p12_passphrase };
  const greeted = await Person.arrive(t, demo, subject, { p12: null, browser: { presents } });
  await greeted.openLogin(words.seen.expired);
  await t.screen(greeted.page, "login-expired");
  await greeted.browser.close();
  await enrolment(t, demo, subject);
}

async function enrolment(t, demo, subject) {
  const person = await Person.arrive(t, demo, subject);
  const { page, words } = person;
  await person.openLogin(words.seen.none);
  await t.screen(page, "login-no-certificate");
  await page.goto(`${demo.portal}/doctor`);
  await heading(page, words.doctor);
  await t.screen(page, "doctor-none");
  await page.goto(demo.public);
  await heading(page, words.home);
  await t.screen(page, "enrol-home");
  await link(page, words.obtainLink).click();
  await page.locator("#password").waitFor();
  await t.screen(page, "enrol-identify");
  await person.identify();
  await t.screen(page, "enrol-code");
  const code = await t.code(demo, subject);
  await page.locator("#code").fill(code === "00000000" ? "11111111" : "00000000");
  await button(page, words.confirm).click();
  await page.getByRole("alert").getByText(words.codeWrong).waitFor();
  await t.screen(page, "enrol-code-wrong");
  const release = await hold(person.browser.context, "preparing.mjs");
  await page.locator("#code").fill(code);
  await button(page, words.confirm).click();
  await heading(page, words.preparingEnrolment);
  await t.screen(page, "enrol-preparing");
  await release();
  await page.locator("#onward").click();
  await heading(page, words.startEnrolment);
  await t.screen(page, "enrol-start");
  const saved = await person.obtain({ name: words.obtain });
  await t.screen(page, "enrol-complete");
  person.import(saved);
  const tab = await person.activate();
  await t.screen(tab, "enrol-activation-done");
}

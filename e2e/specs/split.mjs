// The portal alone, and a CA in another process: the same renewal, also while the CA is away, and what the CA revokes.

import { button, heading } from "../lib/browser.mjs";
import { Web } from "../lib/ca.mjs";
import { isDue, isUrgent } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { Client } from "../lib/http.mjs";
import { certificateIsSound, contents, ocspStatus } from "../lib/judges.mjs";
import { isRefused, stored } from "../lib/ledger.mjs";
import { same, until } from "../lib/scenario.mjs";
import { scratch } from "../lib/scratch.mjs";

export const scenarios = [{ name: "a portal and a CA of their own", sets: ["ci", "all", "screens"], run: apart }];

async function apart(t) {
  const demo = await t.demo({ whole: true });
  const ca = await t.ca(demo);
  const web = await Web.of(demo, ca);
  t.onEnd(() => web.kill());
  const first = demo.subject(isDue);
  const person = await Person.arrive(t, demo, first);
  const { words } = person;
  const saved = await t.check("a renewal through koshin-web gets its certificate from koshin-ca", async () => {
    await person.enter(words.notice);
    await person.renewNow();
    return person.obtain();
  });
  await t.check("openssl, pkilint and the CA's own answers find it sound", () => certificateIsSound(demo, saved, scratch("judge")));
  await t.check("imported and activated, it logs in", async () => {
    person.import(saved);
    await person.activate();
    await person.browser.restart();
    await person.enter(words.main);
    same(await person.serial(), saved.serial, "serial number");
  });

  const second = demo.subject(isUrgent);
  const other = await Person.arrive(t, demo, second);
  await t.check("with the CA killed, login and notice go on, and the renewal says to try later", async () => {
    await ca.kill();
    await other.enter(words.notice);
    await other.renewNow();
    await other.pressRenew();
    await other.answer(1, words.yes);
    // The page asks again by itself for a while.
    await other.page.locator("#problem").waitFor({ timeout: 60_000 });
    same(stored(demo, second).certificates.length, 1, "certificates");
  });
  await t.screen(other.page, "start-ca-away");
  const later = await t.check("with the CA back, the same click goes on with the same key: one certificate", async () => {
    await ca.start();
    await other.pressRenew();
    const saved = await other.receive();
    same(stored(demo, second).certificates.length, 2, "certificates");
    return saved;
  });
  await t.check("what the CA's operator revokes is refused by the portal, and by open sessions", async () => {
    const client = new Client(demo, { p12: saved.file, passphrase: saved.passphrase, language: t.language });
    same((await client.logIn(first)).status, 303, "status of the login");
    same((await client.get(`${demo.portal}/main`)).status, 200, "status of the main screen");
    ca.command("revoke", saved.serial, "--reason", "keyCompromise");
    await until("the session has ended", async () => (await client.get(`${demo.portal}/main`)).status !== 200, 3);
    await isRefused(t, demo, first, saved, words.seen.revoked);
    same(await ocspStatus(demo, saved, scratch("judge")), "revoked", "what OCSP says");
  });
  await t.check("the other certificate is nobody else's business", async () => {
    other.import(later);
    await other.activate();
    await other.browser.restart();
    await other.enter(words.main);
    same(await other.serial(), contents(later.file, later.passphrase).serial, "serial number");
    await button(other.page, words.signOut).click();
    await heading(other.page, words.signedOut);
  });
}

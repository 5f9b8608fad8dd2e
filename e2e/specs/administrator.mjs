// 200 days left: no notice, no menu item, and no way around the window.

import { heading, link } from "../lib/browser.mjs";
import { isAdministrator, isUrgent } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { Client } from "../lib/http.mjs";
import { contains, same } from "../lib/scenario.mjs";

export const scenarios = [
  { name: "administrator", sets: ["ci", "all"], run: administrator },
  { name: "eight days left", sets: ["all"], run: urgent },
];

async function administrator(t) {
  const demo = await t.demo();
  const subject = demo.subject(isAdministrator);
  same(subject.days_left, 200, "days left");
  const person = await Person.arrive(t, demo, subject);
  await t.check("beside the login stands the door to 電子証明書取得", async () => {
    await person.openLogin();
    same(await link(person.page, t.words.door).getAttribute("href"), `${demo.public}/enrol`, "where the door leads");
  });
  await t.check("the login leads straight to the main screen", () => person.enter(t.words.main));
  await t.check("nothing there renews, and it says from when on", async () => {
    same(await person.page.getByRole("button", { name: t.words.menuRenew }).count(), 0, "menu items for renewal");
    contains(await person.page.locator("main").innerText(), t.words.opensOn, "main screen");
  });
  await t.screen(person.page, "main-administrator");
  await t.check("a renewal that is asked for all the same is refused", async () => {
    const client = new Client(demo, { p12: subject.p12, passphrase: subject.p12_passphrase, language: t.language });
    same((await client.logIn(subject)).headers.location, "/main", "where the login leads");
    same((await client.get(`${demo.portal}/notice`)).headers.location, "/main", "where the notice leads");
    same((await client.post(`${demo.portal}/renewals`)).status, 403, "status of a renewal before the window");
  });
}

async function urgent(t) {
  const demo = await t.demo();
  const person = await Person.arrive(t, demo, demo.subject(isUrgent));
  await t.check("with 8 days left the notice insists", async () => {
    await person.enter(t.words.notice);
    await heading(person.page, t.words.notice);
    contains(await person.page.locator("main").innerText(), t.words.daysLeft(8), "notice");
  });
  await t.screen(person.page, "notice-urgent");
}

// Without JavaScript everything works but the making of a key, and the page says so.

import { button, heading, link } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "without JavaScript", sets: ["all"], run: scriptless }];

async function scriptless(t) {
  const demo = await t.demo();
  const person = await Person.arrive(t, demo, demo.subject(isDue), { browser: { scripts: false } });
  const { page, words } = person;
  await t.check("login, notice, later, main screen, doctor, sign-out", async () => {
    await person.enter(words.notice);
    await button(page, words.renewLater).click();
    await heading(page, words.main);
    await link(page, words.doctor).first().click();
    await heading(page, words.doctor);
    await page.goto(`${demo.portal}/main`);
    await button(page, words.signOut).click();
    await heading(page, words.signedOut);
  });
  await t.check("the preparation goes on by itself, and the start says what is needed", async () => {
    await person.enter(words.notice);
    await person.renewNow();
    await person.says(words.scriptNeeded);
    same(await button(page, words.renew).isDisabled(), true, "the button is disabled");
  });
}

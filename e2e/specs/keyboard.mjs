// The whole way without a mouse: Tab, Enter, Space, letters.

import { heading } from "../lib/browser.mjs";
import { isDue } from "../lib/demo.mjs";
import { Person } from "../lib/flow.mjs";
import { same } from "../lib/scenario.mjs";

export const scenarios = [{ name: "keyboard only", sets: ["all"], run: keyboard }];

/** More than any screen has. */
const MOST_STOPS = 60;

async function keyboard(t) {
  const demo = await t.demo();
  const subject = demo.subject(isDue);
  const person = await Person.arrive(t, demo, subject);
  const { words, page } = person;
  await t.check("login", async () => {
    await person.openLogin();
    await page.keyboard.press("Tab");
    same(await page.evaluate(() => document.activeElement.className), "skip", "the first stop");
    await tabTo(page, "#id");
    await page.keyboard.type(subject.id);
    await page.keyboard.press("Tab");
    await page.keyboard.type(subject.password);
    await page.keyboard.press("Enter");
    await heading(page, words.notice);
  });
  await t.check("notice and preparation", async () => {
    await press(page, "#renew-now", "Enter");
    await heading(page, words.start);
  });
  await t.check("both questions keep the focus inside, and はい is reached", async () => {
    await press(page, "#renew", "Space");
    await person.question(1);
    await staysInside(page, "#confirm-request");
    await press(page, "#confirm-request button[value=yes]", "Enter");
    await person.question(2);
    await staysInside(page, "#confirm-delivery");
  });
  const saved = await t.check("completion: the file is saved", async () => {
    const download = page.waitForEvent("download");
    await press(page, "#confirm-delivery button[value=yes]", "Space");
    await heading(page, words.complete);
    return person.keep(await download, page);
  });
  await t.check("save again, copy, steps, check", async () => {
    const [again] = await Promise.all([page.waitForEvent("download"), press(page, "#save-again", "Enter")]);
    same(again.suggestedFilename(), saved.name, "name of the file");
    await press(page, "details[data-system=firefox] summary", "Enter");
    await page.locator("details[data-system=firefox] ol").waitFor();
    person.import(saved);
    await press(page, "#imported", "Enter");
    await page.waitForFunction(() => document.activeElement.id === "activate");
    const [tab] = await Promise.all([person.browser.context.waitForEvent("page"), page.keyboard.press("Enter")]);
    await heading(tab, words.works);
    await tab.close();
    await page.getByRole("heading", { name: words.ready, exact: true }).waitFor();
  });
  await t.check("close", async () => {
    await press(page, "#close", "Enter");
    await heading(page, words.signedOut);
  });
}

/** Presses Tab until this element has the focus, and that can be seen. */
async function tabTo(page, selector) {
  for (let stops = 0; stops < MOST_STOPS; stops += 1) {
    const there = await page.evaluate((selector) => document.activeElement?.matches(selector) ?? false, selector);
    if (there) return visible(page, selector);
    await page.keyboard.press("Tab");
  }
  throw new Error(`${selector} cannot be reached with Tab`);
}

async function visible(page, selector) {
  const { width, style, shadow, inside } = await page.evaluate(() => {
    const style = getComputedStyle(document.activeElement);
    const box = document.activeElement.getBoundingClientRect();
    const inside = box.bottom > 0 && box.top < innerHeight && box.width > 0;
    return { width: parseFloat(style.outlineWidth), style: style.outlineStyle, shadow: style.boxShadow, inside };
  });
  if (!inside) throw new Error(`${selector} has the focus outside of what is seen`);
  if ((style === "none" || width < 1) && shadow === "none") throw new Error(`nothing shows that ${selector} has the focus`);
}

async function press(page, selector, key) {
  await page.locator(selector).waitFor();
  await page.waitForFunction((selector) => !document.querySelector(selector).disabled, selector);
  await tabTo(page, selector);
  await page.keyboard.press(key);
}

/** Tab goes round inside of the dialog, and perhaps over the browser's own controls, but never behind it. */
async function staysInside(page, dialog) {
  for (let stops = 0; stops < 6; stops += 1) {
    await page.keyboard.press("Tab");
    const outside = await page.evaluate((dialog) => {
      const active = document.activeElement;
      return active !== document.body && !active.closest(dialog) ? active.outerHTML : null;
    }, dialog);
    if (outside) throw new Error(`the focus left the dialog for ${outside}`);
  }
}

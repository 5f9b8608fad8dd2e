// Every screen that a person can meet: looked at with axe-core, and photographed for the documentation.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { violations } from "./axe.mjs";
import { shrink } from "./png.mjs";

/** In the order of a first reading. The number in a picture's file name is the place in this list. */
export const SCREENS = [
  "login", "notice", "main", "preparing", "start", "confirmation-1", "confirmation-2", "complete",
  "activation-confirm", "activation-done", "complete-activated", "session-replaced", "login-old-certificate", "login-again",
  "notice-urgent", "login-failed", "declined-1", "declined-2", "start-issued", "main-issued", "no-key", "start-again",
  "signed-out", "main-administrator",
  "login-expired", "login-no-certificate", "enrol-home", "enrol-identify", "enrol-code", "enrol-code-wrong",
  "enrol-preparing", "enrol-start", "enrol-complete", "enrol-activation-done",
  "doctor-active", "doctor-none", "doctor-revoked", "problem-not-found", "start-ca-away", "start-agent", "complete-agent",
];

export class Screens {
  /** @param {string | undefined} folder where pictures go; none are taken without it */
  constructor(folder) {
    this.folder = folder;
    this.visited = new Set();
    if (folder) mkdirSync(folder, { recursive: true });
  }

  async visit(page, name, language) {
    const number = SCREENS.indexOf(name) + 1;
    if (number === 0) throw new Error(`no screen is called ${name}`);
    const key = `${name}.${language}`;
    if (this.folder && !this.visited.has(key)) {
      const file = join(this.folder, `${`${number}`.padStart(2, "0")}-${name}.${language}.png`);
      // A dialog and what it darkens are as large as the window; other pages are shown whole.
      const fullPage = (await page.locator("dialog[open]").count()) === 0;
      writeFileSync(file, shrink(await page.screenshot({ fullPage, animations: "disabled", caret: "hide" })));
    }
    this.visited.add(key);
    await this.accessible(page, language);
  }

  async accessible(page, language) {
    const said = await page.locator("html").getAttribute("lang");
    if (said !== language) throw new Error(`the page says that its language is “${said}”, not “${language}”`);
    const found = await violations(page);
    if (found.length > 0) throw new Error(`axe-core:\n${found.join("\n")}`);
  }

  /** The screens of the list that nobody has seen in this language. */
  unseen(language) {
    return SCREENS.filter((name) => !this.visited.has(`${name}.${language}`));
  }
}

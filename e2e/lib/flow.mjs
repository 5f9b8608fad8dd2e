// A person at a computer: what they click, in the words that the screens use, and what they expect to see.

import { existsSync } from "node:fs";

import { Browser, button, heading, link } from "./browser.mjs";
import { Home } from "./nss.mjs";
import { WORDS } from "./words.mjs";

export class Person {
  /** Sits down at a computer of their own, with their certificate in its store unless they have none. */
  static async arrive(t, demo, subject, { p12 = subject.p12, passphrase = subject.p12_passphrase, browser = {} } = {}) {
    const person = new Person(t, demo, subject);
    person.sitDown({ p12, passphrase });
    await person.openBrowser(browser);
    return person;
  }

  constructor(t, demo, subject) {
    Object.assign(this, { t, demo, subject, words: WORDS[t.language] });
  }

  /** Takes a computer, with a certificate in its store if there is one. */
  sitDown({ p12 = this.subject.p12, passphrase = this.subject.p12_passphrase } = {}) {
    this.home = new Home();
    this.t.onEnd(() => this.home.remove());
    if (p12) this.home.import(p12, passphrase);
  }

  async openBrowser(options = {}) {
    this.browser = new Browser({ home: this.home, language: this.t.language, ...options });
    this.t.watch(this.browser);
    await this.browser.open();
  }

  get page() {
    return this.browser.page;
  }

  set page(page) {
    this.browser.page = page;
  }

  /** Opens the login page and finds it saying this about the certificate, unless that is null. */
  async openLogin(greeting = this.words.seen.active) {
    await this.page.goto(this.demo.portal);
    await heading(this.page, this.words.login);
    if (greeting) await this.says(greeting);
  }

  /** A banner or section of the page has this level-2 heading, perhaps behind a word that only screen readers say. */
  async says(text, page = this.page) {
    await page.locator("main").getByRole("heading", { name: text }).first().waitFor();
  }

  /** Fills in the login form and sends it. */
  async logIn(password = this.subject.password) {
    const { field, logIn } = this.words;
    await this.page.getByLabel(field.id, { exact: true }).fill(this.subject.id);
    await this.page.getByLabel(field.password, { exact: true }).fill(password);
    await button(this.page, logIn).click();
  }

  /** From an empty tab to the page behind the login. */
  async enter(expected, greeting) {
    await this.openLogin(greeting);
    await this.logIn();
    await heading(this.page, expected);
  }

  /** From the notice to the start screen; the preparation goes on by itself. */
  async renewNow() {
    await button(this.page, this.words.renewNow).click();
    await heading(this.page, this.words.start);
  }

  /** From the menu to the start screen. */
  async renewFromMenu() {
    await this.page.getByRole("button", { name: this.words.menuRenew }).click();
    await heading(this.page, this.words.start);
  }

  async pressRenew(page = this.page, name = this.words.renew) {
    await button(page, name).click();
  }

  /** The first (1) or second (2) question, once it is shown. */
  async question(number, page = this.page) {
    const dialog = page.locator(number === 1 ? "#confirm-request" : "#confirm-delivery");
    await dialog.getByRole("heading", { name: this.words.dialog, exact: true }).waitFor();
    return dialog;
  }

  async answer(number, word, page = this.page) {
    await button(await this.question(number, page), word).click();
  }

  /** The serial number that the second question names. */
  async serialAsked(page = this.page) {
    const dialog = await this.question(2, page);
    return (await dialog.locator("#new-serial").textContent()).trim();
  }

  /** From the start screen through both questions to the completed issuance. */
  async obtain({ page = this.page, name = this.words.renew } = {}) {
    await this.pressRenew(page, name);
    await this.answer(1, this.words.yes, page);
    return this.receive(page);
  }

  /** Agrees to the second question and takes the file that the next screen saves. */
  async receive(page = this.page) {
    const download = page.waitForEvent("download");
    download.catch(() => {});
    await this.answer(2, this.words.yes, page);
    await heading(page, this.words.complete);
    return this.keep(await download, page);
  }

  /** Presses "save the file again" on the completion screen. */
  async saveAgain(page = this.page) {
    const [download] = await Promise.all([page.waitForEvent("download"), button(page, this.words.saveAgain).click()]);
    return this.keep(download, page);
  }

  /** Puts a download into the folder for downloads, and notes what the completion screen says about it. */
  async keep(download, page) {
    const name = download.suggestedFilename();
    let file = this.home.file(`downloads/${name}`);
    for (let copy = 1; existsSync(file); copy += 1) file = this.home.file(`downloads/${name.replace(".p12", ` (${copy}).p12`)}`);
    await download.saveAs(file);
    await page.locator("#passphrase").waitFor();
    const passphrase = (await page.locator("#passphrase").textContent()).trim();
    return { file, name, passphrase, serial: await this.serial(page) };
  }

  /** The serial number on the completion screen or the main screen. */
  async serial(page = this.page) {
    return (await page.locator("#serial").textContent()).trim();
  }

  /** Puts a file into the certificate store. */
  import({ file, passphrase }) {
    this.home.import(file, passphrase);
  }

  /** From the completion screen to the activation host, which opens in a tab of its own. */
  async openActivation(page = this.page) {
    await button(page, this.words.imported).click();
    const [tab] = await Promise.all([this.browser.context.waitForEvent("page"), link(page, this.words.check).click()]);
    return tab;
  }

  /** Puts the new certificate into use, as the completion screen says; returns the activation host's tab. */
  async activate(page = this.page) {
    const tab = await this.openActivation(page);
    await heading(tab, this.words.works);
    return tab;
  }

  /** From the certificate-free host to the start screen: ID, password, the code that comes by mail. */
  async prove() {
    const { words, page } = this;
    await this.identify();
    await page.getByLabel(words.field.code, { exact: true }).fill(await this.t.code(this.demo, this.subject));
    await button(page, words.confirm).click();
    await heading(page, words.startEnrolment);
  }

  async identify() {
    const { words, page } = this;
    await heading(page, words.enrol);
    await page.getByLabel(words.field.id, { exact: true }).fill(this.subject.id);
    await page.getByLabel(words.field.password, { exact: true }).fill(this.subject.password);
    await button(page, words.next).click();
    await heading(page, words.code);
  }

  /** The renewals whose keys this browser keeps for the page's host. */
  async keys(page = this.page) {
    return page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const opening = indexedDB.open("koshin", 1);
          opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
          opening.onerror = () => reject(opening.error);
          opening.onsuccess = () => {
            const database = opening.result;
            const request = database.transaction("keys").objectStore("keys").getAllKeys();
            request.onsuccess = () => {
              database.close();
              resolve(request.result);
            };
            request.onerror = () => reject(request.error);
          };
        }),
    );
  }

  /** Forgets the page's keys, as a person does who clears the browsing data. */
  async loseKey(page = this.page) {
    const cleared = await page.evaluate(
      () =>
        new Promise((resolve) => {
          const request = indexedDB.deleteDatabase("koshin");
          request.onsuccess = () => resolve("gone");
          request.onerror = () => resolve("error");
          request.onblocked = () => resolve("blocked");
        }),
    );
    if (cleared !== "gone") throw new Error(`the page's keys could not be cleared: ${cleared}`);
  }
}

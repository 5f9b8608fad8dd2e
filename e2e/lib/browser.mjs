// Chromium as one person's browser: their home folder, their language, started and quit like a real one.

import { rmSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { CHROMIUM } from "./tools.mjs";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-color-profile=srgb", "--font-render-hinting=none",
];
const LOCALES = { ja: "ja-JP", en: "en-US" };
/** How long a page may take to show what is expected. The slowest is a login: one Argon2id on a busy machine. */
export const PATIENCE = 20_000;

export class Browser {
  /**
   * @param {object} options
   * @param {import("./nss.mjs").Home} options.home
   * @param {"ja" | "en"} options.language
   * @param {boolean} [options.scripts] false for a person who has turned JavaScript off
   * @param {object} [options.env] what its environment has beside the usual
   * @param {object} [options.presents] a certificate that the driver presents in the browser's place, past the store
   */
  constructor({ home, language, scripts = true, presents, env }) {
    Object.assign(this, { home, language, scripts, presents, env });
    /** Script errors and what the content security policy blocked: there must never be any. */
    this.complaints = [];
  }

  /** Starts the browser with one empty tab. */
  async open() {
    this.context = await chromium.launchPersistentContext(this.home.file("profile"), {
      executablePath: CHROMIUM,
      // Playwright's own switch stands for the old headless mode.
      headless: false,
      args: FLAGS,
      env: { ...process.env, HOME: this.home.path, XDG_CONFIG_HOME: this.home.file(".config"), ...this.env },
      locale: LOCALES[this.language],
      viewport: { width: 1280, height: 900 },
      javaScriptEnabled: this.scripts,
      reducedMotion: "reduce",
      colorScheme: "light",
      // The driver then ends the TLS connection itself, with a server certificate that nobody trusts.
      ...(this.presents && { clientCertificates: [this.presents], ignoreHTTPSErrors: true }),
    });
    this.context.setDefaultTimeout(PATIENCE);
    this.context.on("weberror", (error) => this.complaints.push(`${error.error()}`));
    this.context.on("console", (message) => {
      const text = message.text();
      if (/content security policy/i.test(text)) this.complaints.push(text);
    });
    this.page = this.context.pages()[0] ?? (await this.context.newPage());
    return this;
  }

  async close() {
    await this.context?.close();
    this.context = undefined;
  }

  /** Quits the browser and starts it again with the same profile: what the screens ask the holder to do. */
  async restart() {
    await this.close();
    return this.open();
  }

  /** Forgets the profile, for a person at another computer with the same files. */
  async another() {
    await this.close();
    rmSync(join(this.home.path, "profile"), { recursive: true, force: true });
    return this.open();
  }

  pages() {
    return this.context?.pages() ?? [];
  }
}

/** Waits until the page's only level-1 heading says this. */
export async function heading(page, text) {
  try {
    await page.getByRole("heading", { level: 1, name: text, exact: true }).waitFor({ timeout: PATIENCE });
  } catch {
    const seen = await page.locator("h1").allTextContents().catch(() => []);
    throw new Error(`expected the page “${text}”, got “${seen.join(" / ") || "no heading"}” at ${page.url()}`);
  }
}

/**
 * Lets the server process requests whose URL matches, and loses its answers: so many of them. Returns what was lost.
 * The browser's own connection is used, with its client certificate.
 */
export async function loseAnswers(page, urlPattern, times = 1) {
  const session = await page.context().newCDPSession(page);
  const lost = [];
  session.on("Fetch.requestPaused", async ({ requestId, responseStatusCode }) => {
    if (lost.length >= times) {
      await session.send("Fetch.continueRequest", { requestId }).catch(() => {});
      return;
    }
    // Redirects have no body that could be read.
    const read = session.send("Fetch.getResponseBody", { requestId });
    const body = await read.then((r) => Buffer.from(r.body, r.base64Encoded ? "base64" : "utf8").toString(), () => "");
    lost.push({ status: responseStatusCode, body });
    await session.send("Fetch.failRequest", { requestId, errorReason: "ConnectionReset" }).catch(() => {});
  });
  await session.send("Fetch.enable", { patterns: [{ urlPattern, requestStage: "Response" }] });
  return { lost, restore: () => session.detach() };
}

export const button = (page, name) => page.getByRole("button", { name, exact: true });
export const link = (page, name) => page.getByRole("link", { name, exact: true });

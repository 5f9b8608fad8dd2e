// What happened: one line for each check with its time, what a failure looked like, a summary.

import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";

import { OUTPUT, ROOT } from "./tools.mjs";

export class Report {
  constructor() {
    this.began = performance.now();
    this.passed = 0;
    this.failures = [];
    /** The signal that ended the run: what breaks from then on is no failure. */
    this.interrupted = null;
  }

  heading(text) {
    console.log(`\n${text}`);
  }

  note(text) {
    console.log(`        ${text}`);
  }

  /** One check: a line when it is over. A failure is passed on, because what follows builds on it. */
  async check(scenario, name, work) {
    const began = performance.now();
    try {
      const result = await work();
      this.passed += 1;
      console.log(`  ok    ${name} (${seconds(began)})`);
      return result;
    } catch (error) {
      console.log(`  FAIL  ${name} (${seconds(began)})`);
      error.check ??= `${scenario}: ${name}`;
      throw error;
    }
  }

  /** Keeps a failure with what every open page showed. */
  async fail(scenario, error, browsers) {
    if (this.interrupted) return;
    const lines = [`${error.check ?? scenario}`, indent(clean(error.stack ?? `${error}`))];
    mkdirSync(OUTPUT, { recursive: true });
    let number = 0;
    for (const page of browsers.flatMap((browser) => browser.pages())) {
      const file = join(OUTPUT, `fail-${this.failures.length + 1}-${(number += 1)}.png`);
      const title = await page.title().catch(() => "(no title)");
      const shot = await page.screenshot({ path: file, timeout: 5000 }).then(() => relative(ROOT, file), () => "no screenshot");
      lines.push(indent(`page ${page.url()} “${title}” ${shot}`));
    }
    for (const complaint of browsers.flatMap((browser) => browser.complaints)) lines.push(indent(`script: ${complaint}`));
    this.failures.push(lines.join("\n"));
    console.log(lines.join("\n"));
  }

  /** Prints the summary; true when everything passed. */
  summary() {
    const all = `${this.passed} checks passed, ${this.failures.length} failed, ${seconds(this.began)}`;
    for (const failure of this.failures) console.log(`\nfailed: ${failure.split("\n").slice(0, 2).join("\n")}`);
    console.log(`\ne2e: ${all}`);
    return this.failures.length === 0 && this.passed > 0;
  }
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const indent = (text) => text.replace(/^/gm, "        ");
/** Without the colours of the driver's messages, the browser's own log, and what lies inside of node and of the driver. */
function clean(text) {
  const plain = text.replace(/\u001b\[\d+m/g, "").replace(/Browser logs:[\s\S]*?(?=Call log:|^ +at |$(?![\s\S]))/gm, "");
  return plain.replace(/^ +at .*(node:internal|node_modules).*\n?/gm, "");
}

// One scenario in one language: its checks, its demo, its browsers, and their end whatever happens.

import { Ca } from "./ca.mjs";
import { Demo } from "./demo.mjs";
import { isTo, mail } from "./http.mjs";
import { WORDS } from "./words.mjs";

export class Scenario {
  constructor({ report, screens, binary, name, language, split }) {
    Object.assign(this, { report, screens, binary, name, language, split, words: WORDS[language] });
    this.browsers = [];
    this.endings = [];
    this.codes = new Set();
  }

  /** One line in the report. */
  check(name, work) {
    return this.report.check(this.name, name, work);
  }

  /** One line in the report; what follows does not build on it, so it goes on after a failure. */
  async judge(name, work) {
    await this.check(name, work).catch((error) => this.report.fail(this.name, error, this.browsers));
  }

  /** A demo with new data, in the language of the scenario. With --split a koshin-ca issues for it, unless it stays whole. */
  async demo({ whole = false } = {}) {
    const demo = await Demo.start(this.binary, this.language);
    this.onEnd(() => demo.remove());
    if (this.split && !whole) {
      const ca = await this.ca(demo);
      demo.remote = ca.remote;
      await demo.run();
    }
    return demo;
  }

  /** Ends the demo, and gives its issuing CA to a koshin-ca. */
  async ca(demo) {
    if (!(await demo.stop())) throw new Error("the demo did not end when it was asked to");
    const ca = await Ca.of(demo);
    this.onEnd(() => ca.remove());
    return ca;
  }

  watch(browser) {
    this.browsers.push(browser);
  }

  onEnd(work) {
    this.endings.push(work);
  }

  /** Looks at a page with axe-core, and takes its picture if pictures are wanted. */
  screen(page, name) {
    return this.judge(`screen ${name}`, () => this.screens.visit(page, name, this.language));
  }

  /** The one-time code that was mailed to this subject, each code once. */
  async code(demo, subject) {
    const of = ({ text }) => this.words.mailedCode.exec(text)?.[1];
    const wanted = (one) => isTo(one, subject) && of(one) && !this.codes.has(of(one));
    const code = of(await mail(demo, `a code for ${subject.id}`, wanted));
    this.codes.add(code);
    return code;
  }

  /** Runs the scenario to its end or its time limit, then ends what it started. */
  async run(work, seconds) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the scenario took longer than ${seconds} s`)), seconds * 1000);
    });
    try {
      await Promise.race([work(this), late]);
      await this.check("no script failed, and no policy was violated", () => this.quiet());
    } catch (error) {
      await this.report.fail(this.name, error, this.browsers);
    } finally {
      clearTimeout(timer);
      await this.end();
    }
  }

  quiet() {
    const complaints = this.browsers.flatMap((browser) => browser.complaints);
    if (complaints.length > 0) throw new Error(complaints.join("\n"));
  }

  async end() {
    await Promise.allSettled(this.browsers.map((browser) => browser.close()));
    for (const ending of this.endings.reverse()) await ending();
  }
}

/** Fails unless both are the same. */
export function same(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
}

/** Fails unless the text contains this. */
export function contains(text, part, what) {
  const found = part instanceof RegExp ? part.test(text) : text.includes(part);
  if (!found) throw new Error(`${what}: “${part}” is not in\n${text.replace(/\s+/g, " ").slice(0, 2000)}`);
}


/** Asks again and again, for a while, whether this has come true. */
export async function until(what, isTrue, seconds = 10) {
  const end = performance.now() + seconds * 1000;
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// `koshin demo`, started on free ports, continued after a kill, and ended by its own process number.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { setPolicies } from "./policy.mjs";
import { freePorts } from "./ports.mjs";
import { remove, scratch } from "./scratch.mjs";
import { OUTPUT } from "./tools.mjs";

/** The demo takes this many ports, counted from --port-base. */
const PORTS = 5;
const READY = 30_000;
const FIELDS = ["portal", "public", "activate", "operator", "mailbox", "ca_pem", "data", "subjects"];
const SUBJECT = ["id", "role", "language", "password", "p12", "p12_passphrase", "state", "days_left"];

let count = 0;
const running = new Set();
// Whatever ends this run, no demo outlives it.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

export class Demo {
  /** Starts a demo with new data. */
  static async start(binary, language) {
    const demo = new Demo(binary, language, scratch("data"), await freePorts(PORTS));
    await demo.run();
    return demo;
  }

  constructor(binary, language, data, portBase) {
    Object.assign(this, { binary, language, data, portBase });
    mkdirSync(OUTPUT, { recursive: true });
    this.logFile = join(OUTPUT, `demo-${process.pid}-${(count += 1)}.log`);
  }

  /** Starts the process on the same data and ports as before, and waits for its one line. */
  async run() {
    const args = ["demo", "--json", "--data", this.data, "--port-base", `${this.portBase}`, "--language", this.language];
    if (this.remote) args.push("--remote-ca", this.remote);
    const began = performance.now();
    const child = spawn(this.binary, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    const log = createWriteStream(this.logFile, { flags: "a" });
    this.errors = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      this.errors += text;
      log.write(text);
    });
    child.stderr.on("end", () => log.end());
    const lines = createInterface({ input: child.stdout });
    let timer;
    try {
      const line = await Promise.race([
        once(lines, "line").then(([line]) => line),
        once(child, "error").then(([cause]) => Promise.reject(new Error(`${this.binary}: ${cause.message}`))),
        once(child, "close").then(([code]) => Promise.reject(new Error(`the demo ended by itself (${code}): ${this.lastWords()}`))),
        new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error(`the demo was not ready in ${READY / 1000} s: ${this.lastWords()}`)), READY);
        }),
      ]);
      this.take(line);
    } catch (error) {
      await this.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
    this.startedIn = performance.now() - began;
    setPolicies([this.portal, this.activate], [this.portal, this.public], this.ca_pem);
  }

  /** The end of what it wrote to standard error. */
  lastWords() {
    return this.errors.trim().split("\n").slice(-5).join("\n") || "it said nothing";
  }

  take(line) {
    const ready = JSON.parse(line);
    if (ready.event !== "ready") throw new Error(`the demo's first line is no ready event: ${line}`);
    for (const field of FIELDS) if (!(field in ready)) throw new Error(`the ready event lacks “${field}”: ${line}`);
    for (const subject of ready.subjects) {
      for (const field of SUBJECT) if (!(field in subject)) throw new Error(`a subject lacks “${field}”: ${JSON.stringify(subject)}`);
    }
    for (const field of ["portal", "public", "activate"]) this[field] = new URL(ready[field]).origin;
    for (const field of ["operator", "mailbox", "ca_pem", "subjects"]) this[field] = ready[field];
  }

  /** The one subject of which this is true. */
  subject(which) {
    const found = this.subjects.filter(which);
    if (found.length !== 1) throw new Error(`expected one subject with ${which}, found ${found.map(({ id }) => id).join(", ") || "none"}`);
    return found[0];
  }

  /** kill -9: nothing is flushed, nothing is said. */
  async kill() {
    const { child } = this;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    process.kill(child.pid, "SIGKILL");
    await gone;
  }

  /** Asks it to end, as Ctrl-C does, and says whether it did so by itself. */
  async stop() {
    const { child } = this;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return true;
    const gone = once(child, "exit").then(() => true);
    process.kill(child.pid, "SIGTERM");
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, 10_000, false);
    });
    const ended = await Promise.race([gone, late]);
    clearTimeout(timer);
    if (!ended) await this.kill();
    return ended;
  }

  async remove() {
    await this.kill();
    remove(this.data);
  }
}

export const isAdministrator = (subject) => subject.role === "administrator";
export const isDue = (subject) => subject.role === "user" && subject.days_left === 30;
export const isUrgent = (subject) => subject.role === "user" && subject.days_left === 8;
export const isExpired = (subject) => subject.state === "expired";
export const isNew = (subject) => subject.p12 === null;

// koshin-agent on a person's computer, and the person who answers its dialogs.

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";

import { Missing, TARGET } from "./tools.mjs";

const LOCALES = { ja: "ja_JP.UTF-8", en: "en_US.UTF-8" };

/** Stands for zenity: answers the n-th question with the n-th line, and notes what was asked. */
const DIALOG = (folder) => `#!/bin/sh
D='${folder}'
n=$(( $(cat "$D/asked" 2>/dev/null || echo 0) + 1 ))
echo "$n" > "$D/asked"
for a in "$@"; do printf '%s\\n' "$a"; done >> "$D/shown"
case "$1" in --info) exit 0 ;; esac
a=$(sed -n "\${n}p" "$D/answers")
case "$a" in
  no) exit 1 ;;
  kill) kill -9 "$PPID"; exit 1 ;;
  yes|"") exit 0 ;;
  *) echo "$a" ;;
esac
`;

export class Agent {
  /** Registers the agent in a person's home folder for the demo's hosts. */
  static install(t, demo, home) {
    const agent = new Agent(t, home);
    agent.command("register", "--portal", demo.portal, "--public", demo.public, "--activation", demo.activate, "--ca", demo.ca_pem);
    return agent;
  }

  constructor(t, home) {
    const places = [process.env.KOSHIN_AGENT_BIN, join(TARGET, "release/koshin-agent"), join(TARGET, "debug/koshin-agent")];
    this.binary = places.filter(Boolean).find((path) => existsSync(path));
    if (!this.binary) throw new Missing(`missing: ${places.filter(Boolean).join(" or ")} (cargo build -p koshin-agent)`);
    this.home = home;
    this.desk = home.file("desk");
    mkdirSync(this.desk);
    writeFileSync(join(this.desk, "zenity"), DIALOG(this.desk));
    chmodSync(join(this.desk, "zenity"), 0o755);
    this.language = t.language;
  }

  /** What the browser has to be started with, so that it starts the agent and the agent finds its desktop. */
  get env() {
    return {
      HOME: this.home.path,
      XDG_CONFIG_HOME: this.home.file(".config"),
      PATH: `${this.desk}:${process.env.PATH}`,
      // xdg-open wants one; nothing is ever drawn on it.
      DISPLAY: process.env.DISPLAY ?? ":99",
      LANG: LOCALES[this.language],
      LC_ALL: LOCALES[this.language],
    };
  }

  /** How the next questions are answered: digits, "yes", "no", or "kill" for the agent's end. */
  answers(...answers) {
    writeFileSync(join(this.desk, "answers"), `${answers.join("\n")}\n`);
    for (const name of ["asked", "shown"]) rmSync(join(this.desk, name), { force: true });
  }

  /** How many questions there were since. */
  get asked() {
    const file = join(this.desk, "asked");
    return existsSync(file) ? Number(readFileSync(file, "utf8")) : 0;
  }

  /** What they said. */
  get shown() {
    const file = join(this.desk, "shown");
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  }

  /** Runs a command that must succeed. */
  command(...args) {
    const { status, out, err } = this.attempt(...args);
    if (status !== 0) throw new Error(`koshin-agent ${args.join(" ")}: ${status}\n${out}${err}`);
    return out;
  }

  attempt(...args) {
    const env = { ...process.env, ...this.env };
    const done = spawnSync(this.binary, args, { env, encoding: "utf8", timeout: 60_000 });
    if (done.error) throw done.error;
    return { status: done.status, out: done.stdout, err: done.stderr };
  }

  /** The serial numbers of the certificates on this computer. */
  serials() {
    const lines = this.command("list", "--json").trim().split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line).serial).sort();
  }
}

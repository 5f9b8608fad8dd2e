// A `koshin-ca` in a process of its own that holds a demo's issuing CA, and `koshin-web` in place of the demo's portal.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, createWriteStream, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";

import { freePort } from "./ports.mjs";
import { remove, scratch } from "./scratch.mjs";
import { Missing, OUTPUT, attempt, run } from "./tools.mjs";

const READY = 20_000;
const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** A program that listens on a port, killed and started again as often as a test likes. */
class Service {
  constructor(program, args, port, name) {
    Object.assign(this, { program, args, port, log: join(OUTPUT, `${name}-${process.pid}.log`) });
  }

  async start() {
    const child = spawn(this.program, this.args, { stdio: ["ignore", "ignore", "pipe"] });
    this.child = child;
    running.add(child);
    child.once("exit", () => running.delete(child));
    child.stderr.pipe(createWriteStream(this.log, { flags: "a" }));
    const end = performance.now() + READY;
    while (!(await listens(this.port))) {
      if (child.exitCode !== null) throw new Error(`${this.program} ended by itself (${child.exitCode}): ${readFileSync(this.log, "utf8")}`);
      if (performance.now() > end) throw new Error(`${this.program} does not listen on ${this.port}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** kill -9: nothing is flushed, nothing is said. */
  async kill() {
    const { child } = this;
    if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    process.kill(child.pid, "SIGKILL");
    await gone;
  }
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** A program that is built beside `koshin`. */
function beside(koshin, name) {
  const path = join(dirname(koshin), name);
  if (!existsSync(path)) throw new Missing(`missing: ${path} (cargo build -p koshin -p koshin-ca)`);
  return path;
}

export class Ca extends Service {
  /** Takes over the issuing CA of a demo that is not running. It publishes where the demo's certificates point to. */
  static async of(demo) {
    const program = beside(demo.binary, "koshin-ca");
    const folder = scratch("ca");
    const api = await freePort();
    const publication = demo.portBase + 3;
    run(program, ["init", "--dir", folder, "--organization", "Koshin e2e", "--client", "portal", "--publication", `http://127.0.0.1:${publication}`]);
    for (const [from, to] of [["issuing.pem", "ca/issuing.pem"], ["issuing.key", "ca/issuing.key"], ["root.pem", "ca/root.pem"]]) {
      rmSync(join(folder, to));
      copyFileSync(join(demo.data, from), join(folder, to));
    }
    const config = join(folder, "koshin-ca.toml");
    const text = readFileSync(config, "utf8").replace(/^api = .*$/m, `api = "127.0.0.1:${api}"`);
    writeFileSync(config, text.replace(/^publication = .*$/m, `publication = "127.0.0.1:${publication}"`));
    const remote = join(folder, "remote.toml");
    const tables = {
      url: `https://localhost:${api}`, roots: "tls/api-ca.pem", certificate: "clients/portal.pem", key: "clients/portal.key", profile: "user",
    };
    writeFileSync(remote, Object.entries(tables).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`).join(""));
    const ca = new Ca(program, ["serve", "--config", config], api, "koshin-ca");
    Object.assign(ca, { folder, config, remote, tables, api });
    await ca.start();
    return ca;
  }

  /** The operator's command on this CA; what it says. */
  command(...args) {
    return run(this.program, [...args, "--config", this.config]);
  }

  /** The same for one that may be refused. */
  attempt(...args) {
    return attempt(this.program, [...args, "--config", this.config]);
  }

  async remove() {
    await this.kill();
    remove(this.folder);
  }
}

export class Web extends Service {
  /** The portal alone, on the ports and the data of a demo that is not running. */
  static async of(demo, ca) {
    const program = beside(demo.binary, "koshin-web");
    const text = JSON.stringify;
    const port = (at) => `127.0.0.1:${demo.portBase + at}`;
    const tables = Object.entries(ca.tables).map(([key, value]) => {
      const value_ = key === "url" || key === "profile" ? value : join(ca.folder, value);
      return `${key} = ${text(value_)}`;
    });
    const config = join(demo.data, "koshin-web.toml");
    writeFileSync(config, `[storage]
database = "koshin.db"
[ca]
certificate = "issuing.pem"
chain = ["root.pem"]
[ca.remote]
${tables.join("\n")}
[hosts]
portal = ${text(demo.portal)}
public = ${text(demo.public)}
activate = ${text(demo.activate)}
[listen]
portal = "${port(0)}"
public = "${port(1)}"
activate = "${port(2)}"
[tls]
certificate = "server.pem"
key = "server.key"
[brand]
operator = { ja = "こうしん信用金庫", en = "Koshin Shinkin Bank" }
portal = { ja = "こうしんビジネスWeb", en = "Koshin Business Web" }
[contact]
name = { ja = "サポートデスク", en = "support desk" }
[mail]
from = "noreply@koshin.example"
maildir = "mail"
`);
    const web = new Web(program, ["--config", config], demo.portBase, "koshin-web");
    await web.start();
    return web;
  }
}

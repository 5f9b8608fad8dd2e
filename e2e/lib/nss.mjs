// A person's home folder: the certificate store that Chromium reads, and what the browser saved.

import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { remove, scratch } from "./scratch.mjs";
import { run } from "./tools.mjs";

export class Home {
  constructor() {
    this.path = scratch("home");
    this.database = join(this.path, ".pki/nssdb");
    for (const folder of [".pki/nssdb", ".config", "downloads"]) mkdirSync(join(this.path, folder), { recursive: true });
    run("certutil", ["-N", "-d", `sql:${this.database}`, "--empty-password"]);
  }

  /** Puts a file's certificate and key into the store, as a person does in the browser's settings. */
  import(p12, passphrase) {
    run("pk12util", ["-i", p12, "-d", `sql:${this.database}`, "-W", passphrase, "-K", ""]);
  }

  /** Empties the store, and puts only this file into it. */
  replaceBy(p12, passphrase) {
    rmSync(this.database, { recursive: true });
    mkdirSync(this.database);
    run("certutil", ["-N", "-d", `sql:${this.database}`, "--empty-password"]);
    this.import(p12, passphrase);
  }

  file(name) {
    return join(this.path, name);
  }

  remove() {
    remove(this.path);
  }
}

// Foreign programs: what the run needs of them, and how they are called.

import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
/** Logs and the screenshots of failures. */
export const OUTPUT = join(TARGET, "e2e");
const PKILINT_FOLDER = join(TARGET, "tools/pkilint/bin");
/** pkilint's judges: of one certificate, of one beside its issuer's, of a revocation list, of an OCSP answer. */
export const PKILINT = join(PKILINT_FOLDER, "lint_pkix_cert");
export const PKILINT_CHAIN = join(PKILINT_FOLDER, "lint_pkix_signer_signee_cert_chain");
export const PKILINT_LIST = join(PKILINT_FOLDER, "lint_crl");
export const PKILINT_ANSWER = join(PKILINT_FOLDER, "lint_ocsp_response");
export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const PROGRAMS = {
  certtool: "gnutls-bin",
  certutil: "libnss3-tools",
  keytool: "default-jre-headless",
  openssl: "openssl",
  pk12util: "libnss3-tools",
  python3: "python3",
};

/** Something the run cannot do without. It ends with code 3, so that nobody takes it for a pass or for a failure. */
export class Missing extends Error {}

/** Throws `Missing` with everything that is not there. */
export function requireTools() {
  const missing = Object.entries(PROGRAMS)
    .filter(([program]) => !inPath(program))
    .map(([program, debian]) => `${program} (Debian package ${debian})`);
  if (!existsSync(CHROMIUM)) missing.push(`${CHROMIUM} (Debian package chromium)`);
  if (!existsSync(PKILINT)) missing.push(`${PKILINT} (cargo xtask setup)`);
  for (const module of ["playwright-core", "axe-core"]) {
    if (!existsSync(join(ROOT, "e2e/node_modules", module))) missing.push(`the module ${module} (npm ci in e2e)`);
  }
  if (process.getuid() !== 0) missing.push("root, for Chromium's managed policies in /etc/chromium");
  if (missing.length > 0) throw new Missing(`missing: ${missing.join("; ")}`);
}

function inPath(program) {
  const executable = (path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  };
  return process.env.PATH.split(delimiter).some((folder) => executable(join(folder, program)));
}

/** Runs a program to its end: { ok, text } with both of its outputs. */
export function attempt(program, args, input = "") {
  // A UTF-8 locale, or some programs would read Japanese arguments as question marks.
  const env = { ...process.env, LC_ALL: "C.UTF-8" };
  const done = spawnSync(program, args, { env, encoding: "utf8", input, timeout: 60_000 });
  if (done.error) throw new Error(`${program}: ${done.error.message}`);
  return { ok: done.status === 0, text: done.stdout + done.stderr };
}

/** Runs a program that must succeed; returns what it said. */
export function run(program, args, input = "") {
  const { ok, text } = attempt(program, args, input);
  if (!ok) throw new Error(`${program} ${args.join(" ")}\n${text}`);
  return text;
}

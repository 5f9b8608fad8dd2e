// What the tests share: foreign programs, a place for files, and an issuing chain.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

const PACKAGES = {
  certtool: "gnutls-bin",
  certutil: "libnss3-tools",
  chromium: "chromium",
  keytool: "openjdk-17-jre-headless",
  openssl: "openssl",
  pk12util: "libnss3-tools",
};

/** Names the package, because a missing judge must fail the test and not skip it. */
export function missing(program) {
  return new Error(`${program} is not installed; these tests need it (Debian: apt-get install ${PACKAGES[program]})`);
}

/** Runs a program to its end: { ok, text } with both of its outputs. Fails if it is missing or hangs. */
export function attempt(program, args) {
  // A UTF-8 locale, or Java and the shell tools would read Japanese arguments as question marks.
  const env = { ...process.env, LC_ALL: "C.UTF-8" };
  const done = spawnSync(program, args, { env, encoding: "utf8", input: "", timeout: 60_000 });
  if (done.error?.code === "ENOENT") throw missing(program);
  if (done.error) throw done.error;
  return { ok: done.status === 0, text: done.stdout + done.stderr };
}

/** Runs a program that must succeed; returns what it said. */
export function run(program, ...args) {
  const { ok, text } = attempt(program, args);
  assert.ok(ok, `${program} ${args.join(" ")}\n${text}`);
  return text;
}

/** A directory that is gone after the test file. To be called outside of hooks, or it is gone after the hook. */
export function scratch() {
  const directory = mkdtempSync(join(tmpdir(), "koshin-web-"));
  after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

/** A root and an issuing CA under it. `issue(request)` certifies the key of a DER request; everything comes back as DER. */
export function makeIssuer() {
  const at = scratch();
  const ca = (name, extra) =>
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "30",
      "-subj", `/CN=${name}`, "-keyout", join(at, `${name}.key`), "-out", join(at, `${name}.pem`), ...extra);
  ca("root", []);
  ca("issuing", ["-CA", join(at, "root.pem"), "-CAkey", join(at, "root.key")]);
  const der = (name) => {
    run("openssl", "x509", "-in", join(at, `${name}.pem`), "-outform", "DER", "-out", join(at, `${name}.der`));
    return bytes(join(at, `${name}.der`));
  };
  return {
    chain: [der("issuing"), der("root")],
    issue(request) {
      writeFileSync(join(at, "request.der"), request);
      run("openssl", "x509", "-req", "-inform", "DER", "-in", join(at, "request.der"), "-days", "10", "-set_serial", "0x5001",
        "-subj", "/CN=alice", "-CA", join(at, "issuing.pem"), "-CAkey", join(at, "issuing.key"), "-out", join(at, "leaf.pem"));
      return der("leaf");
    },
  };
}

export const bytes = (path) => new Uint8Array(readFileSync(path));

/** Refuses lengths and INTEGERs that are not in their shortest form. Returns the contents of the OCTET STRINGs, in order. */
export function assertDer(der) {
  const octets = [];
  for (let at = 0; at < der.length; ) {
    const tag = der[at];
    let length = der[at + 1];
    let body = at + 2;
    if (length & 0x80) {
      const size = length & 0x7f;
      length = der.slice(body, body + size).reduce((sum, byte) => sum * 256 + byte, 0);
      assert.ok(size > 0 && length >= Math.max(0x80, 256 ** (size - 1)), `length at ${at} is not minimal`);
      body += size;
    }
    const content = der.slice(body, body + length);
    assert.equal(content.length, length, `element at ${at} is cut`);
    if (tag === 0x02) {
      assert.ok(length > 0, `INTEGER at ${at} is empty`);
      assert.ok(length === 1 || content[0] !== 0 || content[1] & 0x80, `INTEGER at ${at} has a superfluous zero`);
      assert.ok(!(content[0] & 0x80), `INTEGER at ${at} is negative`);
    }
    if (tag === 0x04) octets.push(content);
    if (tag & 0x20) octets.push(...assertDer(content));
    at = body + length;
  }
  return octets;
}

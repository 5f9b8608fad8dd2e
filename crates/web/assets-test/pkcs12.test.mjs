import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { certificationRequest, KeyError, makeKey, makePassphrase, pkcs12 } from "../assets/key.mjs";
import { assertDer, attempt, bytes, makeIssuer, run, scratch } from "./tools.mjs";

const FRIENDLY_NAME = "電子証明書 𠮷野 alice";
const at = scratch();
const issuer = makeIssuer();
const keyPair = await makeKey();
const certificate = issuer.issue(await certificationRequest(keyPair));

const FILES = [
  { called: "made by the page", passphrase: makePassphrase() },
  { called: "in Japanese", passphrase: "パスワード12", refusedByJava: true },
  { called: "with surrogate pairs", passphrase: "鍵𠮷野😀12", refusedByJava: true },
  { called: "longer than one hash block", passphrase: "a long passphrase, 64 octets of UTF-16 and then some more" },
];

const make = (passphrase, of = keyPair) =>
  pkcs12({ privateKey: of.privateKey, certificate, chain: issuer.chain, passphrase, friendlyName: FRIENDLY_NAME });

for (const [i, file] of FILES.entries()) {
  file.path = join(at, `${i}.p12`);
  file.secret = join(at, `${i}.txt`);
  writeFileSync(file.path, await make(file.passphrase));
  writeFileSync(file.secret, file.passphrase);
}
writeFileSync(join(at, "wrong.txt"), "not the passphrase");

for (const file of FILES) {
  test(`openssl opens a file with a passphrase ${file.called}`, async () => {
    const out = (name, ...args) => {
      run("openssl", "pkcs12", "-in", file.path, "-passin", `file:${file.secret}`, "-out", join(at, name), ...args);
      return join(at, name);
    };
    const key = out("key.pem", "-nocerts", "-noenc");
    run("openssl", "pkey", "-in", key, "-check", "-noout");
    run("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER", "-out", join(at, "key.der"));
    const imported = await crypto.subtle.importKey(
      "pkcs8", bytes(join(at, "key.der")), { name: "ECDSA", namedCurve: "P-256" }, true, ["sign"],
    );
    const jwk = async (privateKey) => (await crypto.subtle.exportKey("jwk", privateKey)).d;
    assert.equal(await jwk(imported), await jwk(keyPair.privateKey));

    const leaf = out("leaf.pem", "-clcerts", "-nokeys");
    const chain = out("chain.pem", "-cacerts", "-nokeys");
    run("openssl", "verify", "-CAfile", chain, leaf);
    run("openssl", "x509", "-in", leaf, "-outform", "DER", "-out", join(at, "leaf.der"));
    assert.deepEqual(bytes(join(at, "leaf.der")), certificate);
  });

  test(`NSS lists and imports a file with a passphrase ${file.called}`, () => {
    const db = `sql:${join(at, `nss-${FILES.indexOf(file)}`)}`;
    mkdirSync(db.slice(4));
    run("certutil", "-N", "-d", db, "--empty-password");
    const listed = run("pk12util", "-l", file.path, "-w", file.secret, "-d", db);
    assert.equal(listed.split(`Friendly Name: ${FRIENDLY_NAME}`).length, 3, "the name stands on the certificate and on the key");
    assert.match(run("pk12util", "-i", file.path, "-w", file.secret, "-d", db, "-K", ""), /IMPORT SUCCESSFUL/);
    assert.match(run("certutil", "-K", "-d", db), new RegExp(`ec .*${FRIENDLY_NAME}`));
    // "u": NSS paired the certificate with its key.
    assert.match(run("certutil", "-L", "-d", db), new RegExp(`${FRIENDLY_NAME}\\s+u,u,u`));
  });

  test(`GnuTLS opens a file with a passphrase ${file.called}`, () => {
    const text = run("certtool", "--p12-info", "--inder", "--infile", file.path, "--password", file.passphrase);
    assert.match(text, /MAC: SHA256[\s\S]*Salt size: 8\s+Iteration count: 2048/);
    assert.match(text, /Elements: 3[\s\S]*Type: Certificate[\s\S]*Type: PKCS #8 Encrypted key/);
    assert.ok(text.includes(`Friendly name: ${FRIENDLY_NAME}`));
    assert.doesNotMatch(text, /error|MAC verification failed/i);
  });

  test(`Java ${file.refusedByJava ? "cannot open" : "opens"} a file with a passphrase ${file.called}`, () => {
    const source = ["-keystore", file.path, "-storetype", "PKCS12", "-storepass:file", file.secret];
    const list = attempt("keytool", ["-list", "-v", ...source]);
    if (file.refusedByJava) {
      // Java's PBES2 takes ASCII only, from whoever made the file. Pages that make passphrases themselves are not concerned.
      assert.match(list.text, /Password is not ASCII/);
      return;
    }
    assert.ok(list.ok, list.text);
    assert.ok(list.text.includes(`Alias name: ${FRIENDLY_NAME}`));
    assert.match(list.text, /Entry type: PrivateKeyEntry\s+Certificate chain length: 3/);
    // Listing leaves the key shrouded; copying opens it.
    const copy = join(at, `${FILES.indexOf(file)}.java.p12`);
    run("keytool", "-importkeystore", "-noprompt", "-srckeystore", file.path, "-srcstoretype", "PKCS12", "-srcstorepass:file",
      file.secret, "-destkeystore", copy, "-deststoretype", "PKCS12", "-deststorepass:file", file.secret);
    assert.match(run("openssl", "pkcs12", "-in", copy, "-passin", `file:${file.secret}`, "-nocerts", "-noenc"), /PRIVATE KEY/);
  });
}

test("the file is encrypted as intended, twice with PBES2 and never with the legacy algorithms", () => {
  const text = run("openssl", "pkcs12", "-in", FILES[0].path, "-passin", `file:${FILES[0].secret}`, "-info", "-noout");
  assert.match(text, /MAC: sha256, Iteration 2048\s+MAC length: 32, salt length: 8/);
  const pbes2 = /: PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256/g;
  assert.equal(text.match(pbes2).length, 2);
});

test("a wrong passphrase and a changed octet are noticed", () => {
  const open = (path, secret) => attempt("openssl", ["pkcs12", "-in", path, "-passin", `file:${secret}`, "-noout"]);
  assert.match(open(FILES[0].path, join(at, "wrong.txt")).text, /invalid password/);
  const changed = bytes(FILES[0].path);
  changed[changed.length >> 1] ^= 1;
  writeFileSync(join(at, "changed.p12"), changed);
  assert.match(open(join(at, "changed.p12"), FILES[0].secret).text, /invalid password|Mac verify error/i);
});

test("the file is DER throughout, and a second one shares no salt and no vector with it", async () => {
  const random = (file) => {
    const [safe, , macSalt] = assertDer(file);
    const [certSalt, certVector, keyBags] = assertDer(safe);
    const [keySalt, keyVector] = assertDer(keyBags);
    return [macSalt, certSalt, certVector, keySalt, keyVector].map((of) => Buffer.from(of).toString("hex"));
  };
  const drawn = [...random(bytes(FILES[0].path)), ...random(await make(FILES[0].passphrase))];
  assert.deepEqual(drawn.map((of) => of.length / 2), [8, 16, 16, 16, 16, 8, 16, 16, 16, 16]);
  assert.equal(new Set(drawn).size, 10);
});

test("a certificate for another key is refused", async () => {
  const other = await makeKey();
  await assert.rejects(make("any", other), (e) => e instanceof KeyError && e.code === "key.mismatch");
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { ecdsaSignature, element, integer, number, oid, setOf } from "../assets/der.mjs";
import { certificationRequest, KeyError, makeKey, makePassphrase, spkiFingerprint } from "../assets/key.mjs";
import { assertDer, bytes, run, scratch } from "./tools.mjs";

const hex = (of) => Buffer.from(of).toString("hex");

function verify(request, file) {
  assertDer(request);
  writeFileSync(file, request);
  const text = run("openssl", "req", "-inform", "DER", "-in", file, "-verify", "-noout", "-subject");
  assert.match(text, /self-signature verify OK/);
  assert.match(text, /subject=CN = koshin/);
}

test("200 requests, each with its own key, verify in openssl", async () => {
  const file = join(scratch(), "request.der");
  for (let i = 0; i < 200; i += 1) verify(await certificationRequest(await makeKey()), file);
});

test("requests whose signature has a short r or s verify in openssl", async () => {
  // A signature takes 70 to 72 octets unless r or s begins with zeros; that is rare, so it is waited for.
  const file = join(scratch(), "request.der");
  const keyPair = await makeKey();
  let longest = 0;
  let short = 0;
  for (let i = 0; i < 50_000 && short < 3; i += 1) {
    const request = await certificationRequest(keyPair);
    longest = Math.max(longest, request.length);
    if (i < 100 || request.length > longest - 3) continue;
    verify(request, file);
    short += 1;
  }
  assert.equal(short, 3);
});

test("GnuTLS reads the request: version 1, P-256, no attributes", async () => {
  const file = join(scratch(), "request.der");
  writeFileSync(file, await certificationRequest(await makeKey()));
  const text = run("certtool", "--crq-info", "--inder", "--infile", file);
  assert.match(text, /Version: 1/);
  assert.match(text, /Curve:\s+SECP256R1/);
  assert.match(text, /Self signature: verified/);
  assert.doesNotMatch(text, /Attributes|Extensions/);
});

test("r and s become the shortest positive INTEGERs", () => {
  const half = (...last) => [...new Uint8Array(32 - last.length), ...last];
  const signature = (r, s) => hex(ecdsaSignature(Uint8Array.from([...r, ...s])));
  assert.equal(signature(half(1), half(0x7f)), "300602010102017f");
  assert.equal(signature(half(0x80), half(0)), "300702020080020100");
  assert.equal(signature(half(0, 0xff, 0), half(0x01, 0x80)), "3009020300ff0002020180");
  assert.equal(signature(Array(32).fill(0xff), half(5)), `3026022100${"ff".repeat(32)}020105`);
});

test("lengths, numbers, names and sets are encoded as X.690 asks", () => {
  assert.equal(hex(element(4, new Uint8Array(127))).slice(0, 4), "047f");
  assert.equal(hex(element(4, new Uint8Array(128))).slice(0, 6), "048180");
  assert.equal(hex(element(4, new Uint8Array(255))).slice(0, 6), "0481ff");
  assert.equal(hex(element(4, new Uint8Array(256))).slice(0, 8), "04820100");
  assert.equal(hex(element(4, new Uint8Array(65536))).slice(0, 10), "0483010000");
  assert.deepEqual([0, 127, 128, 100_000, 2 ** 32 - 1].map((n) => hex(number(n))), [
    "020100", "02017f", "02020080", "02030186a0", "020500ffffffff",
  ]);
  assert.equal(hex(integer([0, 0])), "020100");
  assert.equal(hex(oid("1.2.840.113549.1.7.1")), "06092a864886f70d010701");
  assert.equal(hex(oid("2.16.840.1.101.3.4.2.1")), "0609608648016503040201");
  assert.equal(hex(setOf(number(300), number(9), number(2))), "310a" + "020102" + "020109" + "0202012c");
});

test("the fingerprint is that of the key in the request", async () => {
  const at = scratch();
  const keyPair = await makeKey();
  writeFileSync(join(at, "request.der"), await certificationRequest(keyPair));
  run("openssl", "req", "-inform", "DER", "-in", join(at, "request.der"), "-pubkey", "-noout", "-out", join(at, "key.pem"));
  run("openssl", "pkey", "-pubin", "-in", join(at, "key.pem"), "-outform", "DER", "-out", join(at, "key.der"));
  const expected = createHash("sha256").update(bytes(join(at, "key.der"))).digest("hex");
  assert.equal(await spkiFingerprint(keyPair), expected);
});

test("passphrases are long, unambiguous, evenly drawn and never the same", () => {
  const made = Array.from({ length: 5000 }, makePassphrase);
  assert.equal(new Set(made).size, made.length);
  const counts = new Map();
  for (const passphrase of made) {
    assert.match(passphrase, /^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){4}$/);
    for (const symbol of passphrase.replaceAll("-", "")) counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
  }
  // 32 symbols of 5 bits, 20 of them: 100 bits. Each is expected 3125 times, standard deviation 55.
  assert.equal(counts.size, 32);
  for (const [symbol, count] of counts) assert.ok(Math.abs(count - 3125) < 6 * 55, `${symbol} drawn ${count} times`);
});

test("a page without WebCrypto gets a typed error", async () => {
  const real = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  try {
    await assert.rejects(makeKey(), (e) => e instanceof KeyError && e.code === "key.unsupported");
  } finally {
    Object.defineProperty(globalThis, "crypto", real);
  }
});

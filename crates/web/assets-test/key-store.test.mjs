// IndexedDB and two tabs exist only in a browser, so these run in one.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { startPages } from "./chromium.mjs";
import { makeIssuer, run } from "./tools.mjs";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const issuer = makeIssuer();
const certify = (request) => ({ certificate: base64(issuer.issue(request)), chain: issuer.chain.map(base64) });
const pages = await startPages({ certify });

async function visit(query, profile = pages.newProfile(), host = undefined) {
  const [result] = await pages.visit(profile, [query], host);
  assert.equal(result.failed, undefined);
  return result;
}

test("two tabs that make a key at the same moment end with one key and one passphrase", async () => {
  const rounds = 25;
  const [a, b] = await pages.visit(pages.newProfile(), ["A", "B"].map((tab) => ({ do: "race", tab, rounds })));
  assert.equal(a.failed ?? b.failed, undefined);
  assert.equal(a.length, rounds);
  a.forEach((seen, round) => {
    const other = b[round];
    assert.deepEqual([seen.made, other.made], [1, 1], "both found no key, so both made one");
    assert.deepEqual(seen.got, other.got);
    assert.ok(seen.got.works && seen.got.passphrase === null);
    assert.match(seen.passphrase, /^of tab [AB]$/);
    assert.equal(seen.passphrase, other.passphrase);
    assert.deepEqual(seen.kept, { ...seen.got, passphrase: seen.passphrase });
    assert.deepEqual(other.kept, seen.kept);
  });
  assert.equal(new Set(a.map((seen) => seen.got.fingerprint)).size, rounds);
});

test("a key survives a reload and the death of the browser", async () => {
  const profile = pages.newProfile();
  const earliest = Date.now();
  const { before: made, reloaded } = await visit({ do: "keep", id: "r-1" }, profile);
  assert.ok(made.createdAt >= earliest && made.createdAt <= Date.now());
  assert.deepEqual(made, { ...made, works: true, extractable: true, passphrase: null });
  assert.deepEqual(reloaded, { ...made, passphrase: "first" });
  assert.deepEqual(await visit({ do: "find", id: "r-1" }, profile), { found: reloaded, made: 0 });
});

test("ended renewals leave no key behind", async () => {
  const { steps, gone, absent } = await visit({ do: "end" });
  assert.deepEqual(steps, ["abcdo", "acdo", "cdo", "o", "o", ""]);
  assert.equal(gone, "KeyError key.gone");
  assert.equal(absent, null);
});

test("login page and main screen forget the keys of ended renewals, and nobody else's", async () => {
  const before = "a=mine b=mine o=another";
  const kept = (query) => visit({ do: "visited", before, ...query });
  assert.equal(await kept({}), "abo", "nobody is recognised");
  assert.equal(await kept({ owner: "mine", renewal: "b" }), "bo", "a renewal is open");
  assert.equal(await kept({ owner: "mine" }), "o", "none is: activated elsewhere, or ended");
  assert.equal(await kept({ keepDays: "37" }), "abo", "recent");
  assert.equal(await kept({ keepDays: "-1" }), "", "old");
});

test("the first question is asked once, also when the request fails", async () => {
  const { asked, sent, kept, gone } = await visit({ do: "renewTwice", code: "server.internal" });
  assert.deepEqual(asked, ["confirm-request"]);
  assert.deepEqual(sent, Array(2).fill("POST /renewals/b/request"));
  assert.deepEqual([kept, gone], ["bo", false], "the key stays, that of the renewal before does not");
});

test("without the key a renewal that was asked for is not asked for again", async () => {
  const { asked, sent, kept, gone } = await visit({ do: "renewTwice", code: "server.internal", state: "requested" });
  assert.deepEqual({ asked, sent, kept, gone }, { asked: [], sent: [], kept: "o", gone: true });
});

test("a browser that refuses storage gives a typed error", async () => {
  assert.deepEqual(await visit({ do: "refused" }), Array(3).fill("KeyError key.storage"));
  assert.deepEqual(await visit({ do: "unstorable" }), { code: "KeyError key.storage", left: null });
});

test("a page without https gives a typed error, also through the store", async () => {
  const result = await visit({ do: "insecure" }, undefined, "insecure.example");
  assert.deepEqual(result, { secure: false, code: "KeyError key.unsupported", stored: "KeyError key.unsupported" });
});

test("a file made in the browser opens in openssl and in NSS", async (t) => {
  const { file, passphrase, times } = await visit({ do: "wholeWay" });
  const at = pages.newProfile();
  const [p12, secret] = [join(at, "alice.p12"), join(at, "secret")];
  writeFileSync(p12, Buffer.from(file, "base64"));
  writeFileSync(secret, passphrase);
  assert.match(run("openssl", "pkcs12", "-in", p12, "-passin", `file:${secret}`, "-noenc"), /PRIVATE KEY/);
  mkdirSync(join(at, "nss"));
  run("certutil", "-N", "-d", `sql:${at}/nss`, "--empty-password");
  run("pk12util", "-i", p12, "-w", secret, "-d", `sql:${at}/nss`, "-K", "");
  assert.match(run("certutil", "-L", "-d", `sql:${at}/nss`), /電子証明書 alice\s+u,u,u/);
  t.diagnostic(`milliseconds in Chromium: ${JSON.stringify(times)}`);
});

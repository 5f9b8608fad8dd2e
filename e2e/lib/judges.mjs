// Programs that Koshin did not write, asked about the file that the page made and the certificate in it.

import { X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Client } from "./http.mjs";
import { PKILINT, PKILINT_ANSWER, PKILINT_CHAIN, PKILINT_LIST, run } from "./tools.mjs";

/** The certificate in a file and the chain above it, as openssl reads them. */
export function contents(file, passphrase) {
  const read = (which) => run("openssl", ["pkcs12", "-in", file, "-passin", `pass:${passphrase}`, "-nokeys", which]);
  const pems = (text) => text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const [own, ...more] = pems(read("-clcerts"));
  if (!own || more.length > 0) throw new Error(`${file} holds ${own ? 1 + more.length : 0} certificates of its own instead of one`);
  const certificate = new X509Certificate(own);
  return { certificate, serial: withoutZeros(certificate.serialNumber), chain: pems(read("-cacerts")).map((pem) => new X509Certificate(pem)) };
}

/** Opens the file with each program that a holder may use for it. Each must find the certificate with this serial number. */
export function everyReaderOpens(file, passphrase, serial) {
  const answers = {
    openssl: run("openssl", ["pkcs12", "-in", file, "-passin", `pass:${passphrase}`, "-noenc", "-info"]),
    pk12util: run("pk12util", ["-l", file, "-W", passphrase]),
    keytool: run("keytool", ["-list", "-v", "-storetype", "PKCS12", "-keystore", file, "-storepass", passphrase, "-J-Duser.language=en"]),
    certtool: run("certtool", ["--p12-info", "--inder", "--infile", file, "--password", passphrase]),
  };
  const key = { openssl: /BEGIN PRIVATE KEY/, pk12util: /^Key\(shrouded\)/m, keytool: /PrivateKeyEntry/, certtool: /BEGIN (ENCRYPTED )?PRIVATE KEY/ };
  const found = Object.entries(answers).map(([program, text]) => {
    if (!key[program].test(text)) throw new Error(`${program} found no private key in ${file}:\n${text}`);
    if (!/certificate/i.test(text)) throw new Error(`${program} found no certificate in ${file}:\n${text}`);
    return program;
  });
  const read = contents(file, passphrase).serial;
  if (read !== serial) throw new Error(`the file holds ${read}, the screen said ${serial}`);
  const seen = /^Serial number: ([0-9a-f]+)$/m.exec(answers.keytool)?.[1] ?? "0";
  if (BigInt(`0x${seen}`) !== BigInt(`0x${serial}`)) throw new Error(`keytool does not see ${serial}:\n${answers.keytool}`);
  return found;
}

/**
 * Lets openssl verify the certificate as strictly as it can, and pkilint judge it at WARNING. The certificates above it and
 * the revocation list come from where the certificate itself points to.
 */
export async function certificateIsSound(demo, { file, passphrase }, folder) {
  const { certificate } = contents(file, passphrase);
  const leaf = join(folder, "leaf.pem");
  writeFileSync(leaf, certificate.toString());
  const { path, root } = await climb(demo, certificate);
  const [above, anchor] = [join(folder, "above.pem"), join(folder, "root.pem")];
  writeFileSync(above, path.map(String).join(""));
  writeFileSync(anchor, root.toString());
  const list = await revocationList(demo, leaf, folder);
  const strict = ["-x509_strict", "-purpose", "sslclient", "-crl_check", "-CRLfile", list];
  run("openssl", ["verify", ...strict, "-CAfile", anchor, "-untrusted", above, leaf]);
  pkilint(PKILINT, [leaf]);
  pkilint(PKILINT_LIST, ["-t", "CRL", "-p", "PKIX", list]);
  const chain = [certificate, ...path, root].map((one, at) => {
    const file = join(folder, `chain-${at}.pem`);
    writeFileSync(file, one.toString());
    return file;
  });
  chain.slice(1).forEach((issuer, at) => pkilint(PKILINT_CHAIN, [issuer, chain[at]]));
  const status = await ocspStatus(demo, { file, passphrase }, folder);
  if (status !== "good") throw new Error(`OCSP says ${status} about a certificate that was issued and not revoked`);
}

/** Fails on every warning of a judge of pkilint. */
function pkilint(judge, what) {
  const findings = run(judge, ["lint", "-s", "WARNING", ...what]);
  if (findings.trim() !== "") throw new Error(`${judge}:\n${findings}`);
}

/** What the responder that the certificate points to (RFC 5280, 4.2.2.1) says about it, if openssl believes the answer. */
export async function ocspStatus(demo, { file, passphrase }, folder) {
  const { certificate } = contents(file, passphrase);
  const url = /OCSP - URI:(\S+)/.exec(certificate.infoAccess ?? "")?.[1];
  if (!url) throw new Error("the certificate does not say who answers OCSP about it");
  const { path, root } = await climb(demo, certificate);
  const [leaf, issuer, trusted] = ["leaf.pem", "issuer.pem", "trusted.pem"].map((name) => join(folder, name));
  writeFileSync(leaf, certificate.toString());
  writeFileSync(issuer, String(path[0] ?? root));
  writeFileSync(trusted, [...path, root].map(String).join(""));
  const answer = join(folder, "answer.der");
  const said = run("openssl", ["ocsp", "-issuer", issuer, "-cert", leaf, "-url", url, "-CAfile", trusted, "-respout", answer]);
  pkilint(PKILINT_ANSWER, ["--document-format", "DER", answer]);
  if (/nonce/i.test(said)) throw new Error(`the answer is to another question:\n${said}`);
  return /^.*leaf\.pem: (\w+)$/m.exec(said)?.[1] ?? `nothing openssl understands:\n${said}`;
}

/** Fails unless the file holds the certificates between its own and the root: a store that imports it may need them. */
export async function chainIsWhole(demo, { file, passphrase }) {
  const { certificate, chain } = contents(file, passphrase);
  const { path } = await climb(demo, certificate);
  const names = (certificates) => certificates.map(({ subject }) => subject.replaceAll("\n", ", ")).join("; ") || "nothing";
  const has = (wanted) => chain.some(({ fingerprint256 }) => fingerprint256 === wanted.fingerprint256);
  if (!path.every(has)) throw new Error(`above the certificate the file should hold ${names(path)}; it holds ${names(chain)}`);
}

/** Whether the published revocation list names the certificate. */
export async function isListedAsRevoked(demo, { file, passphrase }, folder) {
  const { certificate, serial } = contents(file, passphrase);
  const leaf = join(folder, "leaf.pem");
  writeFileSync(leaf, certificate.toString());
  const text = run("openssl", ["crl", "-in", await revocationList(demo, leaf, folder), "-noout", "-text"]);
  return (text.match(/Serial Number: [0-9A-F]+/g) ?? []).some((line) => line.endsWith(serial));
}

/** The certificates above one, by its "CA Issuers" links (RFC 5280, 4.2.2.1), until one has issued itself. */
async function climb(demo, certificate) {
  const path = [];
  for (let current = certificate; path.length < 5; ) {
    const url = /CA Issuers - URI:(\S+)/.exec(current.infoAccess ?? "")?.[1];
    if (!url) throw new Error(`${current.subject} does not say where its issuer's certificate is`);
    const above = new X509Certificate((await fetched(demo, url)).bytes);
    if (!current.checkIssued(above)) throw new Error(`${url} did not issue ${current.subject}`);
    if (above.checkIssued(above)) return { path, root: above };
    path.push((current = above));
  }
  throw new Error("the path to the root is too long");
}

/** The list that the certificate points to (RFC 5280, 4.2.1.13), as a PEM file. */
async function revocationList(demo, leaf, folder) {
  const extension = run("openssl", ["x509", "-in", leaf, "-noout", "-ext", "crlDistributionPoints"]);
  const url = /URI:(\S+)/.exec(extension)?.[1];
  if (!url) throw new Error("the certificate does not say where the revocation list is");
  const [der, pem] = [join(folder, "list.der"), join(folder, "list.pem")];
  writeFileSync(der, (await fetched(demo, url)).bytes);
  run("openssl", ["crl", "-inform", "DER", "-in", der, "-out", pem]);
  return pem;
}

async function fetched(demo, url) {
  const answer = await new Client(demo).get(url);
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}`);
  return answer;
}

export const withoutZeros = (hex) => hex.toUpperCase().replace(/^(00)+/, "");

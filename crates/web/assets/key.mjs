// The page's own key: made here, certified by the server, handed to the holder as a PKCS#12 file.
// The private key leaves this page only inside that file.

import {
  bits, bmp, concat, context, ecdsaSignature, element, nothing, number, octets, oid, sequence, setOf, utf16, utf8,
} from "./der.mjs";
import { KeyError } from "./key-error.mjs";

export { KeyError };

const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };

/** A new P-256 key pair. Extractable, because a PKCS#12 file must contain it. */
export async function makeKey() {
  const webCrypto = subtle();
  try {
    return await webCrypto.generateKey(CURVE, true, ["sign", "verify"]);
  } catch (cause) {
    throw new KeyError("key.unsupported", "this browser cannot make a P-256 key", cause);
  }
}

/** CertificationRequest (RFC 2986) in DER. The subject is a placeholder: the server takes the key and its proof of possession. */
export async function certificationRequest({ privateKey, publicKey }) {
  const subject = sequence(setOf(sequence(oid("2.5.4.3"), utf8("koshin"))));
  const info = sequence(number(0), subject, await spki(publicKey), context(0));
  const signature = await subtle().sign(SIGNATURE, privateKey, info);
  const ecdsaWithSha256 = sequence(oid("1.2.840.10045.4.3.2"));
  return sequence(info, ecdsaWithSha256, bits(ecdsaSignature(new Uint8Array(signature))));
}

/** SHA-256 over the SubjectPublicKeyInfo, in lower-case hexadecimal. */
export async function spkiFingerprint({ publicKey }) {
  const digest = new Uint8Array(await subtle().digest("SHA-256", await spki(publicKey)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// 32 symbols: five random bits choose one without bias. No 0, 1, l, o; no capitals, so that nobody has to hold shift.
const ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz";

/** 20 random symbols (100 bits) in five groups, hyphens included in the passphrase: "k7mq-2xvf-…". */
export function makePassphrase() {
  const symbols = Array.from(crypto.getRandomValues(new Uint8Array(20)), (byte) => ALPHABET[byte & 31]).join("");
  return symbols.match(/.{4}/g).join("-");
}

// The passphrase carries the strength (100 bits), not the rounds, so the rounds are what every reader takes without a wait.
// The MAC's derivation has no fast primitive in WebCrypto: 2048 is what openssl writes, and more would only cost the holder.
const PBKDF2_ROUNDS = 100_000;
const MAC_ROUNDS = 2048;
// macOS refuses longer MAC salts.
const MAC_SALT_BYTES = 8;

const DATA = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA = "1.2.840.113549.1.7.6";

/**
 * A PFX (RFC 7292) with the private key, its certificate and the chain above it, under one passphrase.
 *
 * @param {object} content
 * @param {CryptoKey} content.privateKey extractable
 * @param {Uint8Array} content.certificate DER; "key.mismatch" if it does not certify this key
 * @param {Uint8Array[]} content.chain DER, the issuer first; may be empty
 * @param {string} content.passphrase any Unicode text
 * @param {string} content.friendlyName what certificate lists show
 * @returns {Promise<Uint8Array>}
 */
export async function pkcs12({ privateKey, certificate, chain, passphrase, friendlyName }) {
  await assertCertifies(certificate, privateKey);
  // The same localKeyId on both sides is how readers pair the key with its certificate.
  const id = octets(await digest("SHA-1", certificate));
  const attributes = setOf(
    attribute("1.2.840.113549.1.9.20", bmp(friendlyName)),
    attribute("1.2.840.113549.1.9.21", id),
  );
  const pkcs8 = new Uint8Array(await subtle().exportKey("pkcs8", privateKey));
  const key = await encrypt(pkcs8, passphrase);
  const shrouded = sequence(key.algorithm, octets(key.ciphertext));
  const keyBags = sequence(bag("1.2.840.113549.1.12.10.1.2", shrouded, attributes));
  const certBags = sequence(certBag(certificate, attributes), ...chain.map((above) => certBag(above)));

  const safe = sequence(await encryptedContent(certBags, passphrase), contentInfo(DATA, octets(keyBags)));
  return sequence(number(3), contentInfo(DATA, octets(safe)), await macData(safe, passphrase));
}

async function assertCertifies(certificate, privateKey) {
  const { x, y } = await subtle().exportKey("jwk", privateKey);
  // The uncompressed point stands in the certificate byte for byte, as it stood in the request.
  const point = binary(concat([4], base64url(x), base64url(y)));
  if (!binary(certificate).includes(point)) {
    throw new KeyError("key.mismatch", "the certificate was issued for another key");
  }
}

const contentInfo = (type, content) => sequence(oid(type), context(0, content));
const attribute = (type, value) => sequence(oid(type), setOf(value));
const bag = (type, value, ...attributes) => sequence(oid(type), context(0, value), ...attributes);

function certBag(der, ...attributes) {
  const x509 = sequence(oid("1.2.840.113549.1.9.22.1"), context(0, octets(der)));
  return bag("1.2.840.113549.1.12.10.1.3", x509, ...attributes);
}

async function encryptedContent(plain, passphrase) {
  const { algorithm, ciphertext } = await encrypt(plain, passphrase);
  const info = sequence(oid(DATA), algorithm, element(0x80, ciphertext));
  return contentInfo(ENCRYPTED_DATA, sequence(number(0), info));
}

/** PBES2 (RFC 8018, 6.2) with PBKDF2-HMAC-SHA-256 and AES-256-CBC. The passphrase goes in as UTF-8, unlike in the MAC. */
async function encrypt(plain, passphrase) {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const secret = await subtle().importKey("raw", new TextEncoder().encode(passphrase), "PBKDF2", false, ["deriveKey"]);
  const derivation = { name: "PBKDF2", hash: "SHA-256", salt, iterations: PBKDF2_ROUNDS };
  const key = await subtle().deriveKey(derivation, secret, { name: "AES-CBC", length: 256 }, false, ["encrypt"]);
  const ciphertext = new Uint8Array(await subtle().encrypt({ name: "AES-CBC", iv }, key, plain));

  const hmacWithSha256 = sequence(oid("1.2.840.113549.2.9"), nothing());
  const pbkdf2 = sequence(oid("1.2.840.113549.1.5.12"), sequence(octets(salt), number(PBKDF2_ROUNDS), hmacWithSha256));
  const aes256Cbc = sequence(oid("2.16.840.1.101.3.4.1.42"), octets(iv));
  return { algorithm: sequence(oid("1.2.840.113549.1.5.13"), sequence(pbkdf2, aes256Cbc)), ciphertext };
}

async function macData(safe, passphrase) {
  const salt = crypto.getRandomValues(new Uint8Array(MAC_SALT_BYTES));
  const raw = await macKey(passphrase, salt);
  const key = await subtle().importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await subtle().sign("HMAC", key, safe));
  const sha256 = sequence(oid("2.16.840.1.101.3.4.2.1"), nothing());
  return sequence(sequence(sha256, octets(mac)), octets(salt), number(MAC_ROUNDS));
}

/** RFC 7292, appendix B.2, with SHA-256 and ID 3. One hash is as long as the key wanted, so the loop over blocks falls away. */
async function macKey(passphrase, salt) {
  const diversifier = new Uint8Array(64).fill(3);
  const password = concat(utf16(passphrase), [0, 0]);
  let hash = concat(diversifier, fill64(salt), fill64(password));
  for (let round = 0; round < MAC_ROUNDS; round += 1) hash = await digest("SHA-256", hash);
  return hash;
}

/** Repeats the bytes up to the next multiple of SHA-256's 64-byte block; the last copy may be cut. */
const fill64 = (bytes) => Uint8Array.from({ length: Math.ceil(bytes.length / 64) * 64 }, (_, i) => bytes[i % bytes.length]);

const digest = async (hash, bytes) => new Uint8Array(await subtle().digest(hash, bytes));
const spki = async (publicKey) => new Uint8Array(await subtle().exportKey("spki", publicKey));
const binary = (bytes) => String.fromCharCode(...bytes);
const base64url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

function subtle() {
  // Browsers leave crypto.subtle away on a page that did not come over https.
  const found = globalThis.crypto?.subtle;
  if (!found) throw new KeyError("key.unsupported", "no WebCrypto: the page needs https and a current browser");
  return found;
}

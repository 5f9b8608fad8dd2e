// Writes DER (X.690): just enough for a PKCS#10 request and a PKCS#12 file. It never reads any.

/** Joins byte arrays. */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One element: tag, length in the shortest form, contents. */
export function element(tag, ...contents) {
  const body = concat(...contents);
  const length = [];
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const header = body.length < 0x80 ? [tag, body.length] : [tag, 0x80 | length.length, ...length];
  return concat(header, body);
}

export const sequence = (...items) => element(0x30, ...items);
export const octets = (bytes) => element(0x04, bytes);
export const bits = (bytes) => element(0x03, [0], bytes);
export const utf8 = (text) => element(0x0c, new TextEncoder().encode(text));
export const bmp = (text) => element(0x1e, utf16(text));
export const nothing = () => element(0x05);

/** Context-specific and constructed: EXPLICIT [n], or IMPLICIT [n] over a SET or SEQUENCE. */
export const context = (n, ...items) => element(0xa0 | n, ...items);

/** SET OF: DER wants the members in the order of their encodings (X.690, 11.6). */
export const setOf = (...items) => element(0x31, ...items.sort(compare));

/** INTEGER of a big-endian magnitude: no superfluous zeros in front, but one where the top bit would read as a sign. */
export function integer(magnitude) {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1;
  const digits = magnitude.slice(start);
  return digits[0] & 0x80 ? element(0x02, [0], digits) : element(0x02, digits);
}

/** INTEGER of a number from 0 to 2^32 - 1. */
export const number = (value) => integer([value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]);

/** OBJECT IDENTIFIER from its dotted form; arcs below 2^28. */
export function oid(dotted) {
  const [first, second, ...arcs] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of arcs) {
    const digits = [arc & 0x7f];
    for (let rest = arc >>> 7; rest > 0; rest >>>= 7) digits.unshift(0x80 | (rest & 0x7f));
    bytes.push(...digits);
  }
  return element(0x06, bytes);
}

/** Ecdsa-Sig-Value (RFC 3279, 2.2.3) of the r || s that WebCrypto returns. */
export function ecdsaSignature(rs) {
  const half = rs.length / 2;
  return sequence(integer(rs.slice(0, half)), integer(rs.slice(half)));
}

/** UTF-16 big-endian. A character outside the BMP becomes its surrogate pair, as every PKCS#12 reader expects. */
export function utf16(text) {
  const bytes = new Uint8Array(text.length * 2);
  for (let i = 0; i < text.length; i += 1) new DataView(bytes.buffer).setUint16(i * 2, text.charCodeAt(i));
  return bytes;
}

function compare(a, b) {
  // Never one inside the other: elements of different length already differ in their headers.
  const differs = a.findIndex((byte, i) => byte !== b[i]);
  return differs < 0 ? 0 : a[differs] - b[differs];
}

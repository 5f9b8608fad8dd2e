// Makes a screenshot small: at most 256 colours, chosen by how often they occur, in a PNG with a palette.

import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Takes and returns a PNG; one in another form than Chromium's is returned as it is. */
export function shrink(png) {
  const image = decode(png);
  if (!image) return png;
  const { width, height, rgb } = image;
  const { palette, indexOf } = choose(rgb);
  const lines = Buffer.alloc((width + 1) * height);
  for (let y = 0, from = 0, to = 0; y < height; y += 1) {
    lines[to++] = 0;
    for (let x = 0; x < width; x += 1, from += 3) lines[to++] = indexOf((rgb[from] << 16) | (rgb[from + 1] << 8) | rgb[from + 2]);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const colours = Buffer.from(palette.flatMap((c) => [c >> 16, (c >> 8) & 0xff, c & 0xff]));
  const small = Buffer.concat([
    SIGNATURE, chunk("IHDR", header), chunk("PLTE", colours), chunk("IDAT", deflateSync(lines, { level: 9 })), chunk("IEND", Buffer.alloc(0)),
  ]);
  return small.length < png.length ? small : png;
}

/** The most frequent colours, and for every other one the nearest of them. */
function choose(rgb) {
  const counts = new Map();
  for (let i = 0; i < rgb.length; i += 3) {
    const colour = (rgb[i] << 16) | (rgb[i + 1] << 8) | rgb[i + 2];
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([colour]) => colour);
  const indexes = new Map(palette.map((colour, i) => [colour, i]));
  const indexOf = (colour) => {
    let index = indexes.get(colour);
    if (index === undefined) indexes.set(colour, (index = nearest(palette, colour)));
    return index;
  };
  return { palette, indexOf };
}

function nearest(palette, colour) {
  let best = 0;
  let least = Infinity;
  palette.forEach((other, i) => {
    const red = (other >> 16) - (colour >> 16);
    const green = ((other >> 8) & 0xff) - ((colour >> 8) & 0xff);
    const blue = (other & 0xff) - (colour & 0xff);
    const distance = red * red + green * green + blue * blue;
    if (distance < least) [best, least] = [i, distance];
  });
  return best;
}

/** The pixels of an 8-bit RGB or RGBA image without interlacing (PNG, 9: filters); alpha is dropped. */
function decode(png) {
  const data = [];
  let header;
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const type = png.toString("latin1", at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") header = body;
    if (type === "IDAT") data.push(body);
    at += length + 12;
  }
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const [depth, colours, , , interlace] = header.subarray(8);
  const size = { 2: 3, 6: 4 }[colours];
  if (depth !== 8 || !size || interlace !== 0) return undefined;
  const raw = inflateSync(Buffer.concat(data));
  const rgb = Buffer.alloc(width * height * 3);
  let before = Buffer.alloc(width * size);
  for (let y = 0, to = 0; y < height; y += 1) {
    const start = y * (width * size + 1);
    const line = raw.subarray(start + 1, start + 1 + width * size);
    unfilter(raw[start], line, before, size);
    for (let x = 0; x < line.length; x += size, to += 3) rgb.set(line.subarray(x, x + 3), to);
    before = line;
  }
  return { width, height, rgb };
}

function unfilter(filter, line, above, size) {
  for (let i = 0; i < line.length; i += 1) {
    const left = i >= size ? line[i - size] : 0;
    const corner = i >= size ? above[i - size] : 0;
    const add = [0, left, above[i], (left + above[i]) >> 1, paeth(left, above[i], corner)][filter];
    line[i] = (line[i] + add) & 0xff;
  }
}

function paeth(left, up, corner) {
  const estimate = left + up - corner;
  const [a, b, c] = [Math.abs(estimate - left), Math.abs(estimate - up), Math.abs(estimate - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function chunk(type, body) {
  const whole = Buffer.alloc(body.length + 12);
  whole.writeUInt32BE(body.length, 0);
  whole.write(type, 4, "latin1");
  whole.set(body, 8);
  whole.writeUInt32BE(crc(whole.subarray(4, -4)), body.length + 8);
  return whole;
}

function crc(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return ~sum >>> 0;
}

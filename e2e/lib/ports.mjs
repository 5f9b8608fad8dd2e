// Ports on the loopback that are free now.

import { createServer } from "node:net";

/** A base below the ephemeral range from which so many ports are free now. */
export async function freePorts(count) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const base = 20_000 + Math.floor(Math.random() * 1200) * 10;
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(base + i)));
    if (free.every(Boolean)) return base;
  }
  throw new Error("found no free ports");
}

/** One port. */
export const freePort = () => freePorts(1);

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

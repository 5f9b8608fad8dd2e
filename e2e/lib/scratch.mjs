// Folders that are gone when the run is, however it ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folders = new Set();
process.on("exit", () => folders.forEach((folder) => remove(folder)));

/** A new empty folder. */
export function scratch(name) {
  const folder = mkdtempSync(join(tmpdir(), `koshin-e2e-${name}-`));
  folders.add(folder);
  return folder;
}

/** Removes it, also while a process that is just ending still writes there. */
export function remove(folder) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  folders.delete(folder);
}

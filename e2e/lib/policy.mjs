// Chromium's managed policies: which hosts get a certificate without a dialog, which start the agent without one, and which CA
// the browser trusts.
//
// They hold for the whole machine, so the file bears the process' number, is removed at the end, and two runs at the same
// time are refused. Without the first policy a headless browser would hang on a dialog that nobody can see.

import { X509Certificate } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Missing } from "./tools.mjs";

const FOLDER = "/etc/chromium/policies/managed";
const FILE = join(FOLDER, `koshin-e2e-${process.pid}.json`);

/** Refuses to begin next to another run, and removes what a killed one left behind. */
export function claimPolicies() {
  try {
    mkdirSync(FOLDER, { recursive: true });
    for (const name of readdirSync(FOLDER)) {
      const pid = Number(/^koshin-e2e-(\d+)\.json$/.exec(name)?.[1]);
      if (!pid || pid === process.pid) continue;
      if (isAlive(pid)) throw new Missing(`another run (process ${pid}) uses Chromium's policies; wait for its end`);
      rmSync(join(FOLDER, name), { force: true });
    }
    writeFileSync(FILE, "{}");
    process.on("exit", releasePolicies);
  } catch (error) {
    if (error instanceof Missing) throw error;
    throw new Missing(`cannot write Chromium's policies: ${error.message}`);
  }
}

/** From the next start of the browser on: these origins get a certificate, these start the agent, and this CA is trusted. */
export function setPolicies(origins, starters, caFile) {
  const rules = origins.map((origin) => JSON.stringify({ pattern: new URL(origin).origin, filter: {} }));
  const pems = readFileSync(caFile, "utf8").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  const trusted = pems.map((pem) => new X509Certificate(pem).raw.toString("base64"));
  const launch = [{ protocol: "koshin", allowed_origins: starters }];
  const policies = { AutoSelectCertificateForUrls: rules, AutoLaunchProtocolsFromOrigins: launch, CACertificates: trusted };
  writeFileSync(FILE, JSON.stringify(policies, null, 1));
}

function releasePolicies() {
  rmSync(FILE, { force: true });
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

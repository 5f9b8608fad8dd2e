// Koshin in a real browser: `node e2e/run.mjs [--ci | --all] [--koshin PATH] [--screenshots DIR] [--language ja|en] [--only NAME] [--split]`.
//
// --ci          one path in Japanese (the default)
// --all         everything, in both languages
// --screenshots a picture of every screen in both languages; alone it runs nothing else
// --only        the scenarios whose names contain this
// --split       with a koshin-ca in a process of its own that issues the certificates
//
// Ends with 0 when everything passed, 1 when something failed, 2 for wrong arguments, 3 when something it needs is missing.

import { existsSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { Missing, OUTPUT, ROOT, TARGET, requireTools } from "./lib/tools.mjs";

const SPECS = [
  "renewal", "enrolment", "administrator", "later", "declined", "reload", "tabs", "lost", "activation", "keyboard", "scriptless",
  "doctor", "hostile", "kill", "agent", "split", "screens",
];
const SECONDS = 240;

function options() {
  const { values } = parseArgs({
    options: {
      ci: { type: "boolean" }, all: { type: "boolean" }, koshin: { type: "string" }, screenshots: { type: "string" },
      language: { type: "string" }, only: { type: "string" }, split: { type: "boolean" },
    },
  });
  if (values.ci && values.all) throw new Error("--ci and --all exclude each other");
  if (values.language && !["ja", "en"].includes(values.language)) throw new Error("--language is ja or en");
  const alone = values.screenshots && !values.ci && !values.all && !values.only;
  return { ...values, set: values.all || values.only ? "all" : alone ? "screens" : "ci" };
}

function findBinary(given) {
  const places = given ? [given] : [join(TARGET, "release/koshin"), join(TARGET, "debug/koshin")];
  const found = places.find((path) => existsSync(path));
  if (!found) throw new Missing(`missing: ${places.join(" or ")} (cargo build -p koshin)`);
  return resolve(found);
}

async function main(given) {
  requireTools();
  const binary = findBinary(given.koshin ?? process.env.KOSHIN_BIN);
  // Loaded only now: without its modules the run has said so above.
  const { claimPolicies } = await import("./lib/policy.mjs");
  const { Report } = await import("./lib/report.mjs");
  const { Scenario } = await import("./lib/scenario.mjs");
  const { Screens } = await import("./lib/screens.mjs");
  claimPolicies();
  rmSync(OUTPUT, { recursive: true, force: true });
  const report = new Report();
  const screens = new Screens(given.screenshots && resolve(given.screenshots));
  let current;
  const interrupt = (signal) => {
    report.interrupted = signal;
    current?.end();
  };
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  console.log(`e2e: ${binary}`);
  for (const { scenario, language } of await plan(given)) {
    if (report.interrupted) break;
    report.heading(`${scenario.name} (${language})`);
    current = new Scenario({ report, screens, binary, name: `${scenario.name} (${language})`, language, split: given.split });
    await current.run(scenario.run, scenario.seconds ?? SECONDS);
  }
  if (report.interrupted) return report.interrupted === "SIGINT" ? 130 : 143;
  return report.summary() ? 0 : 1;
}

/** What to run, and in which language. */
async function plan({ set, language, only }) {
  const specs = await Promise.all(SPECS.map((name) => import(`./specs/${name}.mjs`)));
  const chosen = specs
    .flatMap(({ scenarios }) => scenarios)
    .filter(({ sets, name }) => sets.includes(set) && (!only || name.includes(only)));
  const languages = (scenario) => (set === "ci" ? ["ja"] : (scenario.languages ?? ["ja", "en"]));
  const all = chosen.flatMap((scenario) => languages(scenario).map((one) => ({ scenario, language: one })));
  return all.filter((one) => !language || one.language === language);
}

let given;
try {
  given = options();
} catch (error) {
  console.error(`e2e: ${error.message}`);
  process.exit(2);
}
try {
  process.exit(await main(given));
} catch (error) {
  console.error(error instanceof Missing ? `e2e: ${error.message}` : error);
  process.exit(error instanceof Missing ? 3 : 1);
}

// Which certificates exist for a subject, told by the mails that each of them causes, and what the server says of each.

import { join } from "node:path";

import { Client, isTo, mail, mails } from "./http.mjs";
import { withoutZeros } from "./judges.mjs";
import { contains, same } from "./scenario.mjs";
import { run } from "./tools.mjs";

const SERIAL = /\b[0-9A-F]{20,40}\b/g;
const serialsIn = (text) => text.match(SERIAL) ?? [];

/** Waits until a mail to this subject names all of these serial numbers. */
export function mailNames(demo, subject, ...serials) {
  const wanted = (one) => isTo(one, subject) && serials.every((serial) => one.text.includes(serial));
  return mail(demo, `one to ${subject.id} that names ${serials.join(" and ")}`, wanted);
}

/**
 * Fails unless these are all certificates that were ever issued for the subject since the demo began: by what is stored, and
 * by the mails, which tell of an enrolment when it is issued and of a renewal when it is activated.
 */
export async function onlyIssued(demo, subject, old, ...expected) {
  const fresh = (serials) => [...new Set(serials)].filter((serial) => serial !== old).sort();
  const { certificates, unsigned } = stored(demo, subject);
  same(fresh(certificates.map(({ serial }) => serial)).join(), fresh(expected).join(), `certificates of ${subject.id}`);
  same(unsigned, 0, "intents without a certificate");
  const told = (await mails(demo)).filter((one) => isTo(one, subject)).flatMap(({ text }) => serialsIn(text));
  same(fresh(told).filter((serial) => !expected.includes(serial)).join(), "", `other certificates that ${subject.id} was told of`);
}

/** What /doctor on the portal host says to somebody with this file, or with none. */
export async function doctor(demo, language, { file, passphrase } = {}) {
  const client = new Client(demo, { p12: file, passphrase, language });
  const { status, text } = await client.get(`${demo.portal}/doctor`);
  same(status, 200, "status of the doctor page");
  return text;
}

/** Fails unless the doctor page has this word for the certificate's state. */
export async function hasState(t, demo, state, credentials) {
  contains(await doctor(demo, t.language, credentials), `<strong>${t.words.status[state]}</strong>`, "doctor page");
}

/** Fails unless a login with this certificate and the right password is refused with an explanation. */
export async function isRefused(t, demo, subject, { file, passphrase }, explanation) {
  const client = new Client(demo, { p12: file, passphrase, language: t.language });
  const answer = await client.logIn(subject);
  same(answer.status, 403, "status of the login");
  contains(answer.text, t.words.certificateNeeded, "refusal");
  contains(answer.text, explanation, "refusal");
  same(client.cookies.get(new URL(demo.portal).host).size, 0, "cookies after a refused login");
}

const QUERY = `
import json, sqlite3, sys
database = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
rows = database.execute(
    "SELECT hex(c.serial), c.status, hex(d.der) FROM certificates c JOIN documents d ON d.serial = c.serial"
    " JOIN subjects s ON s.number = c.subject WHERE s.id = ? ORDER BY c.number", [sys.argv[2]])
intents = database.execute("SELECT count(*) FROM intents").fetchone()[0]
documents = database.execute("SELECT count(*) FROM documents").fetchone()[0]
print(json.dumps({"certificates": rows.fetchall(), "unsigned": intents - documents}))
`;

/**
 * What the demo's database holds for a subject, read beside the running demo: mails are no witness once a demo was killed,
 * because its mailbox is in memory. { certificates: [{ serial, status, der }], unsigned }
 */
export function stored(demo, subject) {
  const { certificates, unsigned } = JSON.parse(run("python3", ["-c", QUERY, join(demo.data, "koshin.db"), subject.id]));
  return { certificates: certificates.map(([serial, status, der]) => ({ serial: withoutZeros(serial), status, der })), unsigned };
}

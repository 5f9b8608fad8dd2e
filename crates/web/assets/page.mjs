// What the scripts of the start and the completion screen share: the page's words, and how to ask the server.

/** What went wrong, as the server said it (RFC 9457), or as `word` names it when nobody answered. */
export class Problem extends Error {
  constructor({ code, title, detail }) {
    super(detail);
    this.name = "Problem";
    this.code = code;
    this.title = title;
    this.detail = detail;
  }
}

/** A text of the page in the reader's language, with its gap filled. */
export function word(name, filling = "") {
  return document.querySelector(`#words [data-word="${name}"]`).textContent.replace("%", () => filling);
}

// In milliseconds: about a quarter of a minute in all, then the holder decides.
const DELAYS = [1000, 2000, 4000, 8000];
const TIMEOUT = 30_000;
const LONGEST_RETRY_AFTER = 10_000;

/**
 * Sends a request and returns the answer. What can be repeated is repeated: every request of these pages is safe to
 * repeat. `retrying` is called before each repetition. Throws a Problem.
 */
export async function send(url, options = {}, retrying = () => {}) {
  for (const delay of DELAYS) {
    const { answer, wait } = await attempt(url, options);
    if (wait === null) return accepted(answer);
    if (wait > LONGEST_RETRY_AFTER) break;
    retrying();
    await new Promise((resume) => setTimeout(resume, Math.max(delay, wait)));
  }
  return accepted((await attempt(url, options)).answer);
}

/** One try: the answer, if any, and for how many milliseconds to wait before the next one, or null if none is needed. */
async function attempt(url, options) {
  try {
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT), ...options });
    if (![502, 503, 504].includes(answer.status)) return { answer, wait: null };
    return { answer, wait: 1000 * (Number(answer.headers.get("retry-after")) || 0) };
  } catch {
    return { answer: null, wait: 0 };
  }
}

async function accepted(answer) {
  if (answer === null) throw new Problem({ code: "page.offline", title: null, detail: word("offline") });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  const detail = said.detail ?? word("unexpected");
  throw new Problem({ code: said.code ?? `http.${answer.status}`, title: said.title ?? null, detail });
}

/** Shows an error where the page has room for it, and puts the focus there. */
export function explain(error) {
  const details = { "key.storage": "storage", "key.unsupported": "unsupported" };
  const detail = error instanceof Problem ? error.detail : word(details[error?.code] ?? "unexpected");
  if (!(error instanceof Problem)) console.error(error);
  const panel = document.getElementById("problem");
  const title = document.getElementById("problem-title");
  if (title) title.textContent = error?.title ?? word("problem");
  document.getElementById("problem-detail").textContent = detail;
  document.getElementById("problem-code").textContent = word("code", error?.code ?? "page.unexpected");
  panel.hidden = false;
  panel.focus();
}

/** The bytes of base64 text. */
export function bytes(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

/** Whether this certificate was issued for this key: its public point stands in it byte for byte. */
export async function certifies(certificate, { publicKey }) {
  const text = (octets) => Array.from(octets, (octet) => String.fromCharCode(octet)).join("");
  return text(certificate).includes(text(new Uint8Array(await crypto.subtle.exportKey("raw", publicKey))));
}

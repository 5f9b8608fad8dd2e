// The completion screen of the file way: puts key and certificate into a .p12, saves it, shows its passphrase, and
// forgets the key when the certificate is in use, has ended, or the holder says that the file is saved and imported.

import { makePassphrase, pkcs12 } from "./key.mjs";
import { forgetAllBut, get, remove, setPassphrase } from "./key-store.mjs";
import { bytes, explain, send, word } from "./page.mjs";

const element = (id) => document.getElementById(id);
const { owner, renewal: id, state, statusUrl } = element("main").dataset;
const ENDED = ["abandoned", "refused", "expired", "revoked"];

let file = null;

// What is left of renewals before this one, and of this one when it is done.
const tidied = forgetAllBut(state === "activated" ? [] : [id], owner).catch(() => {});
if (state !== "activated") {
  openOwnSystem();
  element("save-again").addEventListener("click", save);
  element("copy").addEventListener("click", copy);
  element("imported").addEventListener("click", imported);
  prepare().catch((error) => (error?.code === "key.mismatch" ? withoutKey() : failed(error)));
  watch();
}

async function prepare() {
  await tidied;
  const record = await get(id);
  if (!record) return withoutKey();
  element("saved").textContent = word("preparing");
  const headers = { accept: "application/json" };
  const answer = await (await send(`/renewals/${id}/certificate`, { headers })).json();
  // The first passphrase stays: a file saved yesterday and one saved today open with the same one.
  const passphrase = await setPassphrase(id, makePassphrase());
  const content = await pkcs12({
    privateKey: record.keyPair.privateKey,
    certificate: bytes(answer.certificate),
    chain: answer.chain.map(bytes),
    passphrase,
    friendlyName: answer.file_name.replace(/\.p12$/, ""),
  });
  file = { name: answer.file_name, url: URL.createObjectURL(new Blob([content], { type: "application/x-pkcs12" })) };
  element("passphrase").textContent = passphrase;
  element("file").hidden = false;
  element("imported").disabled = false;
  if (savedBefore()) {
    element("saved").textContent = word("saved-before", file.name);
  } else {
    save();
  }
}

function save() {
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.name;
  link.click();
  rememberSaved();
  element("saved").textContent = word("saved", file.name);
}

function withoutKey() {
  element("saved").textContent = "";
  element("no-key").hidden = false;
  // Whoever has the file from an earlier visit still needs the way to the check.
  element("imported").disabled = false;
}

function failed(error) {
  element("saved").textContent = "";
  explain(error);
}

async function copy() {
  const passphrase = element("passphrase");
  const copied = element("copied");
  try {
    await navigator.clipboard.writeText(passphrase.textContent);
    copied.textContent = word("copied");
  } catch {
    getSelection().selectAllChildren(passphrase);
    copied.textContent = word("copy-failed");
  }
}

async function imported() {
  element("imported").disabled = true;
  try {
    await remove(id);
    element("forgot").hidden = false;
  } catch {
    // The key stays until the server reports an end; the way to the check must not depend on it.
  }
  element("check-ask").hidden = true;
  element("check-link").hidden = false;
  element("activate").focus();
}

/** Asks how far the renewal is until it has come to an end, or until the server no longer says. */
async function watch() {
  for (let asked = 0; ; asked += 1) {
    const answer = await fetch(statusUrl, { cache: "no-store" }).catch(() => null);
    // Without an answer the network is away; with a refusal the token is too old.
    if (answer && !answer.ok && answer.status < 500) return;
    const { state } = answer?.ok ? await answer.json().catch(() => ({})) : {};
    if (state === "activated" || ENDED.includes(state)) return finish(state);
    await pause(asked < 60 ? 2000 : 10_000);
  }
}

async function finish(state) {
  await remove(id).catch(() => {});
  const panel = element(state === "activated" ? "activated" : "ended");
  panel.hidden = false;
  element("issued").hidden = true;
  element("tasks").hidden = true;
  // Without a predecessor there is nothing to remove.
  const removal = document.getElementById("remove");
  if (removal && state === "activated") removal.hidden = false;
  panel.scrollIntoView({ block: "nearest" });
}

/** Waits, but not once the holder comes back to this page: then the answer is wanted now. */
function pause(milliseconds) {
  return new Promise((resume) => {
    const timer = setTimeout(done, milliseconds);
    const visible = () => document.visibilityState === "visible" && done();
    document.addEventListener("visibilitychange", visible);
    function done() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", visible);
      resume();
    }
  });
}

function savedBefore() {
  try {
    return sessionStorage.getItem(`saved ${id}`) !== null;
  } catch {
    return false;
  }
}

function rememberSaved() {
  try {
    sessionStorage.setItem(`saved ${id}`, "yes");
  } catch {
    // Then a reload saves the file once more, which does no harm.
  }
}

function openOwnSystem() {
  const agent = navigator.userAgent;
  const systems = [["firefox", /Firefox/], ["windows", /Windows/], ["macos", /Mac OS X/], ["linux", /Linux/]];
  const own = systems.find(([, pattern]) => pattern.test(agent));
  if (own) document.querySelector(`details[data-system="${own[0]}"]`).open = true;
}

// The start screen: 更新, then two confirmations. The key is made here and never leaves this computer; the server gets the
// request and answers with the certificate. Whatever is interrupted is taken up again with the same key.

import { certificationRequest, makeKey } from "./key.mjs";
import { forgetAllBut, get, getOrMake, remove } from "./key-store.mjs";
import { bytes, certifies, explain, send, word } from "./page.mjs";

const element = (id) => document.getElementById(id);
const { owner, renewal: id, state } = element("main").dataset;
const button = element("renew");
const progress = element("progress");

const requested = state !== "started";
const issued = state === "issued" || state === "delivered";
const ENDED = ["renewal.ended", "renewal.refused"];

// What is left of renewals before this one, as after "start again with a new key".
const tidied = forgetAllBut([id], owner).catch(() => {});

let agreed = false;

button.disabled = false;
button.addEventListener("click", renew);
// Back from the cache the page would show a state that is no longer true.
addEventListener("pageshow", (event) => event.persisted && location.reload());

async function renew() {
  button.disabled = true;
  element("problem").hidden = true;
  try {
    await goOn();
  } catch (error) {
    tell("");
    if (error?.code === "renewal.other_key" || error?.code === "key.gone") {
      showGone();
    } else if (ENDED.includes(error?.code)) {
      // This page says where to begin again.
      await remove(id).catch(() => {});
      location.reload();
    } else {
      button.disabled = false;
      explain(error);
    }
  }
}

async function goOn() {
  await tidied;
  let record = await get(id);
  if (requested && !record) return showGone();
  // With a key the first question has been answered, also when the request failed or the page was left after it.
  if (!record && !agreed && !(await confirmed("confirm-request"))) return decline(1);

  agreed = true;
  if (!record) {
    tell("making");
    record = await getOrMake(id, makeKey, owner);
  }
  const answer = issued ? await fetchCertificate() : await request(record.keyPair);
  if (!(await certifies(bytes(answer.certificate), record.keyPair))) return showGone();

  tell("issued");
  element("new-serial").replaceChildren(...groups(answer.serial));
  if (!(await confirmed("confirm-delivery"))) return decline(2);

  tell("delivering");
  await send(`/renewals/${id}/delivered`, { method: "POST" }, () => tell("delivering"));
  location.assign(`/renewals/${id}/complete`);
}

async function request(keyPair) {
  tell("requesting");
  const body = await certificationRequest(keyPair);
  const headers = { "content-type": "application/pkcs10", accept: "application/json" };
  const answer = await send(`/renewals/${id}/request`, { method: "POST", headers, body }, () => tell("retrying"));
  return answer.json();
}

async function fetchCertificate() {
  tell("fetching");
  const headers = { accept: "application/json" };
  return (await send(`/renewals/${id}/certificate`, { headers }, () => tell("fetching"))).json();
}

/** Asks with a dialog. Anything but はい, the Escape key too, is いいえ. */
function confirmed(name) {
  const dialog = element(name);
  dialog.returnValue = "";
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}

function decline(step) {
  const form = element("declined");
  form.elements.step.value = step;
  form.submit();
}

function showGone() {
  tell("");
  element("ready").hidden = true;
  const panel = element("gone");
  panel.hidden = false;
  panel.focus();
}

function tell(name) {
  progress.classList.toggle("working", name !== "" && name !== "issued");
  progress.textContent = name === "" ? "" : word(name);
}

/** The digits in groups of four, counted from the right, as the server writes them. */
function groups(serial) {
  return serial.split(/(?=(?:.{4})+$)/).map((digits) => {
    const group = document.createElement("span");
    group.textContent = digits;
    return group;
  });
}

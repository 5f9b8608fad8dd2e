// The page beside the agent: it hears how far the agent is (server-sent events; asking again and again where they do not come
// through), and goes on by itself.

import { word } from "./page.mjs";

const element = (id) => document.getElementById(id);
const { statusUrl, eventsUrl, onward } = element("main").dataset;
const ENDED = ["abandoned", "refused", "expired"];
// In milliseconds. An agent that is installed has opened the ticket long before.
const SILENCE = 5000;
const BETWEEN = 1500;
// Together with the pauses a little longer than a ticket lasts.
const LONGEST = 16 * 60_000;

const progress = element("progress");
const begun = performance.now();
let silence = null;
let over = false;

element("agent-link")?.addEventListener("click", () => {
  element("silent").hidden = true;
  tell("opening");
  clearTimeout(silence);
  silence = setTimeout(() => (element("silent").hidden = false), SILENCE);
});
// Back from the cache the page would show what is no longer true; a new link is made by its button.
addEventListener("pageshow", (event) => event.persisted && location.reload());

listen();

function listen() {
  if (!eventsUrl || !("EventSource" in window)) return ask();
  const source = new EventSource(eventsUrl);
  source.addEventListener("message", ({ data }) => {
    heard(JSON.parse(data));
    if (over) source.close();
  });
  source.addEventListener("error", () => {
    // The browser connects again by itself unless the server refused.
    if (source.readyState === EventSource.CLOSED && !over) ask();
  });
}

async function ask() {
  while (!over && performance.now() - begun < LONGEST) {
    const answer = await fetch(statusUrl, { cache: "no-store", headers: { accept: "application/json" } }).catch(() => null);
    if (answer && !answer.ok && answer.status < 500) break;
    if (answer?.ok) heard(await answer.json().catch(() => ({})));
    await new Promise((resume) => setTimeout(resume, BETWEEN));
  }
  if (!over) tell("lost", false);
}

/** What the server says: `state` of the renewal, before a request also how far the `agent` is. */
function heard({ state, agent }) {
  const answered = (state && state !== "started" && state !== "waiting") || (agent && agent !== "waiting");
  if (answered) {
    clearTimeout(silence);
    element("silent").hidden = true;
  }
  if (state === "begun") return finish(() => element("join").submit());
  if (state === "activated") {
    tell("activated");
    return finish(() => location.replace(onward));
  }
  if (ENDED.includes(state)) {
    tell("");
    return finish(() => (element("ended").hidden = false));
  }
  if (state === "requested" || state === "intended") return tell("requested");
  if (state === "issued" || state === "delivered") return tell(state);
  const isVoid = agent === "exhausted";
  element("void").hidden = !isVoid;
  if (isVoid) tell("");
  else if (agent === "opened" || agent === "confirmed") tell(agent);
}

function finish(last) {
  if (over) return;
  over = true;
  last();
}

function tell(name, working = true) {
  progress.classList.toggle("working", name !== "" && working);
  progress.textContent = name === "" ? "" : word(name);
}

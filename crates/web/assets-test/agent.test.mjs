// The page beside the agent, on the least of a document: what it says and where it goes for what the server tells it.

import assert from "node:assert/strict";
import { test } from "node:test";

const IDS = ["main", "progress", "silent", "void", "ended", "join", "agent-link"];
let visits = 0;

/** Loads the page's script anew. `answers` are what the status says, one after the other; the last one again and again. */
async function visit({ events = true, answers = [], renewal = true } = {}) {
  const elements = new Map(
    IDS.map((id) => {
      const listeners = {};
      const classes = new Set();
      const element = {
        hidden: true,
        textContent: "",
        dataset: {},
        classList: { toggle: (name, on) => (on ? classes.add(name) : classes.delete(name)), classes },
        addEventListener: (name, listener) => (listeners[name] = listener),
        click: () => listeners.click(),
        submit: () => (element.submitted = true),
      };
      return [id, element];
    }),
  );
  const page = { get: (id) => elements.get(id), sources: [], asked: 0, went: null };
  elements.get("main").dataset = renewal
    ? { statusUrl: "/status", eventsUrl: events ? "/events" : undefined, onward: "https://www.example/complete?t=1" }
    : { statusUrl: "/enrol/agent/status" };
  globalThis.document = {
    getElementById: (id) => elements.get(id) ?? null,
    querySelector: (selector) => ({ textContent: selector.match(/data-word="(.*)"/)[1] }),
  };
  globalThis.window = globalThis;
  globalThis.addEventListener = () => {};
  globalThis.location = { replace: (url) => (page.went = url), reload: () => {} };
  globalThis.EventSource = class {
    static CLOSED = 2;
    readyState = 1;
    listeners = {};
    constructor(url) {
      this.url = url;
      page.sources.push(this);
    }
    addEventListener(name, listener) {
      this.listeners[name] = listener;
    }
    close() {
      this.readyState = 2;
    }
    say(value) {
      this.listeners.message({ data: JSON.stringify(value) });
    }
    refuse() {
      this.readyState = 2;
      this.listeners.error();
    }
  };
  globalThis.fetch = async () => {
    const answer = answers[Math.min(page.asked, answers.length - 1)];
    page.asked += 1;
    if (answer === null) throw new TypeError("offline");
    return { ok: answer.status === undefined, status: answer.status ?? 200, json: async () => answer };
  };
  visits += 1;
  await import(`../assets/agent.mjs?visit=${visits}`);
  return page;
}

const said = (page) => page.get("progress").textContent;

test("it says how far the agent is, and goes on when the certificate is in use", async () => {
  const page = await visit();
  const [source] = page.sources;
  assert.equal(source.url, "/events");
  for (const [told, word] of [
    [{ state: "started", agent: "opened" }, "opened"],
    [{ state: "started", agent: "confirmed" }, "confirmed"],
    [{ state: "requested" }, "requested"],
    [{ state: "intended" }, "requested"],
    [{ state: "issued", serial: "1" }, "issued"],
    [{ state: "delivered", serial: "1" }, "delivered"],
  ]) {
    source.say(told);
    assert.equal(said(page), word);
    assert.equal(page.went, null);
  }
  source.say({ state: "activated", serial: "1" });
  assert.deepEqual([page.went, source.readyState], ["https://www.example/complete?t=1", 2]);
});

test("an agent that does not answer is missed after five seconds, and not for longer than it is silent", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const page = await visit();
  page.get("agent-link").click();
  assert.equal(said(page), "opening");
  context.mock.timers.tick(4999);
  assert.equal(page.get("silent").hidden, true);
  context.mock.timers.tick(1);
  assert.equal(page.get("silent").hidden, false);
  page.sources[0].say({ state: "started", agent: "waiting" });
  assert.equal(page.get("silent").hidden, false, "nobody has opened anything");
  page.sources[0].say({ state: "started", agent: "opened" });
  assert.equal(page.get("silent").hidden, true);
  page.get("agent-link").click();
  page.sources[0].say({ state: "started", agent: "opened" });
  context.mock.timers.tick(10_000);
  assert.equal(page.get("silent").hidden, true, "it answered in time");
});

test("three wrong numbers and an end are said, and lead nowhere", async () => {
  const wrong = await visit();
  wrong.sources[0].say({ state: "started", agent: "exhausted" });
  assert.deepEqual([wrong.get("void").hidden, said(wrong)], [false, ""]);
  wrong.sources[0].say({ state: "started", agent: "waiting" });
  assert.equal(wrong.get("void").hidden, true, "a new link was made elsewhere");
  const ended = await visit();
  ended.sources[0].say({ state: "abandoned", serial: null });
  assert.deepEqual([ended.get("ended").hidden, ended.went, ended.sources[0].readyState], [false, null, 2]);
});

test("without events it asks, through a network that is away, until the end", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const answers = [null, { status: 503 }, { state: "issued" }, { state: "activated" }];
  const page = await visit({ answers });
  page.sources[0].refuse();
  for (let round = 0; round < 8; round += 1) {
    await new Promise((resume) => setImmediate(resume));
    context.mock.timers.tick(1500);
  }
  assert.deepEqual([page.asked, page.went], [4, "https://www.example/complete?t=1"]);
});

test("a token that is too old ends the asking with a word", async () => {
  const page = await visit({ events: false, answers: [{ status: 404 }] });
  await new Promise((resume) => setImmediate(resume));
  assert.deepEqual([page.asked, said(page), page.get("progress").classList.classes.size], [1, "lost", 0]);
});

test("an enrolment's page joins once the code was typed into the agent", async () => {
  const page = await visit({ renewal: false, answers: [{ state: "begun" }] });
  await new Promise((resume) => setImmediate(resume));
  assert.equal(page.get("join").submitted, true);
});

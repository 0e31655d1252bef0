// What the agent was asked, said and did, up to the moment that is shown.

import { element, refill, said } from "./dom.js";
import { longText } from "./long_text.js";
import { progressWords } from "./row.js";
import { clock, duration } from "./times.js";
import { asText, inLine, number } from "./words.js";

const MAKERS = {
  ExecutionRequested: (event) => bubble(event, "asked", event.data.input ? longText(event.data.input) : element("p", { class: "muted", text: "without any input" })),
  MessageAppended: (event) => bubble(event, event.data.role, longText(event.data.text)),
  ProgressReported: (event) => line(event, "progress", progressWords(event.data)),
  AttemptFailed: (event) => bubble(event, "error", longText([event.data.report.type, event.data.report.message].filter(Boolean).join(": "))),
  ExecutionCompleted: (event) => bubble(event, "result", longText(asText(event.data.output) || "no output")),
  ExecutionFailed: (event) => bubble(event, "failed", longText(`${event.data.failure.code} ${event.data.failure.message}`)),
  ExecutionCancelled: (event) => bubble(event, "cancelled", longText(event.data.reason || "on request")),
};

export class Conversation {
  #items = []; // { version, node }
  #calls = new Map(); // call id → { event, slot }
  #seen = 0;

  constructor(choose) {
    this.choose = choose;
    this.list = element("ol", { class: "conversation" });
    this.hint = element("p", { class: "muted small" });
    this.element = element("section", { class: "card", "aria-labelledby": "conversation-title" },
      element("h2", { id: "conversation-title", text: "Conversation" }), this.hint, this.list);
    this.list.addEventListener("click", (event) => {
      const asked = event.target.closest("[data-go]");
      if (asked) this.choose(Number(asked.dataset.go));
    });
  }

  clear() {
    this.#items = [];
    this.#calls.clear();
    this.#seen = 0;
    refill(this.list);
  }

  /** Show what these events of a window say, as far as event `at`. */
  show(events, at) {
    if (events.length && events[0].version > 1 && this.#seen === 0) this.hint.textContent = `From event ${number(events[0].version)} on.`;
    else if (events.length && events[0].version === 1) this.hint.textContent = "";
    for (const event of events.slice(this.#seen)) this.#add(event);
    this.#seen = events.length;
    let count = 0;
    for (const { version, node } of this.#items) {
      node.hidden = version > at;
      count += node.hidden ? 0 : 1;
    }
    this.list.hidden = !count;
  }

  #add(event) {
    const { type, version, data } = event;
    if (type === "ToolCallStarted") {
      const slot = element("div", { class: "answers" });
      this.#calls.set(data.call_id, { event, slot });
      this.#put(version, call(event, slot));
    } else if (type === "ToolCallFinished") {
      const asked = this.#calls.get(data.call_id);
      const node = answer(event, asked?.event);
      if (asked) {
        asked.slot.append(node);
        this.#items.push({ version, node });
      } else this.#put(version, element("li", { class: "turn turn-tool" }, node));
    } else if (MAKERS[type]) this.#put(version, MAKERS[type](event));
  }

  #put(version, node) {
    this.#items.push({ version, node });
    this.list.append(node);
  }
}

function bubble(event, role, body) {
  return element("li", { class: `turn turn-${/^[a-z]+$/.test(role) ? role : "other"}` }, head(event, said(role, { class: "role" })), body, cut(event));
}

function line(event, kind, words) {
  return element("li", { class: `turn turn-line turn-${kind}` }, head(event, element("span", { class: "role", text: kind }), said(words)));
}

function call(event, slot) {
  const text = inLine(event.data.arguments) === "{}" ? "" : dataText(event.data.arguments);
  return element("li", { class: "turn turn-tool" },
    head(event, element("span", { class: "role", text: "tool" }), said(event.data.tool, { class: "tool-name" })),
    text ? longText(text, { class: "mono" }) : null, cut(event), slot);
}

function answer(event, asked) {
  const { error, output } = event.data;
  const took = asked ? ` after ${duration(Date.parse(event.time) - Date.parse(asked.time))}` : "";
  const words = error ?? dataText(output);
  return element("div", { class: `answer ${error ? "answer-failed" : ""}` },
    head(event, element("span", { class: "role", text: error ? `failed${took}` : `answered${took}` })),
    words ? longText(words, { class: "mono" }) : null, cut(event));
}

/** Data in one line if it fits, or spread out. */
function dataText(data) {
  const text = asText(data);
  return typeof data === "object" && text.length < 120 ? inLine(data) : text;
}

function head(event, ...parts) {
  return element("p", { class: "turn-head" }, parts,
    element("button", { type: "button", class: "quiet version", data: { go: event.version }, title: `the status after event ${event.version}, ${clock(event.time)}`, "aria-label": `Show event ${event.version}`, text: `#${event.version}` }));
}

function cut({ data }) {
  return data.truncated?.length
    ? element("p", { class: "muted small", text: data.truncated.map((each) => `${each.field} was cut: it had ${number(each.original_bytes)} bytes`).join("; ") })
    : null;
}


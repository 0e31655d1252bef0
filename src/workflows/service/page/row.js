// One execution in the list: who, what, and why it is not moving or how it ended.

import { go, link } from "./address.js";
import { element, put, refill, said, visible } from "./dom.js";
import { ago, duration } from "./times.js";
import { badge, inLine, isEnd, shape, spoken } from "./words.js";

const COLUMNS = ["Phase", "Execution", "Reason", "Tool in flight", "Session", "Age"];
const MOST_OF_A_REASON = 400;

/** The head of the table. */
export function headings() {
  return element("div", { role: "rowgroup", class: "headings" },
    element("div", { role: "row", class: "row" }, COLUMNS.map((name) => element("span", { role: "columnheader", text: name }))));
}

export class Row {
  #drawn = "";

  constructor(status) {
    this.status = status;
    this.isTold = false; // by the stream, beside the list
    this.place = Number(status.cursor);
    this.phase = cell("phase");
    this.name = said(status.execution_id, { class: "id" });
    this.agent = said(status.agent, { class: "agent", title: visible(status.agent) });
    this.reason = cell("reason");
    this.tool = cell("tool");
    this.session = cell("session");
    this.age = cell("age", status.requested_at ? ago(status.requested_at) : "");
    this.anchor = element("a", { href: link({ execution: status.execution_id }) }, this.name);
    this.element = element("div", { role: "row", class: "row", data: { execution: status.execution_id }, on: { click: (event) => this.#open(event) } },
      this.phase, cell("who", this.anchor, this.agent), this.reason, this.tool, this.session, this.age);
  }

  /** Bring what is shown up to the status. */
  draw() {
    const { status } = this;
    const { phase, code, condition, in_flight: tool } = status;
    const reason = reasonOf(status);
    const drawn = JSON.stringify([phase, code, condition, tool, reason, status.session_id, status.progress]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.element.dataset.phase = phase;
    refill(this.phase, badge(phase), code ? element("a", { class: "code", href: link({ code }), title: `${status.category}: show all with this code`, text: code }) : null);
    refill(this.reason, reason.kind ? element("span", { class: "condition" }, shape("attention"), spoken(reason.kind)) : null,
      said(reason.text.slice(0, MOST_OF_A_REASON), { class: "clamped", title: visible(reason.text.slice(0, 2000)) }));
    refill(this.tool, tool && !isEnd(phase) ? [said(tool.tool, { class: "tool-name" }), ago(tool.since, "for")] : null,
      tool && phase === "FAILED" ? [said(tool.tool, { class: "tool-name" }), element("span", { class: "muted", text: "unanswered" })] : null);
    refill(this.session, status.session_id ? element("a", { href: link({ session: status.session_id }), title: `show this session: ${visible(status.session_id)}` }, said(status.session_id)) : null);
    put(this.agent, status.agent);
    if (isEnd(phase) && status.started_at && status.finished_at) {
      this.age.title = `took ${duration(Date.parse(status.finished_at) - Date.parse(status.started_at))}`;
    }
  }

  #open(event) {
    if (event.target.closest("a, button") || String(getSelection())) return;
    go({ execution: this.status.execution_id });
  }
}

/** The one thing to know about a status. */
function reasonOf(status) {
  const { phase, condition, progress } = status;
  if (phase === "FAILED") return { text: status.message || "no reason was given" };
  if (phase === "CANCELLED") return { text: status.cancellation_reason || "on request" };
  if (phase === "COMPLETED") return { text: status.output === null ? "" : inLine(status.output) };
  if (condition) return { kind: condition.kind, text: condition.reason };
  if (status.cancellation_requested) return { text: `asked to stop${status.cancellation_reason ? `: ${status.cancellation_reason}` : ""}` };
  if (progress) return { text: progressWords(progress) };
  const last = status.last_messages.at(-1);
  return { text: last ? inLine(last.text) : "" };
}

/** How far an agent says it is. */
export function progressWords({ done, total, note }) {
  const amount = done === null ? "" : total === null ? `${done}` : `${done} of ${total}`;
  return [amount, note].filter(Boolean).join(" · ");
}

function cell(name, ...children) {
  return element("div", { role: "cell", class: `cell cell-${name}` }, children);
}

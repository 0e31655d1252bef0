// Failures by cause: an incident is one row, however many executions it hit.

import { link } from "./address.js";
import { element, refill, said, visible } from "./dom.js";
import { inTurn, settled } from "./frames.js";
import { retryGroup } from "./group_retry.js";
import { Stream } from "./stream.js";
import { ago } from "./times.js";
import { number, plural, spoken } from "./words.js";

const MOST = 200;
const PAUSE = 700;

export class FailuresView {
  title = "Failures";
  #shown = "";

  constructor(context) {
    this.context = context;
    this.body = element("div", { role: "rowgroup", class: "rows" });
    this.table = element("div", { role: "table", class: "table groups", "aria-label": "Failures by cause", hidden: true }, headings(), this.body);
    this.foot = element("div", { class: "foot" });
    this.element = element("div", {}, element("h1", { text: "Failures by cause" }), this.table, this.foot);
    this.read = inTurn(() => this.#read(), PAUSE);
    this.readLater = settled(() => this.read(), PAUSE); // the projector may have been a moment behind the stream
  }

  show() {
    this.close();
    this.stream = new Stream(this.context.api, "/api/stream", { phase: "FAILED" }, {
      open: () => this.read(), status: () => { this.read(); this.readLater(); }, anew: () => this.read(),
    }, (state) => this.context.connection.tell(state));
    this.context.connection.attend(this.stream);
    this.timer = setInterval(() => { if (!document.hidden) this.read(); }, 5000); // for a projector that is behind
  }

  close() {
    this.stream?.close();
    clearInterval(this.timer);
  }

  async #read() {
    try {
      this.#draw(await this.context.api.get("/api/failures", { limit: MOST }));
    } catch (error) {
      if (!this.#shown) refill(this.foot, element("p", { class: "problem", role: "alert", text: error.message }));
    }
  }

  #draw(groups) {
    const shown = JSON.stringify(groups);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.table.hidden = !groups.length;
    refill(this.body, groups.map((group) => this.#row(group)));
    const total = groups.reduce((sum, group) => sum + group.executions, 0);
    refill(this.foot, groups.length
      ? element("p", { text: `${plural(total, "failed execution")} of ${plural(groups.length, "cause")}${groups.length === MOST ? "; older causes are not shown" : ""}` })
      : element("div", { class: "empty" }, element("p", { class: "empty-title", text: "Nothing has failed" }),
        element("p", { text: "When executions fail, those of one cause stand here together." })));
  }

  #row(group) {
    const { code, fingerprint: cause, executions } = group;
    const name = `${code}, ${visible(group.message.slice(0, 80))}`;
    return element("div", { role: "row", class: "row", data: { group: `${code}-${cause}` } },
      cell("code", element("span", { class: "code", text: code }), element("span", { class: "muted small", text: spoken(group.category) })),
      cell("message", said(group.message.slice(0, 600), { class: "clamped" })),
      cell("count", element("span", { class: "big", text: number(executions) })),
      cell("first", ago(group.first_at, " ago")),
      cell("last", ago(group.last_at, " ago"), element("a", { class: "small", href: link({ execution: group.last_execution_id }), title: "the last one" }, said(group.last_execution_id))),
      cell("actions",
        element("a", { class: "button", href: link({ code, cause }), "aria-label": `Executions: ${name}`, text: "Executions" }),
        this.context.api.mayAct
          ? element("button", { type: "button", text: "Retry…", "aria-label": `Retry: ${name}`, on: { click: () => retryGroup(this.context, group) } })
          : null));
  }
}

function headings() {
  const names = ["Code", "What happened", "Count", "First", "Last", "Actions"];
  return element("div", { role: "rowgroup", class: "headings" },
    element("div", { role: "row", class: "row" }, names.map((name) => element("span", { role: "columnheader", text: name }))));
}

function cell(name, ...children) {
  return element("div", { role: "cell", class: `cell cell-${name}` }, children);
}

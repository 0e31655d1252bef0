// What an execution has come to, on top: the verdict and what to do, or what it is doing, or what it waits for.

import { link } from "./address.js";
import { element, folded, refill, said, visible } from "./dom.js";
import { longText } from "./long_text.js";
import { progressWords } from "./row.js";
import { ago } from "./times.js";
import { asText, badge, isEnd, plural, shape, spoken } from "./words.js";

export class Verdict {
  #shown = "";

  constructor() {
    this.element = element("section", { class: "card verdict", "aria-label": "Status" });
  }

  /** Show a status; `isPast` when it is not the one of now. */
  show(status, isPast) {
    const { version: _, position: __, last_event: ___, last_event_at: ____, events_processed: _____, ...rest } = status;
    const shown = JSON.stringify([rest, isPast]);
    if (shown === this.#shown) return; // what is open stays open
    this.#shown = shown;
    this.element.dataset.phase = status.phase;
    refill(this.element, heading(status), condition(status, isPast), WORDS[status.phase]?.(status, isPast), links(status));
  }
}

const WORDS = {
  PENDING: (status) => [asked(status)],
  IN_PROGRESS: (status, isPast) => [atWork(status, isPast), asked(status)],
  COMPLETED: (status) => [
    element("h3", { text: "Output" }), longText(asText(status.output) || "nothing", { class: "mono output" }),
    status.recovered ? element("p", { class: "muted" }, "Recovered: ", said(status.recovered)) : null,
  ],
  FAILED: failed,
  CANCELLED: (status) => [element("p", { class: "message" }, said(status.cancellation_reason || "It was stopped on request."))],
};

function heading(status) {
  return element("div", { class: "verdict-head" }, badge(status.phase),
    status.code ? element("a", { class: "code", href: link({ code: status.code }), title: "all with this code", text: status.code }) : null,
    status.category ? element("span", { class: "category", text: spoken(status.category) }) : null);
}

function failed(status) {
  return [
    element("p", { class: "message" }, said(status.message)),
    element("div", { class: "remedy" }, element("h3", { text: "What to do" }), element("p", {}, said(status.remedy)),
      element("p", { class: status.retryable ? "safe" : "unsafe" }, shape(status.retryable ? "COMPLETED" : "attention"),
        status.retryable ? "Running it again is safe." : "Run it again only after a look at what was done already.")),
    unanswered(status),
    status.evidence.length ? element("div", {}, element("h3", { text: "Evidence" }), element("ul", { class: "evidence" }, status.evidence.map((each) => element("li", {}, longText(each))))) : null,
    status.cause ? folded([element("span", { class: "summary-name", text: "Cause" }), said(causeWords(status.cause).slice(0, 160), { class: "mono" })], () => [
      longText(causeWords(status.cause), { class: "mono" }),
      status.stack ? element("pre", { class: "code-block", tabindex: "0", "aria-label": "Stack", text: visible(status.stack) }) : element("p", { class: "muted", text: "no stack" })]) : null,
  ];
}

function causeWords({ type, message }) {
  return message ? `${type}: ${message}` : type;
}

function condition({ condition: found, phase }, isPast) {
  if (!found || isEnd(phase)) return null;
  return element("div", { class: "banner banner-condition", role: isPast ? null : "status" },
    element("p", {}, element("strong", {}, shape("attention"), `Not moving: ${spoken(found.kind)}`), " ", isPast ? null : element("span", { class: "muted" }, "for ", ago(found.since, "for"))),
    element("p", {}, said(found.reason)),
    found.stack ? folded("Where it stands", () => element("pre", { class: "code-block", tabindex: "0", text: visible(found.stack) })) : null);
}

function atWork({ in_flight: tool, progress, last_messages: messages, cancellation_requested: isStopping, cancellation_reason: why }, isPast) {
  const last = messages.at(-1);
  return [
    isStopping ? element("p", { class: "warning" }, "It was asked to stop", why ? [": ", said(why)] : ".") : null,
    tool ? element("p", { class: "doing" }, "Using ", said(tool.tool, { class: "tool-name" }), isPast ? null : element("span", { class: "muted" }, " for ", ago(tool.since, "for"))) : null,
    progress ? element("div", { class: "progress" }, progress.total ? element("progress", { max: progress.total, value: progress.done ?? 0, "aria-label": "Progress" }) : null, said(progressWords(progress))) : null,
    last ? element("blockquote", {}, element("span", { class: "role" }, said(last.role)), longText(last.text)) : null,
  ];
}

function unanswered({ in_flight: tool }) {
  return tool ? element("p", { class: "doing" }, shape("attention"), "The tool ", said(tool.tool, { class: "tool-name" }), " had not answered.") : null;
}

function asked({ input }) {
  return input ? element("div", {}, element("h3", { text: "Asked" }), longText(input)) : null;
}

function links(status) {
  const other = (words, id) => (id ? element("p", {}, words, element("a", { href: link({ execution: id }) }, said(id))) : null);
  const late = status.late_events ? element("p", { class: "muted", text: `${plural(status.late_events, "event")} came after the end and changed nothing.` }) : null;
  const unreadable = status.unreadable_events ? element("p", { class: "warning", text: `${plural(status.unreadable_events, "event")} cannot be read by this version.` }) : null;
  return element("div", { class: "links" }, other("Repeats ", status.retry_of), other("Repeated as ", status.retried_as), late, unreadable);
}

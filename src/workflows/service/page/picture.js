// The history as a picture: lanes of spans and marks over time, with the moment that is shown. Its words are beside it.

import { drawn, element, folded, refill, visible } from "./dom.js";
import { spansOf } from "./spans.js";
import { clock, duration } from "./times.js";
import { phaseWord, plural, spoken } from "./words.js";

const GUTTER = 84; // for the names of the lanes
const MARGIN = 14;
const BAR = 16;
const GAP = 5;
const MOST_LANES = 6; // of tool calls at one time
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 432e5, 864e5];

export class Picture {
  #events = [];
  #at = null;
  #isMoving = false;

  /** `choose(version)` is called for the event next to where somebody points. */
  constructor(choose) {
    this.svg = drawn("svg", { class: "picture", role: "img", "aria-label": "Timeline", on: { click: (event) => this.#choose(event, choose) } });
    this.words = element("div");
    this.element = element("section", { class: "card", "aria-labelledby": "timeline-title" }, element("h2", { id: "timeline-title", text: "Timeline" }),
      element("div", { class: "picture-box" }, this.svg), folded("The timeline in words", () => this.words, { class: "picture-words" }));
    new ResizeObserver(() => this.draw()).observe(this.svg.parentNode);
  }

  /** Show these events with the moment after event `at`; `isMoving` while time goes on. */
  show(events, at, isMoving) {
    this.#events = events;
    this.#at = at;
    this.#isMoving = isMoving;
    this.draw();
  }

  draw() {
    const width = this.svg.parentNode.clientWidth;
    if (!this.#events.length || !width) return;
    const spans = spansOf(this.#events);
    const first = Date.parse(this.#events[0].time);
    const last = Date.parse(this.#events.at(-1).time);
    const end = Math.max(this.#isMoving ? Date.now() : last, last, first + 1);
    this.scale = { first, end, left: GUTTER, right: width - MARGIN };
    const parts = [];
    let top = 22;
    const lane = (name, rows, draw) => {
      parts.push(text(GUTTER - 10, top + BAR / 2 + 4, name, "lane-name"));
      draw(top);
      top += rows * (BAR + GAP) + 5;
    };
    lane("phase", 1, (y) => parts.push(...spans.phases.map((each) => this.#bar(each, y, `phase-${each.phase}`, phaseWord(each.phase)))));
    if (spans.attempts.length) lane("attempts", 1, (y) => parts.push(...spans.attempts.map((each) => this.#bar(each, y, `attempt ${each.outcome}`, each.name))));
    if (spans.conditions.length) lane("waiting", 1, (y) => parts.push(...spans.conditions.map((each) => this.#bar(each, y, "condition-bar", spoken(each.kind), each.reason))));
    if (spans.calls.length) {
      const lanes = stacked(spans.calls, end);
      lane("tools", lanes.length, (y) => lanes.forEach((calls, row) =>
        parts.push(...calls.map((each) => this.#bar(each, y + row * (BAR + GAP), `call ${each.outcome}`, each.name)))));
    }
    for (const [name, kinds] of [["messages", ["message"]], ["signs", ["heartbeat", "progress", "request"]]]) {
      const found = spans.marks.filter((each) => kinds.includes(each.kind));
      if (found.length) lane(name, 1, (y) => parts.push(...found.map((each) => this.#mark(each, y + BAR / 2))));
    }
    const height = top + 2;
    const isNow = this.#isMoving && this.#at === this.#events.at(-1).version;
    const cursor = isNow ? null : this.#events.find((each) => each.version === this.#at);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("height", height);
    this.svg.setAttribute("aria-label", summary(spans, first, end));
    refill(this.svg, this.#axis(height), parts,
      spans.marks.filter((each) => each.kind === "end").map((each) => drawn("line", { class: `end phase-${each.phase}`, x1: this.#x(each.at), x2: this.#x(each.at), y1: 18, y2: height })),
      cursor ? this.#cursor(Date.parse(cursor.time), height, cursor.version < this.#events.at(-1).version) : null);
    refill(this.words, inWords(spans, end));
  }

  #x(at) {
    const { first, end, left, right } = this.scale;
    return left + ((at - first) / (end - first)) * (right - left);
  }

  #bar({ from, to, version }, y, kind, name, more = "") {
    const { first, end } = this.scale;
    const start = this.#x(from ?? first);
    const width = Math.max(3, this.#x(to ?? end) - start);
    const said = `${name}, ${from === null ? "until" : clock(from)}${to === null ? ", goes on" : from === null ? ` ${clock(to)}` : `, ${duration(to - from)}`}${more ? `: ${more}` : ""}`;
    const room = Math.floor((width - 8) / 6.6);
    const words = visible(name);
    return drawn("g", { class: `bar ${kind}${to === null ? " open" : ""}`, "data-version": version },
      drawn("title", { text: visible(said.slice(0, 400)) }),
      drawn("rect", { x: start, y, width, height: BAR, rx: 3 }),
      room >= 4 ? text(start + 5, y + BAR - 4.5, words.length > room ? `${words.slice(0, room - 1)}…` : words, "bar-name") : null);
  }

  #mark({ at, kind, name, version }, y) {
    const x = this.#x(at);
    const shapes = { message: () => drawn("circle", { cx: x, cy: y, r: 4 }), heartbeat: () => drawn("line", { x1: x, x2: x, y1: y - 6, y2: y + 6 }),
      progress: () => drawn("path", { d: `M${x} ${y - 4}l4 4l-4 4l-4 -4z` }), request: () => drawn("path", { d: `M${x - 4} ${y - 4}h8v8h-8z` }) };
    return drawn("g", { class: `mark mark-${kind}`, "data-version": version }, drawn("title", { text: visible(`${name}, ${clock(at)}`) }), shapes[kind]());
  }

  #axis(height) {
    const { first, end, left, right } = this.scale;
    const most = Math.max(2, Math.floor((right - left) / 90));
    const step = STEPS.find((each) => (end - first) / each <= most) ?? STEPS.at(-1) * Math.ceil((end - first) / STEPS.at(-1) / most);
    const ticks = [];
    for (let at = 0; at <= end - first; at += step) {
      const x = this.#x(first + at);
      ticks.push(drawn("line", { class: "grid", x1: x, x2: x, y1: 18, y2: height }));
      if (x < right - 24) ticks.push(text(x, 11, at ? `+${duration(at).replace(".0 ", " ")}` : "0", at ? "tick" : "tick first"));
    }
    return ticks;
  }

  #cursor(at, height, isPast) {
    const x = this.#x(at);
    const rest = isPast ? drawn("rect", { class: "veil", x, y: 16, width: Math.max(0, this.scale.right + MARGIN - x), height: height - 16 }) : null;
    return drawn("g", { class: "cursor" }, rest, drawn("line", { x1: x, x2: x, y1: 14, y2: height }), drawn("path", { d: `M${x - 5} 12h10l-5 7z` }));
  }

  #choose(event, choose) {
    const marked = event.target.closest("[data-version]");
    if (marked && !marked.classList.contains("bar")) return choose(Number(marked.dataset.version));
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const { first, end, left, right } = this.scale;
    const at = first + ((x - left) / (right - left)) * (end - first);
    const near = this.#events.findLast((each) => Date.parse(each.time) <= at) ?? this.#events[0];
    return choose(near.version);
  }
}

/** Calls in as few lanes as keep those apart that overlap. */
function stacked(calls, end) {
  const lanes = [];
  for (const call of calls) {
    const free = lanes.find((lane) => (lane.at(-1).to ?? end) <= (call.from ?? 0));
    if (free) free.push(call);
    else if (lanes.length < MOST_LANES) lanes.push([call]);
    else lanes.at(-1).push(call);
  }
  return lanes;
}

function summary({ phases, attempts, calls, conditions, marks, isOver }, first, end) {
  const messages = marks.filter((each) => each.kind === "message").length;
  const last = isOver ? marks.find((each) => each.kind === "end").phase : phases.at(-1).phase;
  return `Timeline of ${duration(end - first)}: ${plural(attempts.length, "attempt")}, ${plural(calls.length, "tool call")}, `
    + `${plural(messages, "message")}, ${plural(conditions.length, "condition")}; ${phaseWord(last)}`;
}

function inWords({ attempts, calls, conditions, marks }, end) {
  const spans = [
    ...attempts.map((each) => ({ ...each, name: `${each.name} on ${each.runner}` })),
    ...calls.map((each) => ({ ...each, name: `tool ${each.name}` })),
    ...conditions.map((each) => ({ ...each, name: `${spoken(each.kind)}: ${each.reason}`, outcome: "" })),
    ...marks.filter((each) => each.kind !== "heartbeat").map((each) => ({ from: each.at, to: each.at, name: each.name, outcome: "", version: each.version })),
  ].sort((one, other) => one.version - other.version);
  const line = ({ name, from, to, outcome }) => element("li", {}, element("span", { class: "mono muted", text: from === null ? "earlier" : clock(from) }), " ",
    element("bdi", { dir: "auto", text: visible(String(name).slice(0, 300)) }),
    element("span", { class: "muted", text: [to === null ? ` goes on for ${duration(end - from)}` : from !== null && to > from ? ` ${duration(to - from)}` : "", outcome].filter(Boolean).join(", ") }));
  return element("ol", { class: "plain" }, spans.map(line));
}

function text(x, y, words, kind) {
  return drawn("text", { x, y, class: kind, text: words });
}

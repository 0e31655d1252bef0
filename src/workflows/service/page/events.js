// The history itself: every event of a window with its envelope, its data folded.

import { element, put, refill, said, visible } from "./dom.js";
import { SIZE, windowOf } from "./history.js";
import { clock } from "./times.js";
import { number } from "./words.js";

export class Events {
  #rows = new Map(); // version → row
  #at = null;
  #number = 0;
  #last = 0;

  /** `choose(version)` shows the status after an event, `turn(number)` another window. */
  constructor(choose, turn) {
    this.list = element("ol", { class: "events" });
    this.box = element("div", { class: "events-box", tabindex: "0", role: "group", "aria-label": "Events of the history" }, this.list);
    this.newer = element("button", { type: "button", text: "Later ›", on: { click: () => turn(this.#number + 1) } });
    this.older = element("button", { type: "button", text: "‹ Earlier", on: { click: () => turn(this.#number - 1) } });
    this.range = element("span", { class: "muted" });
    this.pager = element("div", { class: "pager" }, this.older, this.range, this.newer);
    this.element = element("section", { class: "card", "aria-labelledby": "events-title" },
      element("h2", { id: "events-title", text: "Events" }), this.pager, this.box);
    this.list.addEventListener("click", (event) => {
      const asked = event.target.closest("[data-go]");
      if (asked) choose(Number(asked.dataset.go));
    });
  }

  clear() {
    this.#rows.clear();
    this.#at = null;
    refill(this.list);
  }

  /** Show the events of window `number`, the status being that after event `at` of `last`. */
  show(events, at, number_, last) {
    this.#number = number_;
    this.#last = last;
    const fresh = events.filter((event) => !this.#rows.has(event.version)).map((event) => this.#row(event));
    this.list.append(...fresh);
    const first = number_ * SIZE + 1;
    put(this.range, events.length ? `${number(first)} – ${number(first + events.length - 1)} of ${number(last)}` : "");
    this.older.hidden = number_ === 0;
    this.newer.hidden = windowOf(last) <= number_;
    this.pager.hidden = this.older.hidden && this.newer.hidden;
    if (at === this.#at && !fresh.length) return;
    this.#at = at;
    for (const [version, row] of this.#rows) {
      row.classList.toggle("later", version > at);
      if (version === at) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    const current = this.#rows.get(at);
    if (current) {
      const { offsetTop: top, offsetHeight: height } = current;
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop || top + height > scrollTop + clientHeight) this.box.scrollTop = top - clientHeight / 2;
    }
  }

  #row(event) {
    const body = element("div", { class: "folded-body" });
    const details = element("details", {}, element("summary", {},
      element("span", { class: "event-type", text: event.type }), element("time", { class: "mono", datetime: event.time, title: event.time, text: clock(event.time) }),
      said(event.writer, { class: "writer" })), body);
    details.addEventListener("toggle", () => {
      if (!details.open || body.hasChildNodes()) return;
      refill(body, element("p", { class: "muted small", text: `position ${event.position}${event.attempt ? `, attempt ${event.attempt}` : ""}, ${event.time}` }),
        element("pre", { class: "code-block", tabindex: "0", "aria-label": `Data of event ${event.version}`, text: visible(JSON.stringify(event.data, null, 2)) }));
    });
    const row = element("li", {},
      element("button", { type: "button", class: "quiet version", data: { go: event.version }, title: `the status after event ${event.version}`, "aria-label": `Show event ${event.version}`, text: `#${event.version}` }), details);
    this.#rows.set(event.version, row);
    return row;
  }
}

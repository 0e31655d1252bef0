// The time slider: any event of a history, by pointer or by keys. At its right end the page is live again.

import { element, put } from "./dom.js";
import { clock } from "./times.js";

export class Slider {
  #last = 1;
  #at = null;

  /** `choose(version)` is called as it moves; with null for the newest, whatever comes. */
  constructor(choose) {
    this.choose = choose;
    this.range = element("input", { type: "range", id: "slider", class: "slider", min: "1", max: "1", step: "1", value: "1", "aria-label": "Event", on: {
      input: () => this.#moved(Number(this.range.value)), keydown: (event) => this.#key(event),
    } });
    this.back = this.#button("‹", "One event back", -1);
    this.forth = this.#button("›", "One event on", +1);
    this.live = element("button", { type: "button", class: "go-live", on: { click: () => this.choose(null) } });
    this.element = element("div", { class: "slider-bar" }, this.back, this.range, this.forth, this.live);
  }

  /** `at` is an event's version or null for the newest of `last`; `event` is that event when it is known. */
  show(at, last, event, isOver) {
    this.#at = at;
    this.#last = last;
    const version = at ?? last;
    this.range.max = String(last);
    this.range.value = String(version);
    const type = event ? event.type : "";
    this.range.setAttribute("aria-valuetext", `event ${version} of ${last}${type ? `, ${type}, ${clock(event.time)}` : ""}`);
    this.back.disabled = version <= 1;
    this.forth.disabled = at === null;
    this.live.disabled = at === null;
    this.live.dataset.state = at === null ? (isOver ? "over" : "live") : "past";
    put(this.live, at === null ? (isOver ? "Final state" : "Live") : isOver ? "Back to the end" : "Back to live");
  }

  #moved(version) {
    this.choose(version >= this.#last ? null : Math.max(1, version));
  }

  // A browser's own PageUp is a tenth of the range, which in a long history skips thousands.
  #key(event) {
    const far = event.key === "PageUp" ? 10 : event.key === "PageDown" ? -10 : 0;
    if (!far) return;
    event.preventDefault();
    this.#moved((this.#at ?? this.#last) + far);
  }

  #button(sign, name, by) {
    return element("button", { type: "button", class: "step", "aria-label": name, title: name, text: sign, on: { click: () => this.#moved((this.#at ?? this.#last) + by) } });
  }
}

// The plain facts of a status, in places that stay while they change.

import { link } from "./address.js";
import { element, named, put, refill, said } from "./dom.js";
import { clock, duration } from "./times.js";
import { number, plural } from "./words.js";

const FACTS = [
  ["Agent", ({ agent }) => agent, "agent"],
  ["Session", ({ session_id: session }) => session, "session"],
  ["Queue", ({ task_queue: queue }) => queue],
  ["Attempt", ({ attempt }) => (attempt ? number(attempt) : "none yet")],
  ["Runner", ({ runner }) => runner],
  ["Thread", ({ thread_id: thread }) => thread],
  ["Requested", ({ requested_at: at }) => at && clock(at)],
  ["Started", ({ started_at: at }) => at && clock(at)],
  ["Ended", ({ finished_at: at }) => at && clock(at)],
  ["Took", ({ started_at: from, finished_at: to }) => from && to && duration(Date.parse(to) - Date.parse(from))],
  ["Steps", ({ events_processed: steps, messages, tool_calls: calls }) => `${number(steps)} (${plural(messages, "message")}, ${plural(calls, "tool call")})`],
];

export class Facts {
  constructor() {
    this.places = FACTS.map(([name, value, filter]) => {
      const place = element("dd");
      return { value, filter, place, row: element("div", {}, element("dt", { text: name }), place) };
    });
    this.element = element("dl", { class: "facts card" }, this.places.map(({ row }) => row));
  }

  show(status) {
    for (const { value, filter, place, row } of this.places) {
      const words = value(status) || "";
      row.hidden = !words;
      if (place.dataset.words === words) continue;
      place.dataset.words = words;
      if (filter) refill(place, element("a", { href: link({ [filter]: words }), title: `all of this ${filter}` }, named(words)));
      else if (place.firstChild) put(place.firstChild, words);
      else refill(place, said(words));
    }
  }
}

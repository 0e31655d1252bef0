// Times and durations in words, in the reader's own time zone.

import { element, put } from "./dom.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How long, in milliseconds, in as few signs as say it. */
export function duration(length) {
  const time = Math.max(0, length);
  if (time < SECOND) return `${Math.round(time)} ms`;
  if (time < 10 * SECOND) return `${(Math.floor(time / 100) / 10).toFixed(1)} s`;
  if (time < MINUTE) return `${Math.floor(time / SECOND)} s`;
  if (time < HOUR) return two(time, MINUTE, "min", SECOND, "s");
  if (time < DAY) return two(time, HOUR, "h", MINUTE, "min");
  return two(time, DAY, "d", HOUR, "h");
}

/** How long ago, coarser than a duration: it must not flicker. */
export function age(length) {
  const time = Math.max(0, length);
  if (time < MINUTE) return `${Math.floor(time / SECOND)} s`;
  if (time < HOUR) return `${Math.floor(time / MINUTE)} min`;
  if (time < DAY) return `${Math.floor(time / HOUR)} h`;
  return `${Math.floor(time / DAY)} d`;
}

/** The time of day, to the millisecond, with the date unless it is today's. */
export function clock(moment, { precise = true } = {}) {
  const at = new Date(moment);
  const time = at.toLocaleTimeString("en-GB", { hour12: false });
  const whole = precise ? `${time}.${String(at.getMilliseconds()).padStart(3, "0")}` : time;
  if (at.toDateString() === new Date().toDateString()) return whole;
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()].map((part) => String(part).padStart(2, "0"));
  return `${date.join("-")} ${whole}`;
}

/** A moment as an element; the exact one is its title. */
export function moment(at, options) {
  if (!at) return element("span", { class: "none", text: "–" });
  return element("time", { datetime: at, title: at, text: clock(at, options) });
}

/** How long ago something was, kept right by `tick`. */
export function ago(at, words = "") {
  const node = element("time", { datetime: at, title: at, class: "ticking", data: { words } });
  retell(node, Date.now());
  return node;
}

/** Bring every age below a node up to now. */
export function tick(root) {
  const now = Date.now();
  for (const node of root.getElementsByClassName("ticking")) retell(node, now);
}

function retell(node, now) {
  const length = now - Date.parse(node.getAttribute("datetime"));
  const { words } = node.dataset;
  put(node, words === "for" ? (length < SECOND ? "0 s" : duration(Math.floor(length / SECOND) * SECOND).replace(".0 ", " ")) : `${age(length)}${words}`);
}

function two(time, large, largeName, small, smallName) {
  const rest = Math.floor((time % large) / small);
  return `${Math.floor(time / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

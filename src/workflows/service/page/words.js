// The field's words as the page says them.

import { drawn, element } from "./dom.js";

export const PHASES = ["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"];

const PHASE_WORDS = {
  PENDING: "Pending",
  IN_PROGRESS: "In progress",
  COMPLETED: "Completed",
  FAILED: "Failed",
  CANCELLED: "Cancelled",
};

// One shape each, so that colour is never the only sign.
const SHAPES = {
  PENDING: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.3",
  IN_PROGRESS: "M5 3.2v9.6l8-4.8z",
  COMPLETED: "M2.8 8.6l3.4 3.4l7-7.6",
  FAILED: "M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4",
  CANCELLED: "M8 2.5a5.5 5.5 0 1 0 0 11a5.5 5.5 0 0 0 0-11M4.2 11.8l7.6-7.6",
  attention: "M8 2l6.5 11.5h-13zM8 6.5v3M8 11.4v.2",
};

export function isEnd(phase) {
  return phase === "COMPLETED" || phase === "FAILED" || phase === "CANCELLED";
}

export function phaseWord(phase) {
  return PHASE_WORDS[phase] ?? phase;
}

/** A phase as a shape and a word, in its colour. */
export function badge(phase) {
  return element("span", { class: `badge phase-${phase}` }, shape(phase), phaseWord(phase));
}

/** A sign that says what a word beside it says. */
export function shape(name) {
  return drawn("svg", { class: `shape shape-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    drawn("path", { d: SHAPES[name] ?? SHAPES.PENDING }));
}

export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function number(count) {
  return Number(count).toLocaleString("en-GB");
}

/** `waiting_for_runner` as it is said. */
export function spoken(name) {
  return String(name).replaceAll("_", " ");
}

/** Data as text: a text as it is, the rest as JSON. */
export function asText(data) {
  if (data === null || data === undefined) return "";
  return typeof data === "string" ? data : JSON.stringify(data, null, 2);
}

/** Data in one line. */
export function inLine(data, most = 200) {
  const text = typeof data === "string" ? data : JSON.stringify(data ?? null);
  const line = text.slice(0, most + 1).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most)}…` : line;
}

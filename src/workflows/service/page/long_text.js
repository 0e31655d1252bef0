// Texts that may be long: the beginning is shown, the rest on request.

import { element, put, visible } from "./dom.js";
import { number } from "./words.js";

const CHARACTERS = 700;
const LINES = 14;

/** A text, folded when it is long. */
export function longText(text, properties = {}) {
  const whole = visible(text);
  const beginning = whole.split("\n", LINES + 1).slice(0, LINES).join("\n").slice(0, CHARACTERS);
  const node = element("div", { dir: "auto", ...properties, class: `text ${properties.class ?? ""}`.trim() });
  if (whole.length - beginning.length < 40) {
    node.textContent = whole;
    return node;
  }
  node.textContent = `${beginning}…`;
  let isOpen = false;
  const button = element("button", { type: "button", class: "quiet more", "aria-expanded": "false", text: label(whole), on: { click: () => {
    isOpen = !isOpen;
    node.textContent = isOpen ? whole : `${beginning}…`;
    button.setAttribute("aria-expanded", String(isOpen));
    put(button, isOpen ? "Show less" : label(whole));
  } } });
  return element("div", { class: "long" }, node, button);
}

function label(whole) {
  return `Show all ${number(whole.length)} characters`;
}

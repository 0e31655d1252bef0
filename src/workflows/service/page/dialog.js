// Questions that stand in the way until they are answered, because what follows cannot be undone.

import { element, refill } from "./dom.js";

/** An open dialog, which `close` takes away. Escape closes it. */
export class Dialog {
  constructor(title) {
    this.title = element("h2", { text: title, id: "dialog-title" });
    this.body = element("div", { class: "dialog-body" });
    this.buttons = element("div", { class: "dialog-buttons" });
    this.element = element("dialog", { "aria-labelledby": "dialog-title", on: { close: () => this.element.remove() } }, this.title, this.body, this.buttons);
    document.body.append(this.element);
    this.element.showModal();
  }

  /** Show this; `choices` are pairs of words and what they do, the first one being the way out. */
  ask(body, choices) {
    refill(this.body, body);
    refill(this.buttons, choices.map(([text, work, kind = ""]) =>
      element("button", { type: "button", class: kind, text, on: { click: () => work() } })));
    this.buttons.firstChild?.focus();
  }

  /** What went wrong, in the service's words. */
  fail(error) {
    this.ask(element("p", { class: "problem", role: "alert", text: error.message }), [["Close", () => this.close()]]);
  }

  wait(words) {
    refill(this.body, element("p", { class: "muted", role: "status", text: words }));
    refill(this.buttons);
  }

  close() {
    this.element.close();
  }
}

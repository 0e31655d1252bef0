// Says in the page's head whether what is shown is live, and since when it is not.

import { element, refill } from "./dom.js";
import { clock } from "./times.js";
import { plural } from "./words.js";

const PULSE = 4000;

const WORDS = {
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  unreachable: "the service cannot be reached",
  ended: "complete",
  none: "",
};

export class Connection {
  #state = "none";
  #since = null;
  #behind = 0;
  #trouble = "";
  #stream = null;

  constructor(node, api) {
    this.node = node;
    this.api = api;
    setInterval(() => this.#pulse(), PULSE);
  }

  /** How a view's connection is. A state that lasts keeps the time when it began. */
  tell(state) {
    const isLost = (name) => name === "reconnecting" || name === "unreachable";
    if (!(isLost(state) && isLost(this.#state))) this.#since = isLost(state) ? Date.now() : null;
    if (state === "live") this.#trouble = "";
    this.#state = state;
    this.#show();
  }

  /** Which stream to end when the service turns out to be silent. */
  attend(stream) {
    this.#stream = stream;
  }

  /** How many events of the store the lists do not know yet. */
  behind(events) {
    if (events === this.#behind) return;
    this.#behind = events;
    this.#show();
  }

  // An EventSource does not notice that the other side is gone for good, nor says how far the lists are.
  async #pulse() {
    if (document.hidden || this.#state === "none" || this.#state === "connecting") return;
    if (this.api.needsToken && !this.api.role) return;
    try {
      this.behind((await this.api.get("/readyz", {}, { signal: undefined })).events_behind);
      this.#trouble = "";
      if (this.#state === "unreachable" && !this.#stream) this.tell("live");
    } catch (error) {
      if (error.status === undefined) this.#lost();
      else this.#trouble = error.message;
    }
    this.#show();
  }

  #lost() {
    if (this.#state === "unreachable") return;
    this.tell("unreachable");
    this.#stream?.lost();
  }

  #show() {
    const since = this.#since ? ` since ${clock(this.#since, { precise: false })}` : "";
    const behind = this.#behind > 0 ? `lists are ${plural(this.#behind, "event")} behind` : "";
    const said = `${WORDS[this.#state]}${since}${behind}${this.#trouble}`;
    if (this.node.dataset.said === said) return; // said once, not each time it is found the same
    this.node.dataset.said = said;
    this.node.dataset.state = this.#trouble ? "reconnecting" : this.#state;
    refill(
      this.node,
      this.#state === "none" ? null : element("span", { class: "connection-state" },
        element("span", { class: "lamp", "aria-hidden": "true" }), `${WORDS[this.#state]}${since}`),
      behind ? element("span", { class: "behind", text: behind }) : null,
      this.#trouble ? element("span", { class: "behind", text: this.#trouble }) : null,
    );
  }
}

// Buttons that act on an execution. Whoever may only read does not see them.

import { go } from "./address.js";
import { Dialog } from "./dialog.js";
import { element, refill, said } from "./dom.js";
import { isEnd } from "./words.js";

export class Acting {
  #shown = "";

  constructor(api, done) {
    this.api = api;
    this.done = done;
    this.element = element("div", { class: "acting" });
  }

  /** Offer what makes sense for the status of now. */
  show(status) {
    const shown = JSON.stringify([status.execution_id, status.phase, status.retried_as, status.cancellation_requested, this.api.mayAct]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const offers = !this.api.mayAct ? [] : isEnd(status.phase) ? [this.#button("Retry…", () => this.#retry(status))]
      : [this.#button(status.cancellation_requested ? "Cancelling…" : "Cancel…", () => this.#cancel(status), status.cancellation_requested)];
    refill(this.element, offers);
  }

  #button(text, work, isDisabled = false) {
    return element("button", { type: "button", text, disabled: isDisabled, on: { click: work } });
  }

  #retry(status) {
    const dialog = new Dialog("Run it again");
    const { retried_as: other, retryable, execution_id: id } = status;
    const isSafe = retryable && !other;
    dialog.ask([
      other ? element("p", { class: "warning" }, "It was already repeated as ", said(other), ".") : null,
      retryable ? null : element("p", { class: "warning", text: "The agent had begun. What it did is not undone, and will be done again." }),
      element("p", { text: "A new execution of the same agent, input and session is started, linked to this one." }),
    ], [
      ["Back", () => dialog.close()],
      ["Retry", () => this.#act(dialog, async () => {
        const started = await this.api.post(`/api/executions/${encodeURIComponent(id)}/retry`, { again: Boolean(other) });
        go({ execution: started.execution_id });
      }), isSafe ? "primary" : "danger"],
    ]);
  }

  #cancel(status) {
    const dialog = new Dialog("Cancel this execution");
    const reason = element("input", { id: "cancel-reason", type: "text", maxlength: "500", autocomplete: "off", dir: "auto" });
    dialog.ask([
      element("p", { text: "Its agent is told to stop, and the execution ends when it has." }),
      element("label", { for: "cancel-reason", text: "Reason (optional)" }), reason,
    ], [
      ["Back", () => dialog.close()],
      ["Cancel it", () => this.#act(dialog, () => this.api.post(`/api/executions/${encodeURIComponent(status.execution_id)}/cancel`, { reason: reason.value })), "danger"],
    ]);
  }

  async #act(dialog, work) {
    dialog.wait("Asking the service…");
    try {
      await work();
      dialog.close();
      this.done();
    } catch (error) {
      dialog.fail(error);
    }
  }
}

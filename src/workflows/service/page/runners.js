// Runners: what each process that runs agents last said about itself.

import { element, folded, refill, said } from "./dom.js";
import { inTurn } from "./frames.js";
import { ago } from "./times.js";
import { plural, shape, spoken } from "./words.js";

const EVERY = 2000;
const SHAPES = { ready: "COMPLETED", starting: "PENDING", startup_failed: "FAILED", exited: "FAILED", stopped: "CANCELLED" };

export class RunnersView {
  title = "Runners";
  #shown = "";

  constructor(context) {
    this.context = context;
    this.body = element("div", { class: "cards" });
    this.foot = element("div", { class: "foot" });
    this.element = element("div", {}, element("h1", { text: "Runners" }), this.body, this.foot);
    this.read = inTurn(() => this.#read());
  }

  // No stream tells of runners: they are asked for.
  show() {
    this.context.connection.attend(null);
    this.read();
    this.timer = setInterval(() => { if (!document.hidden) this.read(); }, EVERY);
  }

  close() {
    clearInterval(this.timer);
  }

  async #read() {
    try {
      const runners = await this.context.api.get("/api/runners");
      this.context.connection.tell("live");
      this.#draw(runners);
    } catch (error) {
      if (error.status === undefined) this.context.connection.tell("unreachable");
      else refill(this.foot, element("p", { class: "problem", role: "alert", text: error.message }));
    }
  }

  #draw(runners) {
    const shown = JSON.stringify(runners);
    if (shown === this.#shown) return;
    this.#shown = shown;
    const isUp = (runner) => runner.state === "ready" || runner.state === "starting";
    const sorted = [...runners].sort((one, other) => isUp(other) - isUp(one) || other.position - one.position);
    refill(this.body, sorted.map(card));
    refill(this.foot, runners.length
      ? element("p", { text: `${plural(runners.length, "runner")}, ${runners.filter(isUp).length} of them up` })
      : element("div", { class: "empty" }, element("p", { class: "empty-title", text: "No runner has ever started here" }),
        element("p", { text: "A runner is the process that runs agents:" }),
        element("pre", { class: "command", tabindex: "0", text: "execution-status runner --agent package.module:agent" })));
  }
}

function card(runner) {
  const at = runner.stage && runner.state !== "ready" ? ` at ${spoken(runner.stage)}` : "";
  return element("article", { class: `card runner runner-${runner.state}`, data: { runner: runner.runner_id } },
    element("header", {},
      element("span", { class: `badge state-${runner.state}` }, shape(SHAPES[runner.state] ?? "PENDING"), spoken(runner.state)),
      element("h2", {}, said(runner.runner_id, { class: "id" })),
      element("span", { class: "muted" }, "since ", ago(runner.changed_at))),
    runner.error ? element("p", { class: "problem" }, element("strong", { text: `${spoken(runner.state)}${at}: ` }), said(runner.error)) : null,
    element("dl", { class: "facts" },
      fact("Queue", said(runner.task_queue)),
      fact("Agents", runner.agents.length ? element("ul", { class: "plain" }, runner.agents.map((name) => element("li", {}, said(name)))) : "–"),
      fact("Slots", runner.slots ? String(runner.slots) : "–"),
      fact("Process", runner.host || runner.pid ? said(`${runner.host} / ${runner.pid}`) : "–"),
      runner.started_at ? fact("Started", ago(runner.started_at, " ago")) : null,
      runner.crashes ? fact("Crashes in a row", String(runner.crashes)) : null),
    runner.last_words ? folded("Its last words on stderr", () => element("pre", { class: "code-block", tabindex: "0", dir: "auto", text: runner.last_words })) : null);
}

function fact(name, value) {
  return element("div", {}, element("dt", { text: name }), element("dd", {}, value));
}

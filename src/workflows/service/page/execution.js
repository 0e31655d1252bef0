// One execution: as it is, following its stream, or as it was after any event of its history.

import { note } from "./address.js";
import { Acting } from "./acting.js";
import { Conversation } from "./conversation.js";
import { element, named, refill, said } from "./dom.js";
import { Events } from "./events.js";
import { Facts } from "./facts.js";
import { inTurn, settled, soon } from "./frames.js";
import { History, windowOf } from "./history.js";
import { Picture } from "./picture.js";
import { Slider } from "./slider.js";
import { Statuses } from "./statuses.js";
import { Stream } from "./stream.js";
import { clock } from "./times.js";
import { Verdict } from "./verdict.js";
import { isEnd, number } from "./words.js";

const READS_APART = 150;
const STEADY = 90; // milliseconds for which the slider rests before the service is asked

export class ExecutionView {
  title = "Execution";
  #id = null;
  #live = null; // the status of now
  #at = null; // the version that is shown, null for the one of now
  #past = null; // its status, once it is there
  #window = 0;
  #shownWindow = null;

  constructor(context) {
    this.context = context;
    const choose = (version) => this.#choose(version);
    this.name = element("h1", { class: "execution-id" });
    this.agent = element("p", { class: "muted" });
    this.acting = new Acting(context.api, () => this.#readNow());
    this.slider = new Slider(choose);
    this.asOf = element("p", { class: "as-of" });
    this.problem = element("div");
    this.verdict = new Verdict();
    this.facts = new Facts();
    this.picture = new Picture(choose);
    this.conversation = new Conversation(choose);
    this.events = new Events(choose, (wanted) => this.#turn(wanted));
    this.parts = element("div", { class: "execution-parts", hidden: true },
      element("div", { class: "time-bar" }, this.slider.element, this.asOf),
      element("div", { class: "summary-grid" }, this.verdict.element, this.facts.element),
      this.picture.element,
      element("div", { class: "two" }, this.conversation.element, this.events.element));
    this.element = element("div", { class: "execution" },
      element("div", { class: "execution-head" }, element("div", {}, this.name, this.agent), this.acting.element), this.problem, this.parts);
    this.draw = soon(() => this.#draw());
    this.readEvents = inTurn(() => this.#readEvents(), READS_APART);
    this.readPast = settled((version) => this.#readPast(version), STEADY);
  }

  show({ execution, version }) {
    const at = /^[1-9][0-9]{0,9}$/.test(version ?? "") ? Number(version) : null;
    if (execution !== this.#id) this.#begin(execution, at);
    else if (at !== this.#at) this.#choose(at);
    this.title = execution;
  }

  close() {
    this.stream?.close();
    clearInterval(this.timer);
    this.#id = null;
  }

  #begin(id, at) {
    this.close();
    this.#id = id;
    this.#live = this.#past = this.#shownWindow = null;
    this.#at = at;
    this.history = new History(this.context.api, id);
    this.statuses = new Statuses(this.context.api, id);
    this.parts.hidden = true;
    refill(this.name, said(id));
    refill(this.agent);
    refill(this.problem);
    this.#start();
    this.timer = setInterval(() => { if (this.#live && !isEnd(this.#live.phase)) this.draw(); }, 1000);
  }

  async #start() {
    const id = this.#id;
    try {
      const status = await this.context.api.get(`/api/executions/${encodeURIComponent(id)}`);
      if (id !== this.#id) return;
      this.#take(status);
      this.parts.hidden = false;
      this.stream = new Stream(this.context.api, `/api/executions/${encodeURIComponent(id)}/stream`, {}, {
        snapshot: (change) => this.#take(change.status),
        status: (change) => this.#take(change.status),
        end: () => this.#readNow(),
        anew: () => this.#begin(id, this.#at),
      }, (state) => this.context.connection.tell(state), status.position);
      this.context.connection.attend(this.stream);
      if (this.#at !== null) this.#choose(this.#at);
    } catch (error) {
      if (id !== this.#id || error.status === 401) return;
      refill(this.problem, element("p", { class: "problem", role: "alert", text: error.message }));
      if (error.status === undefined) {
        this.context.connection.tell("unreachable");
        setTimeout(() => { if (id === this.#id) this.#start(); }, 2000);
      } else this.context.connection.tell("none");
    }
  }

  async #readNow() {
    const id = this.#id;
    const status = await this.context.api.get(`/api/executions/${encodeURIComponent(id)}`).catch(() => null);
    if (status && id === this.#id) this.#take(status);
  }

  #take(status) {
    if (this.#live && status.version < this.#live.version) return; // told again, from the beginning
    this.#live = status;
    if (this.#at === null) this.#window = windowOf(status.version);
    this.readEvents();
    this.draw();
  }

  /** Show the status after an event; null for the one of now. */
  #choose(version) {
    const last = this.#live?.version ?? version;
    this.#at = version === null || version >= last ? null : version;
    this.#window = windowOf(this.#at ?? last);
    this.#past = this.#at === null ? null : this.statuses.known(this.#at) ?? null;
    note({ execution: this.#id, version: this.#at });
    if (this.#at !== null && !this.#past) this.readPast(this.#at);
    this.readEvents();
    this.draw();
  }

  async #readPast(version) {
    try {
      const status = await this.statuses.at(version);
      if (this.#at !== version) return;
      this.#past = status;
      refill(this.problem);
      this.draw();
    } catch (error) {
      if (this.#at === version) refill(this.problem, element("p", { class: "problem", role: "alert", text: error.message }));
    }
  }

  #turn(wanted) {
    this.#window = Math.max(0, Math.min(wanted, windowOf(this.#live.version)));
    this.readEvents();
    this.draw();
  }

  async #readEvents() {
    const { history } = this;
    try {
      await history.read(this.#window, this.#live?.version ?? 1);
      if (history === this.history) this.draw();
    } catch {
      // The stream says that the service cannot be reached, and reads again when it can.
    }
  }

  #draw() {
    const live = this.#live;
    if (!live || !this.#id) return;
    const version = this.#at ?? live.version;
    const isPast = this.#at !== null;
    const isOver = isEnd(live.phase);
    const events = this.history.known(this.#window);
    const event = this.history.known(windowOf(version)).find((each) => each.version === version);
    this.#tell(version, live.version, event, isPast);
    this.slider.show(this.#at, live.version, event, isOver);
    if (this.agent.textContent !== live.agent) refill(this.agent, named(live.agent));
    this.acting.show(live);
    const status = isPast ? this.#past : live;
    this.parts.classList.toggle("waiting", !status);
    this.parts.setAttribute("aria-busy", String(!status));
    if (status) {
      this.verdict.show(status, isPast);
      this.facts.show(status);
    }
    if (this.#shownWindow !== this.#window && events.length) {
      this.#shownWindow = this.#window;
      this.conversation.clear();
      this.events.clear();
    }
    if (this.#shownWindow !== this.#window) return;
    this.conversation.show(events, version);
    this.events.show(events, version, this.#window, live.version);
    this.picture.show(events, version, !isOver && this.#window === windowOf(live.version));
  }

  #tell(version, last, event, isPast) {
    this.parts.classList.toggle("past", isPast);
    const where = `event ${number(version)} of ${number(last)}`;
    refill(this.asOf, isPast ? element("strong", { text: `As of ${where}` }) : `As it is now: ${where}`,
      event ? [element("span", { class: "as-of-type", text: event.type }), element("time", { class: "mono", datetime: event.time, title: event.time, text: clock(event.time) })] : null);
  }
}

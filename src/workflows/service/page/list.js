// The live list of executions, newest first. The stream is opened before the list is read, so nothing falls between.

import { link } from "./address.js";
import { element, put, refill } from "./dom.js";
import { Filters, chosen } from "./filters.js";
import { settled, soon } from "./frames.js";
import { Row, headings } from "./row.js";
import { Stream } from "./stream.js";
import { plural } from "./words.js";

const PAGE = 100;
const MOST = 1000; // rows in the document; what is older is a page of its own

export class ListView {
  title = "Executions";
  #rows = new Map(); // execution id → Row
  #order = []; // ids, newest first
  #changed = new Set();
  #waiting = []; // what the stream sent before the list was there
  #isLoaded = false;
  #next = null;
  #most = PAGE;
  #params = {};
  #stream = null;
  #turn = 0;
  #from = null; // the position from which the stream tells

  constructor(context) {
    this.context = context;
    this.filters = new Filters(context);
    this.body = element("div", { role: "rowgroup", class: "rows" });
    this.table = element("div", { role: "table", class: "table executions", "aria-label": "Executions" }, headings(), this.body);
    this.foot = element("p", { class: "foot" });
    this.notice = element("div");
    this.element = element("div", {},
      element("h1", { class: "unseen", text: "Executions" }), this.filters.element, this.notice, this.table, this.foot);
    this.draw = soon(() => this.#draw());
    // The stream says which executions of a code failed, not of which cause: the list does.
    this.readAgain = settled(() => this.#readAgain(), 400);
  }

  /** Show what these parameters ask for. */
  show(params) {
    this.#params = params;
    this.filters.show(params);
    this.#begin();
  }

  close() {
    this.#turn += 1;
    this.#stream?.close();
  }

  #begin() {
    this.close();
    this.#forget();
    this.#from = null;
    const { cause: _, after: __, ...streamed } = chosen(this.#params);
    if (this.#params.cause) streamed.phase = "FAILED";
    this.#stream = new Stream(this.context.api, "/api/stream", streamed, {
      open: (isResumed) => { if (!isResumed) this.#load(); },
      snapshot: ({ position }) => { this.#from = position; },
      status: (change) => this.#take(change.status),
      anew: () => this.#begin(),
    }, (state) => this.context.connection.tell(state));
    this.context.connection.attend(this.#stream);
  }

  #forget() {
    this.#isLoaded = false;
    this.#waiting = [];
    this.#most = PAGE;
    this.table.setAttribute("aria-busy", "true");
  }

  async #load() {
    const turn = this.#turn;
    try {
      const page = await this.#page();
      if (turn !== this.#turn) return;
      this.#rows.clear();
      this.#order = [];
      this.#add(page);
      this.#isLoaded = true;
      this.table.removeAttribute("aria-busy");
      this.#waiting.splice(0).forEach((status) => this.#take(status));
      refill(this.notice, this.#params.after ? older(this.#params) : null);
      if (page.events_behind) this.#catchUp();
    } catch (error) {
      if (turn !== this.#turn) return;
      this.table.removeAttribute("aria-busy");
      refill(this.notice, element("p", { class: "problem", role: "alert", text: error.message }));
    }
    this.draw();
  }

  /** The query tables may be behind the position from which the stream tells: read again when they have reached it. */
  async #catchUp() {
    const turn = this.#turn;
    let reached = -1;
    while (turn === this.#turn && reached < (this.#from ??= Infinity)) {
      const ready = await this.context.api.get("/readyz").catch(() => null);
      if (ready && this.#from === Infinity) this.#from = ready.events;
      if (ready) reached = ready.events - ready.events_behind;
      if (reached < this.#from) await new Promise((done) => setTimeout(done, 700));
    }
    const page = await this.#page().catch(() => null);
    if (!page || turn !== this.#turn) return;
    const told = [...this.#rows.values()].filter((row) => row.isTold).map((row) => row.status);
    this.#rows.clear();
    this.#order = [];
    this.#add(page);
    told.forEach((status) => this.#take(status));
    this.draw();
  }

  #page(after = this.#params.after) {
    return this.context.api.get("/api/executions", { ...chosen(this.#params), after, limit: PAGE });
  }

  async #more() {
    const turn = this.#turn;
    const page = await this.#page(this.#next);
    if (turn !== this.#turn) return;
    this.#most = Math.min(MOST, this.#order.length + PAGE);
    this.#add(page);
    this.draw();
  }

  #add(page) {
    for (const status of page.items) this.#set(status);
    this.#next = page.next;
    this.context.connection.behind(page.events_behind);
  }

  async #readAgain() {
    const turn = this.#turn;
    const page = await this.#page().catch(() => null);
    if (!page || turn !== this.#turn) return;
    page.items.forEach((status) => this.#set(status));
    this.draw();
    if (this.#params.cause && page.events_behind) this.readAgain();
  }

  /** One status from the stream. */
  #take(status) {
    if (!this.#isLoaded) {
      this.#waiting.push(status);
      return;
    }
    const isKnown = this.#rows.has(status.execution_id);
    if (this.#params.cause && !isKnown) this.readAgain();
    else if (this.#isWanted(status, isKnown)) this.#set(status, true);
    else if (isKnown && !matches(status, this.#params)) this.#remove(status.execution_id);
    this.draw();
  }

  #isWanted(status, isKnown) {
    if (!matches(status, this.#params)) return false;
    if (isKnown) return true;
    if (this.#params.after && Number(status.cursor) >= Number(this.#params.after)) return false;
    const last = this.#rows.get(this.#order.at(-1));
    return this.#next === null || !last || Number(status.cursor) > last.place;
  }

  #set(status, isTold = false) {
    const row = this.#rows.get(status.execution_id);
    if (row) {
      if (status.version < row.status.version) return; // the list may be behind what the stream said
      row.status = status;
      row.isTold ||= isTold;
    } else {
      const made = new Row(status);
      made.isTold = isTold;
      this.#rows.set(status.execution_id, made);
      let place = this.#order.length; // most come at one of the two ends
      if (this.#order.length && made.place > this.#rows.get(this.#order[0]).place) place = 0;
      else while (place && this.#rows.get(this.#order[place - 1]).place < made.place) place -= 1;
      this.#order.splice(place, 0, status.execution_id);
    }
    this.#changed.add(status.execution_id);
    while (this.#order.length > this.#most) {
      this.#rows.delete(this.#order.pop());
      this.#next = String(this.#rows.get(this.#order.at(-1)).place);
    }
  }

  #remove(id) {
    this.#rows.delete(id);
    this.#order.splice(this.#order.indexOf(id), 1);
  }

  #draw() {
    for (const id of this.#changed) this.#rows.get(id)?.draw(this.#params);
    this.#changed.clear();
    let at = this.body.firstChild;
    for (const id of this.#order) {
      const { element: wanted } = this.#rows.get(id);
      if (at === wanted) at = at.nextSibling;
      else this.body.insertBefore(wanted, at);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
    this.table.hidden = !this.#order.length;
    if (this.#isLoaded) this.#drawFoot();
  }

  #drawFoot() {
    const count = this.#order.length;
    if (!count) {
      refill(this.foot, empty(this.#params));
    } else if (this.#next === null) {
      refill(this.foot, element("span", { text: `${plural(count, "execution")}, no more` }));
    } else if (count >= MOST) {
      const last = this.#rows.get(this.#order.at(-1)).place;
      refill(this.foot, element("a", { class: "button", href: link({ ...this.#params, after: String(last) }), text: "Show older" }),
        element("span", { text: `${plural(count, "execution")} are shown` }));
    } else if (!this.foot.querySelector("button")) {
      const label = element("span");
      const button = element("button", { type: "button", text: "Load more", on: { click: () => this.#more() } });
      refill(this.foot, button, label);
      put(label, `${plural(count, "execution")} so far`);
    } else {
      put(this.foot.lastChild, `${plural(count, "execution")} so far`);
    }
  }
}

/** Whether a status is one that the filters ask for. Whether it is of a cause, only the service knows. */
function matches(status, { phase, code, session, agent, cause }) {
  return (!phase || status.phase === phase) && (!code || status.code === code) && (!session || status.session_id === session)
    && (!agent || status.agent === agent) && (!cause || status.phase === "FAILED");
}

function older(params) {
  const { after: _, ...rest } = params;
  return element("p", { class: "notice" }, "Older executions. ", element("a", { href: link(rest), text: "Back to the newest" }));
}

function empty(params) {
  if (Object.keys(chosen(params)).length || params.after) {
    return element("div", { class: "empty" },
      element("p", { class: "empty-title", text: "No execution matches these filters" }),
      element("p", {}, element("a", { href: link(), text: "Show all" })));
  }
  return element("div", { class: "empty" },
    element("p", { class: "empty-title", text: "No executions yet" }),
    element("p", { text: "Start one, and it appears here at once:" }),
    element("pre", { class: "command", tabindex: "0", text: 'execution-status start --agent examples.file_agent:agent --input "read the harbour log"' }),
    element("p", { class: "muted" }, "If nothing serves agents yet: ", element("code", { text: "execution-status up" }),
      " starts everything on this machine."));
}

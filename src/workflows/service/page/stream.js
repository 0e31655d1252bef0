// A live stream that comes back by itself with the last position it saw, so that nothing is missed.
//
// The browser would reconnect, too, but with the ticket it had, and without telling whether the service is there.

import { Refused } from "./api.js";

const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 5000;
const TOO_LONG_AWAY = 60_000; // after which reading anew is cheaper than all that happened meanwhile

export class Stream {
  #source = null;
  #position = null;
  #pause = FIRST_PAUSE;
  #timer = 0;
  #isClosed = false;
  #hiddenAt = 0;
  #lookAtVisibility = () => this.#visibility();

  /**
   * `on` has functions for what comes: `open(isResumed)`, `status(change)`, `end(said)`, `snapshot(change)`,
   * `anew()` when what was seen before no longer counts. `tell(state)` hears how the connection is. `after` is a position
   * up to which all is known.
   */
  constructor(api, path, query, on, tell, after = null) {
    this.api = api;
    this.path = path;
    this.query = query;
    this.on = on;
    this.tell = tell;
    this.#position = after;
    document.addEventListener("visibilitychange", this.#lookAtVisibility);
    this.tell("connecting");
    this.#connect();
  }

  close() {
    this.#isClosed = true;
    this.#drop();
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#lookAtVisibility);
  }

  /** Somebody else found that the service does not answer. */
  lost() {
    if (this.#source) this.#failed("unreachable");
  }

  async #connect() {
    clearTimeout(this.#timer);
    let ticket;
    try {
      ticket = await this.api.ticket();
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return; // the form for the token is shown by now
      this.#failed(error instanceof Refused ? "reconnecting" : "unreachable");
      return;
    }
    if (this.#isClosed || document.hidden) return;
    const query = new URLSearchParams(Object.entries(this.query).filter(([, value]) => value));
    const isResumed = this.#position !== null;
    if (isResumed) query.set("after", this.#position);
    if (ticket) query.set("ticket", ticket);
    const source = new EventSource(`${this.path}?${query}`);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#pause = FIRST_PAUSE;
      this.tell("live");
      this.on.open?.(isResumed);
    });
    source.addEventListener("error", () => this.#broken());
    for (const name of ["snapshot", "status", "end"]) {
      source.addEventListener(name, (event) => this.#came(name, event));
    }
    source.addEventListener("resync", (event) => {
      this.#position = event.lastEventId || null;
      this.on.anew?.();
    });
  }

  #came(name, event) {
    const change = JSON.parse(event.data);
    const position = event.lastEventId || change.position;
    if (position !== undefined) this.#position = String(position);
    if (name === "end") {
      this.close();
      this.tell("ended");
    }
    this.on[name]?.(change);
  }

  /** Dropped: whether the service is still there says how. */
  async #broken() {
    this.#drop();
    this.tell("reconnecting");
    try {
      await this.api.access();
      this.#failed("reconnecting");
    } catch {
      this.#failed("unreachable");
    }
  }

  #failed(state) {
    this.#drop();
    if (this.#isClosed) return;
    this.tell(state);
    this.#timer = setTimeout(() => this.#connect(), this.#pause * (0.75 + Math.random() / 2));
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE);
  }

  #drop() {
    this.#source?.close();
    this.#source = null;
  }

  // A browser gives all tabs of one service six connections together: one that nobody sees gives up its own.
  #visibility() {
    if (document.hidden) {
      this.#hiddenAt = Date.now();
      clearTimeout(this.#timer);
      this.#drop();
      return;
    }
    if (this.#source) return;
    if (Date.now() - this.#hiddenAt > TOO_LONG_AWAY) {
      this.#position = null;
      this.on.anew?.();
    }
    this.#connect();
  }
}

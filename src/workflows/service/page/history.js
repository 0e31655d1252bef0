// An execution's history in windows of bounded size, since it may have a hundred thousand events.
//
// Versions have no gaps, so window n holds the versions from n * SIZE + 1 on. Only the last one grows.

export const SIZE = 500; // the most that the service hands out at once
const KEPT = 6; // windows in memory

/** Which window holds a version. */
export function windowOf(version) {
  return Math.floor(Math.max(0, version - 1) / SIZE);
}

export class History {
  #windows = new Map(); // number → its events; the least recently used first

  constructor(api, executionId) {
    this.api = api;
    this.path = `/api/executions/${encodeURIComponent(executionId)}/events`;
  }

  /** What is known of a window by now. */
  known(number) {
    return this.#windows.get(number) ?? [];
  }

  /** The events of a window up to `version` at least, as far as there are any. */
  async read(number, version) {
    const events = this.#windows.get(number) ?? [];
    this.#windows.delete(number);
    this.#windows.set(number, events);
    if (this.#windows.size > KEPT) this.#windows.delete(this.#windows.keys().next().value);
    const first = number * SIZE;
    while (first + events.length < Math.min(version, first + SIZE)) {
      const after = first + events.length;
      const { items } = await this.api.get(this.path, { after, limit: SIZE - events.length });
      const fresh = items.filter((event) => event.version > first + events.length);
      if (!fresh.length) break;
      events.push(...fresh);
    }
    return events;
  }
}

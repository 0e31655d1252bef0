// Statuses as they were after an event. The past does not change, so each is asked for once.

const KEPT = 400;

export class Statuses {
  #known = new Map();
  #asking = null;

  constructor(api, executionId) {
    this.api = api;
    this.path = `/api/executions/${encodeURIComponent(executionId)}`;
  }

  known(version) {
    return this.#known.get(version);
  }

  /** The status after an event; what was asked for before and has not come yet is no longer wanted. */
  async at(version) {
    this.#asking?.abort();
    const asking = this.#asking = new AbortController();
    const status = await this.api.get(this.path, { version }, { signal: asking.signal });
    this.keep(status);
    return status;
  }

  keep(status) {
    this.#known.set(status.version, status);
    if (this.#known.size > KEPT) this.#known.delete(this.#known.keys().next().value);
  }
}

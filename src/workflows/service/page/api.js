// The service's API: JSON in and out, the token in a header, refusals as errors with the service's own words.

const KEPT_AS = "execution-status-token"; // for this tab only, and gone with it
const PATIENCE = 20_000;

/** The service refused, with its reason. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered with ${status}`);
    this.status = status;
    this.title = problem.title;
  }
}

/** The service did not answer at all. */
export class Unreachable extends Error {}

export class Api {
  /** `needToken` is called when a token is asked for that is not there, or is not the right one. */
  constructor(needToken) {
    this.needToken = needToken;
    this.needsToken = false;
    this.role = null;
  }

  get token() {
    return sessionStorage.getItem(KEPT_AS);
  }

  set token(token) {
    if (token) sessionStorage.setItem(KEPT_AS, token);
    else sessionStorage.removeItem(KEPT_AS);
  }

  get mayAct() {
    return this.role === "operator";
  }

  /** What this token allows: sets `needsToken` and `role`. */
  async access() {
    const found = await this.#ask("GET", "/api/access", {});
    this.needsToken = found.needs_token;
    this.role = found.role;
    return found;
  }

  get(path, query = {}, { signal } = {}) {
    const wanted = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const text = new URLSearchParams(wanted).toString();
    return this.#ask("GET", text ? `${path}?${text}` : path, { signal });
  }

  post(path, body = {}) {
    return this.#ask("POST", path, { body: JSON.stringify(body) });
  }

  /** A short-lived pass for a stream, whose request can carry no header. */
  async ticket() {
    return this.needsToken ? (await this.post("/api/tickets")).ticket : null;
  }

  async #ask(method, path, { body, signal }) {
    const headers = { Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    // Anything else cannot stand in a header, so it cannot be the right one.
    if (/^[\x21-\x7e]+$/.test(this.token ?? "")) headers.Authorization = `Bearer ${this.token}`;
    const patience = AbortSignal.timeout(PATIENCE);
    let answer;
    let said;
    try {
      answer = await fetch(path, {
        method, headers, body, cache: "no-store",
        signal: signal ? AbortSignal.any([signal, patience]) : patience,
      });
      said = answer.status === 204 ? null : await answer.json().catch(() => null);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable("the service cannot be reached");
    }
    if (answer.ok) return said;
    if (answer.status === 401) this.needToken();
    throw new Refused(answer.status, said ?? {});
  }
}

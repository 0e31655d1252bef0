// Which executions the list shows: links for phases, fields for the rest, all of it in the address.

import { go, link } from "./address.js";
import { element, refill, said } from "./dom.js";
import { PHASES, badge } from "./words.js";

const NAMES = ["phase", "code", "session", "agent", "cause"];

/** The filters among the parameters of an address. */
export function chosen(params) {
  return Object.fromEntries(NAMES.filter((name) => params[name]).map((name) => [name, params[name]]));
}

export class Filters {
  #params = {};

  constructor(context) {
    this.phases = element("nav", { class: "phases", "aria-label": "Phase" });
    this.code = element("select", { id: "filter-code", on: { change: () => this.#go() } }, element("option", { value: "", text: "any code" }));
    this.session = field("filter-session", "any session", () => this.#go());
    this.agent = field("filter-agent", "package.module:agent", () => this.#go());
    this.cause = element("div", { class: "filter-cause" });
    this.clear = element("a", { class: "clear", href: link(), text: "Clear filters" });
    this.element = element("form", { class: "filters", role: "search", "aria-label": "Filter executions", on: { submit: (event) => this.#submit(event) } },
      this.phases,
      element("div", { class: "fields" },
        labelled("Code", this.code), labelled("Session", this.session), labelled("Agent", this.agent), this.cause, this.clear,
        element("button", { type: "submit", class: "unseen", text: "Filter", tabindex: "-1" })));
    this.#name(context.codes);
  }

  /** Show what is chosen. */
  show(params) {
    this.#params = params;
    const rest = chosen(params);
    refill(this.phases, ["", ...PHASES].map((phase) => element("a", {
      href: link({ ...rest, phase }), "aria-current": (params.phase ?? "") === phase ? "true" : null,
    }, phase ? badge(phase) : "All")));
    if (params.code && ![...this.code.options].some((option) => option.value === params.code)) this.#option(params.code, params.code);
    this.code.value = params.code ?? "";
    this.session.value = params.session ?? "";
    this.agent.value = params.agent ?? "";
    const { cause: _, ...others } = rest;
    refill(this.cause, params.cause ? element("a", { class: "chip", href: link(others), title: "show all causes" },
      "one cause: ", said(params.cause), element("span", { class: "chip-close", "aria-hidden": "true", text: "×" }), element("span", { class: "unseen", text: ", remove this filter" })) : null);
    this.clear.hidden = !Object.keys(rest).length;
  }

  async #name(codes) {
    for (const { code, category } of await codes) {
      const known = [...this.code.options].find((option) => option.value === code);
      if (known) known.textContent = `${code} ${category}`;
      else this.#option(code, `${code} ${category}`);
    }
    this.code.value = this.#params.code ?? "";
  }

  #option(value, text) {
    this.code.append(element("option", { value, text }));
  }

  #submit(event) {
    event.preventDefault();
    this.#go();
  }

  #go() {
    const { phase, cause } = this.#params;
    go({ phase, code: this.code.value, session: this.session.value.trim(), agent: this.agent.value.trim(), cause });
  }
}

function field(id, placeholder, change) {
  return element("input", { id, type: "search", placeholder, spellcheck: "false", autocomplete: "off", dir: "auto", on: { change } });
}

function labelled(text, control) {
  return element("div", { class: "field" }, element("label", { for: control.id, text }), control);
}

// Puts the page together: who may do what, which view the address asks for, and what all views share.

import * as address from "./address.js";
import { Api } from "./api.js";
import { Connection } from "./connection.js";
import { element, refill } from "./dom.js";
import { ExecutionView } from "./execution.js";
import { FailuresView } from "./failures.js";
import { ListView } from "./list.js";
import { RunnersView } from "./runners.js";
import { tick } from "./times.js";
import { tokenForm } from "./token.js";

const PLACES = [
  ["Executions", {}, ListView],
  ["Failures", { view: "failures" }, FailuresView],
  ["Runners", { view: "runners" }, RunnersView],
];

const main = document.getElementById("main");
const places = document.getElementById("places");
const leave = document.getElementById("leave");

const api = new Api(() => askForToken());
const connection = new Connection(document.getElementById("connection"), api);
const context = { api, connection, codes: Promise.resolve([]) };
let view = null;

function viewOf(params) {
  if (params.execution) return ExecutionView;
  return PLACES.find(([, place]) => place.view === params.view)?.[2] ?? ListView;
}

function show() {
  const params = address.params();
  const wanted = viewOf(params);
  const isNew = !(view instanceof wanted);
  if (isNew) {
    view?.close();
    view = new wanted(context);
    refill(main, view.element);
    scrollTo(0, 0);
  }
  view.show(params);
  document.title = `${view.title} · execution-status`;
  refill(places, PLACES.map(([name, place, made]) =>
    element("a", { href: address.link(place), "aria-current": made === wanted ? "page" : made === ListView && wanted === ExecutionView ? "true" : null, text: name })));
  leave.hidden = !api.needsToken || !api.token;
}

function askForToken() {
  view?.close();
  view = null;
  connection.tell("none");
  const wasWrong = Boolean(api.token);
  api.token = null;
  api.role = null;
  leave.hidden = true;
  document.title = "execution-status";
  refill(main, tokenForm(api, enter, { wasWrong }));
  document.getElementById("token").focus();
}

function enter() {
  context.codes = api.get("/api/codes").catch(() => []);
  show();
}

async function begin() {
  try {
    await api.access();
  } catch (error) {
    connection.tell("unreachable");
    refill(main, element("div", { class: "empty" }, element("p", { class: "empty-title", text: error.message }), element("p", { text: "Trying again…" })));
    setTimeout(begin, 2000);
    return;
  }
  if (api.needsToken && !api.role) askForToken();
  else enter();
}

address.follow(() => { if (api.role) { show(); main.focus({ preventScroll: true }); } });
leave.addEventListener("click", () => { api.token = null; askForToken(); });
setInterval(() => tick(main), 1000);
begin();

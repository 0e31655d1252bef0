// Retries a group of failures: first what would be retried, then, if that is wanted, what was.

import { link } from "./address.js";
import { Dialog } from "./dialog.js";
import { element, said } from "./dom.js";
import { moment } from "./times.js";
import { plural } from "./words.js";

/** Ask about a group of `/api/failures`, and retry it. */
export async function retryGroup({ api }, group) {
  const dialog = new Dialog(`Retry ${group.code} ${group.category}`);
  const path = `/api/failures/${group.code}/${group.fingerprint}/retry`;
  const close = ["Close", () => dialog.close()];
  dialog.wait("Looking what would be retried…");
  try {
    const { found, more } = await api.post(path, { dry_run: true });
    if (!found.length) {
      dialog.ask(element("p", { text: "Nothing is left to retry: each of them was retried already." }), [close]);
      return;
    }
    dialog.ask(preview(found, more), [
      ["Cancel", () => dialog.close()],
      [`Retry ${plural(found.length, "execution")}`, () => retry(api, dialog, path, close), found.every(isSafe) ? "primary" : "danger"],
    ]);
  } catch (error) {
    dialog.fail(error);
  }
}

async function retry(api, dialog, path, close) {
  dialog.wait("Starting them again…");
  try {
    const { retried, failed } = await api.post(path, { dry_run: false });
    dialog.ask(outcome(retried, failed, () => dialog.close()), [close]);
  } catch (error) {
    dialog.fail(error);
  }
}

function isSafe(each) {
  return each.retryable;
}

function preview(found, more) {
  const begun = found.filter((each) => !isSafe(each)).length;
  return [
    begun ? element("p", { class: "warning", role: "alert", text:
      `${begun === found.length ? "Their agents" : `The agents of ${begun} of them`} had begun. What an agent did before the failure is not undone, and will be done again.` })
      : element("p", { text: "Their agents never began, so a retry is safe." }),
    element("ul", { class: "found", tabindex: "0", "aria-label": "What would be retried" }, found.map((each) => element("li", {},
      said(each.execution_id, { class: "id" }), isSafe(each) ? null : element("span", { class: "tag", text: "had begun" }),
      moment(each.finished_at, { precise: false }),
      said(each.message.slice(0, 200), { class: "muted clamped" })))),
    more ? element("p", { class: "muted", text: "There are more of this cause than are retried at once: ask again afterwards." }) : null,
  ];
}

function outcome(retried, failed, close) {
  const pair = (each) => element("li", {}, said(each.execution_id, { class: "id" }), " → ",
    element("a", { href: link({ execution: each.retried_as }), on: { click: close } }, said(each.retried_as)));
  return [
    element("p", { role: "status", text: `${plural(retried.length, "new execution")} started.` }),
    element("ul", { class: "found", tabindex: "0", "aria-label": "What was retried" }, retried.map(pair)),
    failed.length ? element("p", { class: "problem", text: `${plural(failed.length, "execution")} could not be retried:` }) : null,
    failed.length ? element("ul", { class: "found" }, failed.map((each) => element("li", {}, said(each.execution_id, { class: "id" }), said(each.detail)))) : null,
  ];
}

// Makes elements. Text is only ever put in as text: there is no way here to hand over markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `properties`: `class`, `text`, `on` (listeners by event), `data`, or any attribute. */
export function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** An SVG element. */
export function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

/** Somebody else's words: their direction is their own, and what cannot be seen is made visible. */
export function said(text, properties = {}) {
  return element("bdi", { dir: "auto", ...properties, text: visible(text) });
}

/** A name with dots and colons, which breaks after those if it must. */
export function named(text) {
  const parts = visible(text).split(/(?<=[.:])/);
  return element("bdi", { dir: "auto" }, parts.flatMap((part, at) => (at ? [element("wbr"), part] : [part])));
}

/** Change a node's text only if it differs, so that a selection in it survives. */
export function put(node, text) {
  const wanted = visible(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Replace what a node holds. */
export function refill(node, ...children) {
  node.replaceChildren(...present(children));
}

/** A folded part whose content is made when it is first opened. */
export function folded(summary, make, properties = {}) {
  const body = element("div", { class: "folded-body" });
  const details = element("details", properties, element("summary", {}, summary), body);
  details.addEventListener("toggle", () => {
    if (details.open && !body.hasChildNodes()) refill(body, make());
  });
  return details;
}

/** Control characters as their pictures: an escape sequence is read, not obeyed. */
export function visible(text) {
  return String(text ?? "").replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g, (found) =>
    found === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + found.charCodeAt(0)),
  );
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "on") for (const [kind, listener] of Object.entries(value)) node.addEventListener(kind, listener);
    else if (name === "data") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined);
}

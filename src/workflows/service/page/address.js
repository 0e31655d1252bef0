// What the page shows stands in its address, so that it can be shared, and the back button goes back.

/** The parameters of the present address. */
export function params() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** The address of a view. */
export function link(wanted = {}) {
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  const text = query.toString();
  return text ? `/?${text}` : "/";
}

/** Show something else. */
export function go(wanted) {
  const href = typeof wanted === "string" ? wanted : link(wanted);
  if (href === location.pathname + location.search) return;
  history.pushState(null, "", href);
  changed();
}

/** Note in the address what is shown already. */
export function note(wanted) {
  history.replaceState(null, "", link(wanted));
}

/** Have `show` called whenever the address changes, and let the page's own links change it without a reload. */
export function follow(show) {
  changed = show;
  addEventListener("popstate", () => show());
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest?.("a[href]");
    if (!anchor || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const href = anchor.getAttribute("href");
    if (href !== "/" && !href.startsWith("/?")) return;
    event.preventDefault();
    go(href);
  });
}

let changed = () => {};

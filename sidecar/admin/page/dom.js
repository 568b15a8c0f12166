// Building the page. Text goes in as text, never as markup: names on this page were chosen by whoever sent a request.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element: attributes by name (`on…` are listeners, null leaves one out), then children, nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return dressed(document.createElement(tag), attributes, children);
}

/** The same, of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), attributes, children);
}

function dressed(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Sets an element's text, and touches nothing when it is the same: selections stay, screen readers stay silent. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute, only where that changes something. */
export function mark(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** A word in a coloured frame. The word says it all; the colour only helps to find it. */
export const tag = (word, tone, title = null) => el("span", { class: "tag", "data-tone": tone, title }, word);

/** A moment, to be read in the reader's own time and, on pointing, in UTC as the logs have it. */
export function moment(date, text) {
  return el("time", { datetime: date.toISOString(), title: date.toISOString() }, text);
}

/** A bar of `share` (0 to 1). The number stands beside it, so it is hidden from screen readers. */
export function bar(share, tone = "accent") {
  const fill = el("span", { class: "fill", "data-tone": tone });
  fill.style.setProperty("--share", String(Math.max(0, Math.min(1, share))));
  return el("span", { class: "meter", "aria-hidden": "true" }, fill);
}

/**
 * A table whose rows live on while what they show changes: keyed rows, cells as `columns` say.
 *
 * columns: [{name, cell(item) -> node or text, number?: true, wide?: true}], drawn again when `stamp(item)` changes.
 */
export class Table {
  constructor({ label, columns, key, stamp, kind }) {
    Object.assign(this, { columns, key, stamp });
    this.rows = new Map();
    const heads = columns.map((column) => el("th", { scope: "col", role: "columnheader", class: classOf(column) }, column.name));
    this.body = el("tbody", { role: "rowgroup" });
    this.element = el(
      "table",
      { class: `cards ${kind}`, role: "table", "aria-label": label },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)),
      this.body,
    );
  }

  /** Shows these items, in this order. */
  show(items) {
    const kept = new Map();
    let before = this.body.firstChild;
    for (const item of items) {
      const row = this.row(item);
      kept.set(this.key(item), row);
      if (row.element === before) before = before.nextSibling;
      else this.body.insertBefore(row.element, before);
    }
    for (const [key, row] of this.rows) if (!kept.has(key)) row.element.remove();
    this.rows = kept;
  }

  row(item) {
    const row = this.rows.get(this.key(item)) ?? { element: el("tr", { role: "row" }), stamp: null };
    const stamp = this.stamp(item);
    if (row.stamp !== stamp) {
      row.stamp = stamp;
      row.element.replaceChildren(...this.columns.map((column) => cell(column, item)));
    }
    return row;
  }
}

const classOf = (column) => [column.number ? "number" : "", column.class ?? ""].join(" ").trim() || null;

function cell(column, item) {
  const content = [column.cell(item)].flat();
  return el("td", { role: "cell", class: classOf(column), "data-name": column.name }, ...content);
}

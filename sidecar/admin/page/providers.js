// Providers: how they are, what they are doing, and what went wrong last.

import { Table, byId, el, moment, say, tag } from "./dom.js";
import { count, duration, instant, plural, when } from "./words.js";

export class Providers {
  constructor() {
    this.table = new Table({ label: "Providers", columns: COLUMNS, key: ({ name }) => name, stamp: JSON.stringify, kind: "few" });
    this.note = el("p", { class: "empty" });
    byId("providers").append(this.note, el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Providers" }, this.table.element));
  }

  /** `clusters`: of /clusters?format=json. */
  show(clusters) {
    const sick = clusters.filter(({ health }) => health !== "healthy").length;
    const keyless = clusters.filter(({ key }) => key === "missing").length;
    const said = [plural(clusters.length, "entry", "entries")];
    if (sick > 0) said.push(`${count(sick)} not healthy`);
    if (keyless > 0) said.push(`${count(keyless)} without a key`);
    say(byId("providers-total"), said.join(" · "));
    this.tell(clusters.length === 0 ? "No providers are configured." : "");
    this.table.show([...clusters].sort(worstFirst));
  }

  /** Why there is nothing to show. */
  tell(why) {
    say(this.note, why);
    this.note.hidden = why === "";
  }
}

const RANK = { ejected: 0, probing: 1 };

/** What needs somebody stands first; the rest stays in the order of the configuration. */
const worstFirst = (a, b) => (RANK[a.health] ?? 2) - (RANK[b.health] ?? 2);

const COLUMNS = [
  { name: "provider", class: "c-name", cell: nameOf },
  { name: "health", class: "c-health", cell: healthOf },
  { name: "key", class: "c-key", cell: keyOf },
  { name: "active", number: true, cell: activeOf },
  { name: "answered", number: true, cell: ({ successes }) => count(successes ?? 0) },
  { name: "failed", number: true, cell: ({ failures }) => el("span", { class: failures > 0 ? "bad" : "" }, count(failures ?? 0)) },
  { name: "last error", class: "c-error", cell: errorOf },
];

const under = (text) => el("span", { class: "under quiet" }, text);

function nameOf({ name, model, base_url: url, interface: form }) {
  const parts = [el("span", { class: "mono breaks" }, name)];
  const more = [model !== name ? model : null, form, url].filter(Boolean).join(" · ");
  if (more) parts.push(el("span", { class: "quiet small clip", title: more }, more));
  return parts;
}

function healthOf(cluster) {
  const { health, ejected_for_seconds: left, ejections, consecutive_5xx: row, successes, failures } = cluster;
  if (health === "ejected") return [tag("ejected", "gone"), under(left > 0 ? `${ejections > 1 ? `${count(ejections)} times, ` : ""}back in ${duration(left)}` : "the next request tries it")];
  if (health === "probing") return [tag("probing", "expired"), under("one request finds out")];
  if (row > 0) return [tag("healthy", "hit"), under(`${plural(row, "failure")} in a row`)];
  if (!successes && !failures) return [tag("healthy", "none", "nothing is known against it"), under("not asked yet")];
  return tag("healthy", "hit");
}

function activeOf({ active, pending }) {
  return pending > 0 ? [count(active), under(`${count(pending)} pending`)] : count(active ?? 0);
}

function keyOf({ key, missing }) {
  if (key === "missing") return el("span", { class: "bad" }, `not set${missing?.length ? ": " : ""}`, el("span", { class: "mono small" }, (missing ?? []).join(", ")));
  return { set: "set", none: "none needed", passthrough: "the client's" }[key] ?? String(key ?? "–");
}

function errorOf({ last_error: error }) {
  if (!error) return el("span", { class: "quiet" }, "–");
  const at = instant(error.at);
  return [el("span", { class: "clip" }, error.status ? `${error.cause} (${error.status})` : error.cause), el("span", { class: "under quiet" }, moment(at, when(at)))];
}

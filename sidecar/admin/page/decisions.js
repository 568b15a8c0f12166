// The latest decisions, newest first: can be filtered, and held still while one reads.

import { Table, byId, el, mark, moment, say, tag } from "./dom.js";
import { count, instant, milliseconds, outcome, plural, reason, when } from "./words.js";

export class Decisions {
  constructor() {
    this.all = [];
    this.held = null;
    this.table = new Table({ label: "Recent decisions", columns: COLUMNS, key: keyOf, stamp: keyOf, kind: "many" });
    this.empty = el("p", { class: "empty" });
    this.scroll = el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Recent decisions" }, this.table.element);
    byId("decisions").append(this.empty, this.scroll);
    byId("filter").addEventListener("input", () => {
      this.draw();
      say(byId("filtered"), byId("decisions-total").textContent); // said aloud for the filter, not for every new decision
    });
    byId("pause").addEventListener("click", () => this.pause());
  }

  show(recent) {
    this.all = recent.decisions;
    this.draw();
  }

  pause() {
    this.held = this.held === null ? this.all : null;
    mark(byId("pause"), "aria-pressed", this.held !== null);
    say(byId("pause"), this.held === null ? "Pause" : "Resume");
    this.draw();
  }

  draw() {
    const shown = this.held ?? this.all;
    const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length === 0 ? shown : shown.filter((decision) => holds(decision, words));
    say(byId("decisions-total"), this.summary(shown, found, words));
    say(this.empty, shown.length === 0 ? "No decisions yet. Every request to the data plane that is routed shows here." : "No decision has all of these words.");
    this.empty.hidden = found.length > 0;
    this.scroll.hidden = found.length === 0;
    this.table.show(found);
  }

  summary(shown, found, words) {
    if (shown.length === 0) return "";
    const parts = [words.length > 0 ? `${count(found.length)} of the latest ${count(shown.length)}` : `the latest ${count(shown.length)}`];
    if (this.held !== null) parts.push(`held still, ${newer(this.all, this.held)}`);
    return parts.join(" · ");
  }
}

function newer(all, held) {
  if (held.length === 0) return plural(all.length, "newer one");
  const at = all.findIndex((decision) => keyOf(decision) === keyOf(held[0]));
  return at < 0 ? `more than ${count(all.length)} newer ones` : plural(at, "newer one");
}

const keyOf = (decision) => `${decision.trace_id} ${decision.at} ${decision.ms}`;

/** Whether every word is somewhere in what the row shows. */
function holds(decision, words) {
  const { model, decided, route, pin, source, session, status, code, failover, endpoint, trace_id } = decision;
  const moved = decision.moved ? "moved" : "";
  const text = [model, decided, route, decision.reason, pin, source, session, status, code, failover, moved, endpoint, trace_id].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

const dash = () => el("span", { class: "quiet dash" }, "–");
const text = (value, more = "") => (value === null || value === undefined || value === "" ? dash() : el("span", { class: `clip ${more}`.trim(), title: value }, value));

const COLUMNS = [
  { name: "time", class: "c-time", cell: ({ at }) => moment(instant(at), when(instant(at))) },
  { name: "model", class: "c-model", cell: modelOf },
  { name: "route", class: "c-route", cell: ({ route }) => text(route) },
  { name: "reason", class: "c-reason", cell: (decision) => tag(decision.reason, reason(decision.reason).tone, reason(decision.reason).means) },
  { name: "pin", class: "c-pin", cell: ({ pin }) => tag(outcome(pin).name, outcome(pin).tone, outcome(pin).means) },
  { name: "session", class: "c-session", cell: ({ session }) => text(session, "mono") },
  { name: "named by", class: "c-source", cell: ({ source }) => text(source, "mono") },
  { name: "ms", class: "c-ms", number: true, cell: ({ ms }) => milliseconds(ms) },
  { name: "status", class: "c-status", cell: statusOf },
  { name: "failover", class: "c-failover", cell: failoverOf },
  { name: "trace", class: "c-trace", cell: ({ trace_id: id }) => el("span", { class: "mono quiet", title: id }, (id ?? "").slice(0, 8)) },
];

function modelOf({ model, decided }) {
  const answered = text(model, "mono");
  return decided === undefined || decided === model ? answered : [answered, el("span", { class: "quiet clip mono", title: decided }, `not ${decided}`)];
}

function statusOf({ status, code }) {
  const fine = status < 400 && !code;
  return el("span", { class: fine ? "" : "bad", title: code }, String(status), ...(fine || !code ? [] : [el("span", { class: "under clip" }, code)]));
}

function failoverOf({ failover, moved }) {
  if (!failover) return dash();
  return [tag(failover, "gone", "why the first attempt was not the last"), el("span", { class: "quiet" }, moved ? " pin moved" : " pin kept")];
}

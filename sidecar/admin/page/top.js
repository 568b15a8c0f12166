// The top of the page: the answer, the chart with its legend and its table, and pins by model.

import { bar, byId, el, mark, say } from "./dom.js";
import { Chart, STACKED } from "./chart.js";
import { answer, tally } from "./tally.js";
import { OUTCOMES, count, hour, percent, perSecond, plural, share } from "./words.js";

const LEGEND = ["hit", "miss", "expired", "model_gone", "prefix_changed", "none", "turn", "side_call", "refresh", "bypass", "released", "invalid"];
const ALWAYS = new Set(["hit", "miss", "expired", "none"]);

export class Top {
  constructor() {
    this.chart = new Chart(byId("chart"), byId("readout"));
    this.recent = null;
    byId("window").addEventListener("change", () => this.recent && this.show(this.recent));
    byId("astable").addEventListener("toggle", () => this.recent && this.table());
  }

  /** `recent`: the answer of /recent. */
  show(recent) {
    this.recent = recent;
    const seconds = Number(document.querySelector("#window input:checked").value);
    this.sums = tally(recent, seconds);
    const { tone, rate, said, why } = answer(this.sums, seconds / 60);
    say(byId("rate"), rate);
    byId("rate").hidden = byId("ratename").hidden = rate === "";
    mark(byId("rate"), "data-tone", tone);
    say(byId("verdict"), said);
    say(byId("why"), why);
    this.figures(recent);
    this.chart.show(this.sums);
    this.legend();
    this.table();
    pins(recent.pins);
  }

  figures(recent) {
    const { requests, errors, failovers, seconds } = this.sums;
    const running = Math.min(seconds, Math.max(1, recent.uptime ?? seconds));
    const shown = [
      ["requests", count(requests), `${perSecond(requests / running)} / s`],
      ["errors", count(errors), requests ? share(errors, requests) : ""],
      ["failovers", count(failovers), `${plural(this.sums.moved, "pin")} moved`],
      ["hit rate since start", recent.lookups_total ? percent(recent.hits, recent.lookups_total) : "–", `of ${plural(recent.lookups_total, "lookup")}`],
    ];
    fill(byId("figures"), shown, ([name, number, beside]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, el("b", {}, number), el("span", { class: "quiet" }, beside))),
    );
  }

  legend() {
    const { lookups } = this.sums;
    const shown = LEGEND.filter((name) => ALWAYS.has(name) || lookups[name] > 0).map((name) => [name, lookups[name]]);
    fill(byId("legend"), shown, ([name, number]) => {
      const { name: word, tone, means } = OUTCOMES[name];
      return el("li", { title: means }, el("span", { class: "swatch", "data-tone": tone, "aria-hidden": "true" }), `${word} `, el("b", {}, count(number)));
    });
  }

  /** The chart for those who cannot see it, minute by minute; drawn only while it is open. */
  table() {
    const place = byId("astable");
    if (!place.open) return;
    const minutes = new Map();
    for (const bin of this.sums.bins) {
      const at = Math.floor(bin.at / 60) * 60;
      minutes.set(at, [...(minutes.get(at) ?? []), bin]);
    }
    const total = (bins, pick) => bins.reduce((sum, bin) => sum + pick(bin), 0);
    const head = el("tr", {}, ...["minute", "hit rate", ...STACKED.map((name) => OUTCOMES[name].name)].map((name) => el("th", { scope: "col" }, name)));
    const rows = [...minutes].reverse().map(([at, bins]) =>
      el("tr", {},
        el("th", { scope: "row" }, hour(new Date(at * 1000))),
        el("td", {}, percent(total(bins, (bin) => bin.hits), total(bins, (bin) => bin.looked))),
        ...STACKED.map((name) => el("td", {}, count(total(bins, (bin) => bin.lookups[name]))))),
    );
    place.querySelector(".scroll").replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
  }
}

const MOST_MODELS = 12;

function pins(byModel) {
  const models = Object.entries(byModel ?? {}).filter(([, n]) => n > 0).sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
  const total = models.reduce((sum, [, n]) => sum + n, 0);
  say(byId("pins-total"), total === 0 ? "" : plural(total, "live pin"));
  if (total === 0) return byId("pins").replaceChildren(el("p", { class: "empty" }, "No pins. A session's first request makes one."));
  const shown = models.slice(0, MOST_MODELS);
  const rest = models.slice(MOST_MODELS);
  if (rest.length > 0) shown.push([`${plural(rest.length, "other model")}`, rest.reduce((sum, [, n]) => sum + n, 0)]);
  const list = byId("pins").querySelector("ul") ?? el("ul", { class: "bars" });
  if (!list.isConnected) byId("pins").replaceChildren(list);
  fill(list, shown, ([model, n]) =>
    el("li", {},
      el("span", { class: "mono breaks" }, model),
      el("span", { class: "number" }, el("b", {}, count(n)), el("span", { class: "quiet" }, share(n, total))),
      bar(n / total)),
  );
}

/** Puts one element for each item into a list, and touches nothing when the items are the same as last time. */
function fill(list, items, make) {
  const stamp = JSON.stringify(items);
  if (list.dataset.stamp === stamp) return;
  list.dataset.stamp = stamp;
  list.replaceChildren(...items.map(make));
}

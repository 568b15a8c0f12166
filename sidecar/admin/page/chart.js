// The chart: hit rate above, lookups by outcome below, one bin a column, the same time under both.
//
// It is drawn anew at each answer, in CSS pixels of its own width, so that its letters never stretch. A cursor reads
// one bin out: by pointer, or as a slider by keyboard (arrows, Home, End, Escape).

import { mark, say, svg } from "./dom.js";
import { OUTCOMES, clock, count, hour, outcome, percent } from "./words.js";

const LEFT = 46;
const RIGHT = 10;
const RATE = { top: 22, height: 92 };
const LOOKUPS = { top: 146, height: 84 };
const HEIGHT = 256;
export const STACKED = ["hit", "miss", "expired", "model_gone", "prefix_changed", "none"];

export class Chart {
  /** `element` becomes the slider; `readout` says in a line what is under the cursor. */
  constructor(element, readout) {
    Object.assign(this, { element, readout, sums: null, cursor: null, width: 0 });
    mark(element, "role", "slider");
    mark(element, "tabindex", "0");
    mark(element, "aria-label", "Pin hit rate and lookups, moment by moment");
    element.addEventListener("pointermove", (event) => this.point(event));
    element.addEventListener("pointerdown", (event) => this.point(event));
    element.addEventListener("pointerleave", () => this.moveTo(null));
    element.addEventListener("keydown", (event) => this.step(event));
    element.addEventListener("blur", () => this.moveTo(null));
    new ResizeObserver(() => this.draw()).observe(element);
  }

  /** `sums`: what `tally` gives. */
  show(sums) {
    this.sums = sums;
    this.draw();
  }

  draw() {
    this.width = Math.floor(this.element.clientWidth);
    if (this.sums === null || this.width < 2 * LEFT) return;
    const { bins } = this.sums;
    this.column = (this.width - LEFT - RIGHT) / bins.length;
    const most = Math.max(0, ...bins.map(volume));
    const perMinute = 60 / bins[0].seconds;
    const unit = most * perMinute >= 600 ? { name: "second", factor: 1 / bins[0].seconds } : { name: "minute", factor: perMinute };
    const top = nice(most * unit.factor);
    this.cursorLine = svg("rect", { class: "cursor", y: RATE.top, height: LOOKUPS.top + LOOKUPS.height - RATE.top, width: this.column });
    const drawing = svg(
      "svg",
      { viewBox: `0 0 ${this.width} ${HEIGHT}`, width: this.width, height: HEIGHT, "aria-hidden": "true" },
      this.cursorLine,
      this.axis(RATE, "Pin hit rate", [[0, "0"], [0.5, "50"], [1, "100 %"]]),
      this.rate(bins),
      this.axis(LOOKUPS, `Lookups per ${unit.name}`, [[0, "0"], [0.5, short(top / 2)], [1, short(top)]]),
      ...bins.map((bin, at) => this.stack(bin, at, unit.factor / top)),
      this.times(bins),
      most === 0 ? svg("text", { class: "nothing", x: LEFT + (this.width - LEFT - RIGHT) / 2, y: RATE.top + RATE.height / 4 + 4 }, "no lookups in this time") : null,
    );
    this.element.replaceChildren(drawing);
    mark(this.element, "aria-valuemin", 0);
    mark(this.element, "aria-valuemax", bins.length - 1);
    this.moveTo(this.cursor);
  }

  /** Lines and labels of one pane; `ticks`: [part of the height, label]. */
  axis(pane, title, ticks) {
    const group = svg("g", { class: "axis" }, svg("text", { class: "title", x: LEFT, y: pane.top - 8 }, title));
    for (const [part, label] of ticks) {
      const y = Math.round(pane.top + pane.height * (1 - part)) + 0.5;
      group.append(svg("line", { x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }), svg("text", { class: "tick", x: LEFT - 7, y: y + 3.5 }, label));
    }
    return group;
  }

  /** A line through every bin that had lookups, broken where there were none: no lookups is not a rate of zero. */
  rate(bins) {
    const group = svg("g", {});
    const y = (bin) => RATE.top + RATE.height * (1 - bin.hits / bin.looked);
    const runs = runsOf(bins, (bin) => bin.looked > 0);
    for (const run of runs) {
      const points = run.map((at) => `${this.x(at + 0.5)},${y(bins[at]).toFixed(1)}`);
      const floor = RATE.top + RATE.height;
      if (run.length === 1) group.append(svg("circle", { class: "rate dot", cx: this.x(run[0] + 0.5), cy: y(bins[run[0]]), r: 2.5 }));
      else {
        group.append(svg("path", { class: "rate area", d: `M${this.x(run[0] + 0.5)},${floor}L${points.join("L")}L${this.x(run.at(-1) + 0.5)},${floor}Z` }));
        group.append(svg("path", { class: "rate line", d: `M${points.join("L")}` }));
      }
    }
    return group;
  }

  stack(bin, at, scale) {
    const group = svg("g", {});
    const gap = this.column > 4 ? 1 : 0.4;
    let floor = LOOKUPS.top + LOOKUPS.height;
    for (const name of STACKED) {
      const height = bin.lookups[name] * scale * LOOKUPS.height;
      if (!(height > 0)) continue;
      floor -= height;
      group.append(svg("rect", { class: "stack", "data-tone": OUTCOMES[name].tone, x: this.x(at) + gap / 2, y: floor, width: this.column - gap, height }));
    }
    return group;
  }

  /** A mark at every full minute that has room, in the reader's own time. */
  times(bins) {
    const group = svg("g", { class: "axis" });
    const start = bins[0].at;
    const end = start + bins.length * bins[0].seconds;
    const room = (this.width - LEFT - RIGHT) / 58;
    const step = [1, 2, 3, 5, 10].find((minutes) => (end - start) / 60 / minutes <= room) ?? 15;
    for (let at = Math.ceil(start / (60 * step)) * 60 * step; at < end; at += 60 * step) {
      const x = Math.round(this.x((at - start) / bins[0].seconds)) + 0.5;
      if (x > this.width - RIGHT - 16) continue;
      group.append(
        svg("line", { x1: x, x2: x, y1: LOOKUPS.top + LOOKUPS.height, y2: LOOKUPS.top + LOOKUPS.height + 5 }),
        svg("text", { class: "time", x, y: HEIGHT - 6 }, hour(new Date(at * 1000))),
      );
    }
    return group;
  }

  x(columns) {
    return LEFT + columns * this.column;
  }

  point(event) {
    if (this.sums === null) return;
    const at = Math.floor((event.clientX - this.element.getBoundingClientRect().left - LEFT) / this.column);
    this.moveTo(at >= 0 && at < this.sums.bins.length ? at : null);
  }

  step(event) {
    if (this.sums === null) return;
    const last = this.sums.bins.length - 1;
    const from = this.cursor ?? last + 1;
    const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, PageDown: from - 10, PageUp: from + 10, Home: 0, End: last, Escape: null }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.moveTo(to === null ? null : Math.max(0, Math.min(last, to)));
  }

  /** Puts the cursor on a bin, or takes it away with null. */
  moveTo(at) {
    this.cursor = at;
    if (this.sums === null || !this.cursorLine) return;
    const { bins } = this.sums;
    const line = at === null ? "Point at the chart, or focus it and press ← →, to read one moment." : moment(bins[at]);
    this.cursorLine.classList.toggle("shown", at !== null);
    if (at !== null) mark(this.cursorLine, "x", this.x(at));
    say(this.readout, line);
    mark(this.element, "aria-valuenow", at ?? bins.length - 1);
    mark(this.element, "aria-valuetext", at === null ? moment(bins.at(-1)) : line);
  }
}

const volume = (bin) => STACKED.reduce((total, name) => total + bin.lookups[name], 0);

/** What happened in a bin, in a line. */
export function moment(bin) {
  const span = `${clock(new Date(bin.at * 1000))} – ${clock(new Date((bin.at + bin.seconds) * 1000))}`;
  const parts = Object.entries(bin.lookups).filter(([, n]) => n > 0).map(([name, n]) => `${count(n)} ${outcome(name).name}`);
  const rate = bin.looked > 0 ? `hit rate ${percent(bin.hits, bin.looked)}` : "no lookups";
  return [span, rate, parts.join(", ")].filter(Boolean).join(" · ");
}

/** The least round number that is not less, of those whose half is short to write too. */
function nice(most) {
  if (most <= 0) return 2;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].map((factor) => factor * power).find((top) => top >= most - 1e-9);
}

function short(number) {
  if (number >= 10000) return `${number / 1000}k`;
  return Number.isInteger(number) ? count(number) : String(Number(number.toFixed(2)));
}

/** Indices of neighbours that hold, run by run. */
function runsOf(items, holds) {
  const runs = [];
  items.forEach((item, at) => {
    if (!holds(item)) return;
    if (runs.at(-1)?.at(-1) === at - 1) runs.at(-1).push(at);
    else runs.push([at]);
  });
  return runs;
}

// Numbers, times and the program's stable words, as a person reads them. Nothing here touches the page.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const HOUR = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const NARROW = "\u202f";

export const count = (number) => WHOLE.format(number);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** A rate. Rounded down, so that 100 % means all of it and one miss in ten thousand is still seen. */
export const percent = (part, whole) => rounded(part, whole, Math.floor);

/** A part of a whole, to the nearest tenth. */
export const share = (part, whole) => rounded(part, whole, Math.round);

function rounded(part, whole, round) {
  if (whole === 0) return "–";
  const tenths = round((part / whole) * 1000 + 1e-9);
  if (tenths === 0 && part > 0) return `< 0.1${NARROW}%`;
  return `${tenths === 1000 || tenths === 0 ? tenths / 10 : (tenths / 10).toFixed(1)}${NARROW}%`;
}

/** Things per second, with as many digits as say something. */
export const perSecond = (number) => (number >= 100 ? count(number) : number >= 10 ? number.toFixed(1) : number.toFixed(2));

/** "3 d 4 h", "2 h 5 min", "4 min 12 s", "12 s". */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(s / 86400), "d"], [Math.floor(s / 3600) % 24, "h"], [Math.floor(s / 60) % 60, "min"], [s % 60, "s"]];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([number]) => number > 0).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

export function milliseconds(ms) {
  if (ms >= 10000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 100 ? count(ms) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2);
}

export const clock = (date) => CLOCK.format(date);
export const hour = (date) => HOUR.format(date);

/** The time of day, with the day before it when that is not today. */
export function when(date, now = new Date()) {
  return date.toDateString() === now.toDateString() ? clock(date) : `${DAY.format(date)}, ${clock(date)}`;
}

/** A moment as the admin port writes it: Unix seconds, or RFC 3339. */
export const instant = (at) => new Date(typeof at === "number" ? at * 1000 : at);

export function zone(now = new Date()) {
  const minutes = -now.getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  return `UTC${sign}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

/** Outcomes of a lookup: the colour, and what each means. Those with `looked` count in the hit rate. */
export const OUTCOMES = {
  hit: { name: "hit", tone: "hit", looked: true, means: "the session has a pin, and it decided" },
  miss: { name: "miss", tone: "miss", looked: true, means: "the session is new to this sidecar: usually its first request" },
  expired: { name: "expired", tone: "expired", looked: true, means: "the session was silent for longer than its pin lives" },
  model_gone: { name: "model gone", tone: "gone", looked: true, means: "its pin named a model that is no longer configured" },
  prefix_changed: { name: "head changed", tone: "gone", looked: true, means: "a conversation that nobody named goes on under another system prompt or other tools" },
  turn: { name: "new turn", tone: "asked", looked: false, means: "the user said something new, which routing.route_on_user_only routes anew" },
  side_call: { name: "side call", tone: "none", looked: false, means: "the client asked for something of its own, such as a title: routed on its own" },
  refresh: { name: "refresh", tone: "asked", looked: false, means: "the client asked to be routed anew" },
  bypass: { name: "bypass", tone: "asked", looked: false, means: "the client asked for pins to be ignored" },
  released: { name: "released", tone: "asked", looked: false, means: "the client asked for the end of its session's pin" },
  invalid: { name: "invalid id", tone: "gone", looked: false, means: "the session id was refused with 400" },
  none: { name: "no session", tone: "none", looked: false, means: "the request named no session, or routing does not apply to it" },
};

export const outcome = (word) => OUTCOMES[word] ?? { name: word, tone: "none", looked: false, means: "" };

const REASONS = {
  pinned: ["hit", "the session has a pin"],
  routed: ["miss", "the classifier named a route"],
  no_match: ["none", "the classifier named no route: the request's own model, or the default"],
  no_routes: ["none", "there are no routes to choose from: the request's own model, or the default"],
  not_applied: ["none", "routing.apply_to leaves this model alone: the request's own model"],
  model_gone: ["gone", "the pin named a model that is no longer configured: routed anew"],
  prefix_changed: ["gone", "the conversation goes on under another system prompt or other tools: routed anew"],
  failover: ["gone", "the session's model failed for good, or again and again: the next candidate took its place"],
  operator: ["asked", "pinned by hand"],
  classifier_error: ["expired", "the classifier failed: the request's own model, or the default"],
  classifier_timeout: ["expired", "the classifier was late: the request's own model, or the default"],
  classifier_open: ["expired", "the classifier failed too often of late and was not asked: the request's own model, or the default"],
};

/** {tone, means} of a decision's reason. */
export function reason(word) {
  const [tone, means] = REASONS[word] ?? ["none", ""];
  return { tone, means };
}

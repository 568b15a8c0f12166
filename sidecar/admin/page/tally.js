// From /recent to what the top of the page says: sums over a window, bins for the chart, and the answer in a sentence.
// Nothing here touches the page.

import { OUTCOMES, count, outcome, percent, plural, share } from "./words.js";

const BINS = 60;

/** Sums over the last `seconds`: {lookups: {outcome: n}, looked, hits, requests, errors, failovers, moved, bins}. */
export function tally(recent, seconds) {
  const { lookups: steps, requests, step_seconds: step } = recent;
  const shown = Math.min(steps.length, Math.round(seconds / step));
  const each = Math.max(1, Math.round(shown / BINS));
  // Bins begin at round times, so that a bin keeps its height while the window moves on. The newest is still filling.
  const first = steps.findIndex(({ at }, index) => index >= steps.length - shown && at % (each * step) === 0);
  const bins = [];
  for (let at = first; at < steps.length; at += each) {
    bins.push(sum(steps.slice(at, at + each), requests.slice(at, at + each), each * step));
  }
  return { ...sum(steps.slice(-shown), requests.slice(-shown), seconds), bins };
}

function sum(steps, requests, seconds) {
  const lookups = Object.fromEntries(Object.keys(OUTCOMES).map((name) => [name, 0]));
  for (const step of steps) {
    for (const [name, number] of Object.entries(step)) if (name !== "at") lookups[name] = (lookups[name] ?? 0) + number;
  }
  const added = (name) => requests.reduce((total, step) => total + (step[name] ?? 0), 0);
  const looked = Object.entries(lookups).reduce((total, [name, n]) => total + (outcome(name).looked ? n : 0), 0);
  return {
    at: steps[0].at, seconds, lookups, looked, hits: lookups.hit,
    requests: added("count"), errors: added("errors"), failovers: added("failovers"), moved: added("moved"),
  };
}

/**
 * {tone, rate, said, why}: "do sessions keep their model?", answered.
 *
 * A miss is a session that this sidecar does not know, so it tells of new sessions and not of lost models; what was
 * lost is what came back and found no pin, or was moved.
 */
export function answer(sums, minutes) {
  const { looked, hits, requests, lookups } = sums;
  const window = `the last ${minutes} minutes`;
  if (requests === 0) return { tone: "quiet", rate: "", said: `No requests in ${window}.`, why: "" };
  if (looked === 0) return { tone: "warn", rate: "", said: `No request in ${window} asked for a pin.`, why: withoutSession(sums) };
  const lost = lookups.expired + lookups.model_gone + lookups.prefix_changed + sums.moved;
  return {
    tone: lost === 0 ? "good" : lost <= 0.02 * looked ? "fair" : "warn",
    rate: percent(hits, looked),
    said: `${kept(lost, sums)} ${count(hits)} of ${plural(looked, "lookup")} in ${window} hit their pin.`,
    why: [others(sums), doubt(sums), failovers(sums), nameless(sums)].filter(Boolean).join(" "),
  };
}

function kept(lost, { hits, failovers: failed }) {
  if (lost === 0 && hits === 0) return "No session has come back yet.";
  if (lost === 0) return failed === 0 ? "Yes: every session that came back kept its model." : "Yes: no session lost its pin.";
  return lost <= 0.02 * (lost + hits) ? "Nearly all do." : "Not all of them.";
}

function others({ lookups, looked, hits }) {
  if (hits === looked) return "";
  const said = [
    lookups.miss && plural(lookups.miss, "first request of a session", "first requests of sessions"),
    lookups.expired && `${count(lookups.expired)} expired`,
    lookups.model_gone && `${count(lookups.model_gone)} pinned to a model that is gone`,
    lookups.prefix_changed && `${count(lookups.prefix_changed)} under another system prompt or other tools`,
  ].filter(Boolean);
  return `The ${looked - hits === 1 ? "other" : "others"}: ${said.join(", ")}.`;
}

/** What a low rate most often means, when there is enough to tell. */
function doubt({ lookups, looked, hits }) {
  if (looked < 10 || hits >= 0.5 * looked) return "";
  const [commonest] = ["miss", "expired", "model_gone", "prefix_changed"].sort((a, b) => lookups[b] - lookups[a]);
  return {
    miss: "So many first requests mean short sessions, clients that send a new id each time, or a restart.",
    expired: "Sessions are silent for longer than routing.session_ttl_seconds.",
    model_gone: "A change of the configuration took models away.",
    prefix_changed: "Agents change their system prompt or tools in mid-work; a session that is named keeps its model then.",
  }[commonest];
}

function failovers({ failovers: failed, moved }) {
  if (failed === 0) return "";
  const pins = moved === 0 ? "no pin moved" : `${plural(moved, "pin")} moved`;
  return `${plural(failed, "request was", "requests were")} answered by another model after a failure; ${pins}.`;
}

function nameless({ lookups, requests }) {
  if (lookups.none < 0.05 * requests || lookups.none === 0) return "";
  return `${plural(lookups.none, "request")} (${share(lookups.none, requests)}) named no session and kept nothing.`;
}

function withoutSession({ lookups, requests }) {
  if (lookups.invalid > lookups.none) return `${plural(lookups.invalid, "session id was", "session ids were")} refused: 1 to 256 visible ASCII characters.`;
  if (lookups.none > 0) return `${plural(lookups.none, "request")} named no session, so each was routed on its own. Clients keep a model by sending X-Session-Id.`;
  return `${plural(requests, "request")} came, and none was to be looked up.`;
}

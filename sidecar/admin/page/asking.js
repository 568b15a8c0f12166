// The two boxes: try a prompt (a dry run), and look up a session.

import { Failed, ask, pinOf, pinPath } from "./api.js";
import { bar, byId, el, moment, tag } from "./dom.js";
import { duration, instant, milliseconds, plural, reason, when } from "./words.js";

/** A form that asks when it is sent, and shows what came, or why nothing did. The last question asked wins. */
function asks(form, place, question) {
  let latest = 0;
  const send = async () => {
    const mine = ++latest;
    place.setAttribute("aria-busy", "true");
    const shown = await question().catch((error) => {
      if (!(error instanceof Failed)) throw error;
      return [el("p", { class: "bad" }, error.message)];
    });
    if (mine !== latest) return;
    place.removeAttribute("aria-busy");
    place.replaceChildren(...shown);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  return send;
}

const row = (name, ...value) => el("div", {}, el("dt", {}, name), el("dd", {}, ...value));
const mono = (text) => el("span", { class: "mono" }, text);

// Try a prompt

export function tryPrompts() {
  asks(byId("try"), byId("tried"), async () => {
    const session = byId("try-session").value.trim();
    const body = { text: byId("prompt").value, ...(session && { session_id: session }) };
    return dryRun(await ask("route", { method: "POST", body }), session);
  });
}

function dryRun(decision, session) {
  const { tone, means } = reason(decision.reason);
  const [first, ...others] = decision.models ?? [decision.model];
  return [
    el("p", { class: "outcome" }, el("span", { class: "mono big" }, first), decision.pinned ? tag("pinned", "hit") : tag("dry run", "none")),
    el("dl", { class: "facts" },
      row("reason", tag(decision.reason, tone), el("span", { class: "quiet" }, ` ${means}`)),
      row("route", decision.route ?? el("span", { class: "quiet" }, "none")),
      ...(others.length ? [row("then", mono(others.join(", ")))] : []),
      ...(decision.confidence != null ? [row("confidence", decision.confidence.toFixed(2))] : []),
      ...(decision.seconds != null ? [row("took", `${milliseconds(decision.seconds * 1000)} ms`)] : []),
    ),
    scores(decision.scores),
    el("p", { class: "quiet small" }, session && !decision.pinned
      ? "Dry run: the session has no pin, and this made none."
      : "Dry run: no model was called, nothing was pinned or counted."),
  ].filter(Boolean);
}

/** Bars for what the classifier thought of each route, best first. */
function scores(list) {
  if (!list?.length) return null;
  const items = list.map(([route, score]) =>
    el("li", {}, el("span", { class: "clip", title: route }, route), el("span", { class: "number" }, el("b", {}, score.toFixed(2))), bar(score)),
  );
  return el("ul", { class: "bars", "aria-label": "Scores by route" }, ...items);
}

// Look up a session

export function lookUpSessions() {
  const again = asks(byId("lookup"), byId("found"), async () => {
    const session = byId("session").value.trim();
    try {
      return story(await pinOf(session), session);
    } catch (error) {
      if (error.status !== 404) throw error;
      return [el("p", {}, "No pin. ", el("span", { class: "quiet" }, "This session never came, or was silent for longer than pins live, or its pin was evicted or forgotten; another replica may have it."))];
    }
  });

  function story(pin, session) {
    const { tone, means } = reason(pin.reason);
    const decided = instant(pin.decided_at);
    const [first, ...others] = pin.models ?? [pin.model];
    return [
      el("p", { class: "outcome" }, el("span", { class: "mono big" }, first), tag("pinned", "hit")),
      el("p", {}, told(pin)),
      el("dl", { class: "facts" },
        row("decided", moment(decided, when(decided)), el("span", { class: "quiet" }, ` ${duration(pin.age_seconds)} ago`)),
        row("reason", tag(pin.reason, tone), el("span", { class: "quiet" }, ` ${means}`)),
        row("route", pin.route ?? el("span", { class: "quiet" }, "none"), pin.confidence != null ? el("span", { class: "quiet" }, ` confidence ${pin.confidence.toFixed(2)}`) : ""),
        ...(others.length ? [row("then", mono(others.join(", ")))] : []),
        row("named by", mono(pin.source ?? "–")),
        ...["tenant", "lane"].filter((name) => pin[name]).map((name) => row(name, mono(pin[name]))),
        row("last failover", ...failover(pin.last_failover)),
      ),
      scores(pin.scores),
      el("div", { class: "row end" }, el("button", { type: "button", class: "danger", onclick: () => forget(session, pin.model) }, "Forget this pin …")),
    ].filter(Boolean);
  }

  async function forget(session, model) {
    if (!(await confirmed(`The next request of session ${session} is routed anew; it may leave ${model}.`))) return;
    try {
      await ask(pinPath(session), { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      if (error.status !== 404) return byId("found").replaceChildren(el("p", { class: "bad" }, error.message));
    }
    byId("found").replaceChildren(el("p", {}, "The pin is forgotten. ", el("span", { class: "quiet" }, "The session's next request is routed anew.")));
    byId("session").focus();
  }

  return again;
}

/** The pin's life in a sentence or two. */
function told(pin) {
  const turns = pin.turns != null ? `It has decided ${plural(pin.turns, "request")} so far. ` : "";
  const rest = pin.expires_in_seconds != null ? `It lasts ${duration(pin.expires_in_seconds)} more.` : "";
  const mixed = pin.mixed ? " Another provider has answered in between." : "";
  return `${turns}${rest}${mixed}`;
}

function failover(last) {
  if (!last) return [el("span", { class: "quiet" }, "none")];
  const at = instant(last.at);
  return [tag(last.reason, "gone"), ` ${last.answered_by} answered, `, moment(at, when(at))];
}

/** Asks before something is lost. Escape and the first button keep it. */
function confirmed(text) {
  const dialog = byId("confirm");
  byId("confirm-text").textContent = text;
  return new Promise((resolve) => {
    const done = new AbortController();
    const close = (answer) => {
      done.abort();
      dialog.close();
      resolve(answer);
    };
    byId("confirm-yes").addEventListener("click", () => close(true), { signal: done.signal });
    byId("confirm-no").addEventListener("click", () => close(false), { signal: done.signal });
    dialog.addEventListener("cancel", () => close(false), { signal: done.signal });
    dialog.showModal();
  });
}

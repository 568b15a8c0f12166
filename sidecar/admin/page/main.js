// The console. Asks the admin port every two seconds while somebody looks, and says so plainly when it gets no answer.

import { ask } from "./api.js";
import { lookUpSessions, tryPrompts } from "./asking.js";
import { Decisions } from "./decisions.js";
import { byId, mark, say } from "./dom.js";
import { Providers } from "./providers.js";
import { Top } from "./top.js";
import { clock, duration, zone } from "./words.js";

const EVERY_MS = 2000;

const top = new Top();
const providers = new Providers();
const decisions = new Decisions();
let timer = null;
let answeredAt = null;

async function poll() {
  timer = null;
  try {
    const [recent, clusters, info] = await Promise.allSettled([ask("recent"), ask("clusters?format=json"), ask("server_info")]);
    if (recent.status === "fulfilled") fresh(recent.value, clusters, info);
    else silent(recent.reason);
  } finally {
    if (!document.hidden && timer === null) timer = setTimeout(poll, EVERY_MS);
  }
}

function fresh(recent, clusters, info) {
  answeredAt = new Date();
  delete document.body.dataset.stale;
  byId("stale").hidden = true;
  say(byId("pulse"), `live, ${clock(answeredAt)}`);
  mark(byId("pulse"), "data-tone", "good");
  if (info.status === "fulfilled") about(info.value);
  top.show({ ...recent, uptime: info.value?.uptime_seconds });
  decisions.show(recent);
  if (clusters.status === "fulfilled") providers.show(clusters.value.clusters);
  else providers.tell(`The sidecar does not say: ${clusters.reason.message}.`);
}

const TONES = { serving: "good", draining: "warn" };

function about({ version, state, uptime_seconds: uptime, config }) {
  say(byId("version"), version);
  say(byId("state"), state);
  mark(byId("state"), "data-tone", TONES[state] ?? "quiet");
  say(byId("uptime"), `up ${duration(uptime)}`);
  say(byId("config"), config?.source ? `${config.source}${config.generation > 1 ? `, generation ${config.generation}` : ""}` : "");
  mark(byId("config"), "title", config?.source);
}

/** What is on the page stays, and is said to be old. */
function silent(reason) {
  document.body.dataset.stale = "";
  const since = answeredAt === null ? "" : ` What you see is from ${clock(answeredAt)}.`;
  const what = reason.status > 0 ? "refuses to answer" : "does not answer";
  say(byId("stale"), `The sidecar ${what} (${reason.message}).${since} Still asking.`);
  byId("stale").hidden = false;
  say(byId("pulse"), answeredAt === null ? "no answer" : `no answer since ${clock(answeredAt)}`);
  mark(byId("pulse"), "data-tone", "warn");
  say(byId("state"), "unknown");
  mark(byId("state"), "data-tone", "quiet");
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    clearTimeout(timer);
    timer = null;
  } else if (timer === null) poll();
});

say(byId("zone"), `Times are yours (${zone()}); point at one for UTC, as in the logs. A session shows as the hash the logs have.`);
tryPrompts();
lookUpSessions();
poll();

"""A real Prometheus scrapes a real sidecar under load, and is asked everything that dashboards and rules ask."""

import asyncio
import itertools
import json
import math
import runpy
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest
import yaml
from attrs import define, field
from provider import (
    COMPLETION,
    DONE,
    EVENTS_HEAD,
    KEYS,
    MESSAGES_EVENTS,
    before,
    chunk,
    delta,
    entry,
    event,
    refuses,
    sends,
    serving,
    streams,
    then_cut,
    whole,
)

from sidecar.telemetry.metrics import METRICS

DEMO = Path(__file__).parents[2] / "demos/session_pinning"
PATIENCE_S = 25.0
"""For every panel to have data. Half of it is what a rate needs and what pins need to expire."""

EMPTY = {
    "llm-sidecar-itself.json / Reloads": "the configuration is read once",
    "llm-sidecar-itself.json / Requests by caller": "anybody may call",
    "llm-sidecar-itself.json / Worker restarts": "one process answers all",
    "llm-sidecar-pins.json / Errors": "a store in this process does not fail",
    "llm-sidecar-pins.json / Duration A": "a store in this process is not timed",
    "llm-sidecar-pins.json / Duration B": "a store in this process is not timed",
    "llm-sidecar-pins.json / Settled after an outage": "there was none: nobody shares the store",
    "llm-sidecar-traffic.json / Removed from conversations": "nobody thinks in this load",
}
"""Panel -> why it has nothing to show under this load. Every other panel must have something."""

MUST_HAVE = ("panel", "variable", "record")
"""The others are empty when all is well."""

VARIABLES = {
    "$job": "llm-sidecar",
    "$namespace": ".*",
    "$pod": ".*",
    "$__rate_interval": "20s",
    "$__range": "1m",
}
"""What Grafana would put in their places. A scrape as plain as this one has neither namespace nor pod."""


async def test_every_expression_evaluates_and_every_panel_has_data(start, prometheus, expressions):
    async with AsyncExitStack() as stack:
        sidecar = await _before_providers(start, stack)
        asked = await prometheus(sidecar.admin.removeprefix("http://"))
        load = Load.of_the_demo(sidecar.client)
        found = await _asked_until_all_have_data(asked, load, expressions)
        groups = (await asked.get("/api/v1/rules"))["groups"]
    print(_table(expressions, found))  # noqa: T201 - for whoever runs it with -s
    assert len({expression.where for expression in expressions}) == len(expressions)
    assert {e.where for e in expressions if e.kind in MUST_HAVE and not found[e.where]} == set(EMPTY)
    assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}


async def test_the_hit_rate_is_that_of_the_sessions(start, prometheus, dashboards):
    """Of the five requests of a session four hit, whatever else is asked; and without requests there is no rate."""
    sidecar = await start((DEMO / "config.yaml").read_text())
    asked = await prometheus(sidecar.admin.removeprefix("http://"))
    curves = {panel["title"]: panel["targets"][0]["expr"] for panel in _curves(dashboards["llm-sidecar-pins.json"])}
    hit_rate, kept = _filled(curves["Hit rate"]), _filled(curves["Kept when it came back"])
    await _until(asked, "sidecar_ready == 1")
    assert await asked.query(hit_rate) == []

    await _session(sidecar, "first")
    await _until(asked, 'sidecar_pin_lookups_total{outcome="hit"} == 4')
    for number in range(20):
        await _session(sidecar, f"later-{number}")
    await _until(asked, 'sidecar_pin_lookups_total{outcome="hit"} == 84')
    # A scrape in the middle of the first session sees a little more of its hits than of its miss.
    assert await asked.query(hit_rate) == [({}, pytest.approx(0.8, abs=0.01))]
    assert await asked.query(kept) == [({}, 1.0)]


async def test_promtool_has_nothing_to_say_about_our_exposition(start, promtool):
    async with AsyncExitStack() as stack:
        sidecar = await _before_providers(start, stack)
        await Load.of_the_demo(sidecar.client).once()
        async with sidecar.client.get(f"{sidecar.admin}/metrics") as answer:
            exposed = await answer.read()
    assert await promtool("check", "metrics", stdin=exposed) == (0, "")
    exposed_names = {line.split()[2] for line in exposed.decode().splitlines() if line.startswith("# TYPE")}
    assert {metric.exposed for metric in METRICS} <= exposed_names


async def _asked_until_all_have_data(asked, load, expressions):
    """Where -> the series with a value, for every expression. The load goes on all the while."""
    found = {expression.where: [] for expression in expressions}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        await load.once()
        for expression in expressions:
            if not found[expression.where] or expression.kind not in MUST_HAVE:
                series = await asked.query(_filled(expression.text))
                found[expression.where] = [labels for labels, value in series if not math.isnan(value)]
        if all(found[e.where] or e.where in EMPTY for e in expressions if e.kind in MUST_HAVE):
            break
        await asyncio.sleep(0.2)
    return found


async def _until(asked, expr):
    deadline = time.monotonic() + PATIENCE_S
    while not await asked.query(expr):
        assert time.monotonic() < deadline, expr
        await asyncio.sleep(0.1)


async def _session(sidecar, session):
    """Five requests that pins have a part in, and three that they have none in."""
    for pin in ("refresh", "bypass"):
        await sidecar.decide(x_session_id=f"other-{session}", x_sidecar_pin=pin)
    await sidecar.decide()
    for _ in range(5):
        await sidecar.decide(x_session_id=session)


def _curves(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] == "timeseries"]


def _filled(text):
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return text


def _table(expressions, found):
    rows = [f"{'series':>6}  kind        expression of"]
    for e in expressions:
        note = f"  ({EMPTY[e.where]})" if e.where in EMPTY else ""
        rows.append(f"{len(found[e.where]):>6}  {e.kind:<10}  {e.where}{note}")
    return "\n".join(rows)


# The load: the demo's agents, and everything that goes wrong around them


@define
class Load:
    """Each `once` is a few sessions of the demo and one request of every other kind."""

    client: aiohttp.ClientSession
    steps: tuple[str, ...]
    """The prompts of one session."""
    sessions: itertools.count = field(factory=itertools.count)

    @classmethod
    def of_the_demo(cls, client):
        steps = runpy.run_path(str(DEMO / "demo.py"))["STEPS"]
        return cls(client, tuple(prompt for _, prompt in steps))

    async def once(self):
        await asyncio.gather(
            *(self._agent(number) for number in itertools.islice(self.sessions, 4)),
            self._ask("/v1/chat/completions", {}),
            self._ask("/v1/chat/completions", {}, model="openai/unstable", stream=True),
            self._ask("/v1/chat/completions", {"x-session-id": "a session with spaces"}),
            self._ask("/v1/chat/completions", {"x-session-id": "same", "x-sidecar-pin": "refresh"}),
            self._ask("/v1/chat/completions", {"x-session-id": "same", "x-sidecar-pin": "bypass"}),
            self._ask("/v1/chat/completions", {}, model="anthropic/claude-sonnet-4-20250514", seed=1),
            self._ask("/routing/v1/chat/completions", {"x-claude-code-session-id": "of-a-client"}),
            self._ask("/nowhere", {}),
        )

    async def _agent(self, number):
        """The demo's five steps in one session, half of the sessions streamed."""
        for prompt in self.steps:
            await self._ask("/v1/chat/completions", {"x-session-id": f"agent-{number}"}, prompt, stream=number % 2 == 0)

    async def _ask(self, path, headers, prompt=None, *, model="auto", **more):
        body = {"model": model, "messages": [{"role": "user", "content": prompt or self.steps[1]}], **more}
        async with self.client.post(path, json=body, headers=headers) as answer:
            with suppress(aiohttp.ClientPayloadError):  # of an answer that was broken off on purpose
                await answer.read()


async def _before_providers(start, stack):
    """A sidecar before four providers: two that work, one that is down, and one that breaks off its answers."""
    breaks_off = then_cut(EVENTS_HEAD, chunk(delta("Hel")))
    stories = (_answers_chat, refuses(500, {"message": "down"}), _answers_messages, breaks_off)
    names = ("openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude-sonnet-4-20250514", "openai/unstable")
    providers = [await stack.enter_async_context(serving(story)) for story in stories]
    entries = [entry(provider, name) for provider, name in zip(providers, names, strict=True)]
    routes = yaml.safe_load((DEMO / "config.yaml").read_text())["routing_preferences"]
    # Pins that expire, and more sessions at once than there is room for.
    routing = {"apply_to": ["auto"], "session_ttl_seconds": 2, "session_max_entries": 6}
    return await start(before(*entries, routing_preferences=routes, routing=routing), KEYS)


USAGE = {
    "prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940,
    "prompt_tokens_details": {"cached_tokens": 600},
}  # fmt: skip
LAST = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}
COMPLETE = json.dumps({**json.loads(COMPLETION), "usage": USAGE}).encode()
MESSAGE = json.dumps(
    {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 300, "cache_read_input_tokens": 600, "output_tokens": 40},
    }
).encode()  # fmt: skip


async def _answers_chat(call):
    if call.request.json.get("stream"):
        await streams(delta("Hel"), delta("lo"), delta("", "stop"), event(LAST), DONE)(call)
    else:
        await sends(whole(COMPLETE))(call)


async def _answers_messages(call):
    if call.request.json.get("stream"):
        await streams(*MESSAGES_EVENTS)(call)
    else:
        await sends(whole(MESSAGE))(call)

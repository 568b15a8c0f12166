"""
What becomes of a request when its provider fails: each fault is made on real sockets, and what is seen is written down.

    python tests/fault_table.py            prints the table
    python tests/fault_table.py --write    puts it into README.md

Every fault is met twice: by a session whose route has a second model, in good health, and by one that has no other.
"""

import asyncio
import json
import re
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import trustme
from attrs import Factory, evolve, frozen
from ports import free_port
from provider import (
    CHAT_EVENTS,
    COMPLETION,
    END,
    EVENTS_HEAD,
    KEYS,
    answers,
    before,
    chunk,
    entry,
    hangs,
    head,
    in_turn,
    is_cut,
    refuses,
    serving,
    then_cut,
    then_hangs,
)
from rawclient import connected, request
from running import CODE, Running, chat, serve

from sidecar.config import read_text

README = Path(__file__).parent.parent / "README.md"
BEGIN, FINISH = "<!-- fault table: begin -->\n", "<!-- fault table: end -->\n"


@frozen
class Fault:
    """How the session's own model fails."""

    name: str
    story: Callable[[asyncio.Event], object] = None
    """Made with an event that is set when the client has the first bytes of the answer's body."""
    place: Callable[[], str] | None = None
    """The URL of a place where there is no provider at all."""
    tls: bool = False
    silent: bool = False
    """Whether it takes the connection and never speaks the TLS that it should."""
    stream: bool = False
    entry: dict = Factory(dict)
    """More keys of its entry in `model_providers`."""
    times: int = 1
    """How often in a row; the last time is what is told."""
    hangs_up: str | None = None
    """Whether it is the client who goes: `before` the first byte or `after` it."""


def same(story):
    return lambda _heard: story


def broken_off(last=b"", how="cut"):
    """A stream whose first event the client has when it goes on with `last` and ends."""

    def made(heard):
        async def story(call):
            await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
            await heard.wait()
            await call.send(last)
            await (hangs(call) if how == "hangs" else call.cut())

        return story

    return made


def status(code, error=None, *headers):
    return same(refuses(code, error or {"message": "No."}, *headers))


RATE_LIMIT = {"message": "Slow down.", "code": "rate_limit_exceeded"}
NO_KEY = {"message": "Incorrect API key provided.", "code": "invalid_api_key"}
NO_MODEL = {"message": "The model does not exist.", "code": "model_not_found"}
SHORT = head(200, "OK", "content-type: application/json", "content-length: 500") + COMPLETION[:100]

FAULTS = (
    Fault("connection refused", place=lambda: f"http://127.0.0.1:{free_port()}"),
    Fault("its certificate is not trusted", same(answers(COMPLETION)), tls=True),
    Fault("its name cannot be resolved", place=lambda: "http://name.invalid"),
    Fault("not connected within `connect`", same(hangs), silent=True, entry={"timeouts": {"connect": "50ms"}}),
    Fault("no headers within `first_byte`", same(hangs), entry={"timeouts": {"first_byte": "50ms"}}),
    Fault("429 without `Retry-After`", status(429, RATE_LIMIT)),
    Fault(
        "429 with `Retry-After: 1`, then well again",
        lambda _heard: in_turn(refuses(429, RATE_LIMIT, "retry-after: 1"), answers(COMPLETION)),
    ),
    Fault("429 with `Retry-After: 60`", status(429, RATE_LIMIT, "retry-after: 60")),
    Fault("500", status(500)),
    Fault("503", status(503)),
    Fault("529", status(529)),
    Fault("503, the fifth time in a row", status(503), times=5),
    Fault("401: our key is refused", status(401, NO_KEY)),
    Fault("404: it has no such model", status(404, NO_MODEL)),
    Fault("400: it refuses the request", status(400)),
    Fault("closes instead of answering", same(is_cut)),
    Fault("cut after its headers", same(then_cut(EVENTS_HEAD)), stream=True),
    Fault("cut between two events", broken_off(), stream=True),
    Fault("cut in mid-event", broken_off(chunk(CHAT_EVENTS[1][:40])), stream=True),
    Fault("stalls in mid-stream", broken_off(how="hangs"), stream=True, entry={"timeouts": {"idle": "100ms"}}),
    Fault("malformed chunk in mid-stream", broken_off(b"zz\r\n", how="hangs"), stream=True),
    Fault("malformed chunk at once", same(then_cut(EVENTS_HEAD + b"zz\r\n")), stream=True),
    Fault("`content-length` too long", same(then_cut(SHORT))),
    Fault("the client goes before the first byte", same(hangs), hangs_up="before"),
    Fault(
        "the client goes after the first byte",
        same(then_hangs(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))),
        stream=True,
        hangs_up="after",
    ),
)


@frozen
class Seen:
    """What one request came to."""

    client: str
    """In words."""
    attempts: str
    failover: str
    pin_word: str
    """The answer's `x-sidecar-pin`, without who named the session."""
    pin: str
    """Whether the session has the same model afterwards: `kept` or `moved`."""
    metrics: tuple[str, ...]


async def meet(fault, *, alone, fast_path=True):
    """Makes a fault for a session, with or without another model that could answer."""
    heard = asyncio.Event()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        first = None
        if fault.place is None:
            tls = certificate() if fault.tls else None
            first = await enter(serving(fault.story(heard), tls=tls))
        healthy = in_turn_stream if fault.stream else answers(COMPLETION)
        second = await enter(serving(healthy))
        place = fault.place() if first is None else first.url.replace("http:", "https:" if fault.silent else "http:")
        text = _config(entry(place, **fault.entry), entry(second, "openai/second"), alone=alone, fast_path=fast_path)
        sidecar = await enter(_started(text))
        body = json.dumps(chat(CODE, model="first", stream=fault.stream)).encode()
        asked = request(
            "POST", "/v1/chat/completions", "content-type: application/json", "x-session-id: run-1", body=body
        )
        for _ in range(fault.times - 1):
            async with connected(sidecar.port) as client:
                await client.send(asked)
                await client.heard()
        metrics = await sidecar.metrics()
        async with connected(sidecar.port) as client:
            await client.send(asked)
            answer = await _answer(client, fault, first, heard)
        if fault.hangs_up:
            await asyncio.wait_for(first.gone.wait(), 10)
        moved = _moved(metrics, await sidecar.metrics())
        _, now, _ = await sidecar.decide(chat(CODE), X_Session_Id="run-1")
        return Seen(
            client=_words(answer),
            attempts=(answer and answer.one("x-sidecar-attempts")) or str(len(first.requests)),
            failover=(answer and answer.one("x-sidecar-failover")) or "-",
            pin_word=answer.one("x-sidecar-pin").partition(";")[0] if answer else "-",
            pin="kept" if now["pinned"] and now["model"] == "openai/first" else "moved",
            metrics=moved,
        )


async def in_turn_stream(call):
    await call.send(EVENTS_HEAD, *map(chunk, CHAT_EVENTS), END)


def _config(first, second, *, alone, fast_path):
    listener = {"fast_path": fast_path}
    if alone:
        return before(first, listener=listener)
    route = {"name": "code", "description": "writing functions and code", "models": ["openai/first", "openai/second"]}
    return before(first, second, routing_preferences=[route], listener=listener)


def _started(text):
    config = read_text(text, "fault.yaml", KEYS).config
    config = evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=0))
    stack = AsyncExitStack()

    class Started:
        async def __aenter__(self):
            now = await stack.enter_async_context(serve(config))
            base = f"http://127.0.0.1:{now.listener[1]}"
            client = await stack.enter_async_context(aiohttp.ClientSession(base))
            return Running(client, f"http://127.0.0.1:{now.admin[1]}", now.listener[1])

        async def __aexit__(self, *error):
            await stack.aclose()

    return Started()


async def _answer(client, fault, first, heard):
    """The answer, unless it is the client who goes."""
    if fault.hangs_up is None:
        return await client.heard(began=heard)
    await first.began.wait()
    if fault.hangs_up == "after":
        await client.head()
        await client.chunk()
    client.writer.close()
    return None


def _words(answer):
    """What a client sees, for people."""
    if answer is None:
        return "–"
    if answer.status != 200:
        return f"{answer.status} {_whose(answer)}"
    if answer.ending == "whole":
        return "200, whole"
    error = answer.body.rpartition(b"data: ")[2] if answer.body.endswith(b"\n\n") else b""
    event = f"an error event `{json.loads(error)['error']['code']}`, " if b'"error"' in error else ""
    came = "the events so far, " if event else "what came so far, "
    return f"200, {came}{event}then cut"


def _whose(answer):
    error = answer.json["error"]
    if "param" in error:  # no provider here says it
        return f"`{error['code']}`"
    waits = answer.one("retry-after")
    return "as the provider sent it" + (f", `Retry-After: {waits}`" if waits else "")


_COUNTED = re.compile(r"sidecar_(upstream_attempts|failovers|errors|upstream_ejections)_total\{(.*)\}")


def _moved(earlier, later):
    """The counters that a fault moved, shortened: `failovers{reason="reset",pin="kept"}`."""
    moved = []
    for name, value in sorted(later.items()):
        found = _COUNTED.fullmatch(name)
        by = value - earlier.get(name, 0)
        if found and by:
            labels = re.sub(r',?provider="[^"]*"', "", found[2]).strip(",")
            if 'second"' not in name:
                moved.append(f"{found[1]}{{{labels}}}" + (f" × {by:.0f}" if by > 1 else ""))
    return tuple(moved)


def certificate():
    """A context with a certificate that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def markdown(seen):
    """`seen`: for every fault, in order, what comes of it with another model and alone."""
    lines = [
        "| the session's model … | with another model in the route | attempts | pin | with no other | attempts | counters |",
        "|---|---|---|---|---|---|---|",
    ]
    for fault, (other, alone) in zip(FAULTS, seen, strict=True):
        client = other.client if other.failover == "-" else f"{other.client}; `x-sidecar-failover: {other.failover}`"
        alone_client = "the same" if alone.client == other.client and other.failover == "-" else alone.client
        pin = f"**{other.pin}**" if other.pin == "moved" else other.pin
        counters = " ".join(f"`{name}`" for name in other.metrics)
        cells = (fault.name, client, other.attempts, pin, alone_client, alone.attempts, counters)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


async def met(fault, *, fast_path=True):
    return tuple([await meet(fault, alone=alone, fast_path=fast_path) for alone in (False, True)])


async def main(write):
    table = markdown([await met(fault) for fault in FAULTS])
    if not write:
        print(table)  # noqa: T201 - a script
        return
    text = README.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(FINISH)
    README.write_text(text[:start] + table + text[end:])


if __name__ == "__main__":
    asyncio.run(main("--write" in sys.argv[1:]))

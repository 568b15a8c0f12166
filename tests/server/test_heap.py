"""
That memory does not grow with the number of requests, however they end, and that what they leave goes at once.

Objects are counted, not bytes. The collector is off where it says so: then whatever two objects that know each other keep
alive, a request's body among it, is still there to be counted.
"""

import asyncio
import gc
import json
from collections import Counter

import pytest
from ports import free_port
from provider import (
    CHAT_EVENTS,
    END,
    EVENTS_HEAD,
    KEYS,
    answers,
    before,
    chunk,
    entry,
    hangs,
    head,
    is_cut,
    is_reset,
    refuses,
    sends,
    serving,
    streams,
    then_cut,
    then_hangs,
)
from provider import COMPLETION as WHOLE
from rawclient import connected, request
from running import chat

from sidecar.config import read_text
from sidecar.server import serve

REQUESTS = 150
"""More than the console remembers."""
FEW, MANY = 3, 8
"""Before it is counted, so that what is made once is made; and then."""
SOON_S = 10.0
KNOWN_AFTER = 3
"""Times that a head comes until what follows from it is remembered."""
MESSAGES = "/v1/messages"
"""Before a provider that speaks chat completions: translated."""


async def stream(call):
    await call.send(EVENTS_HEAD, *map(chunk, CHAT_EVENTS), END)


async def requested(sidecar, provider, times):
    """Twice so many requests; how many objects there are then."""
    for _ in range(times):
        await sidecar.decide(chat(), X_Session_Id="s")
        async with sidecar.client.post("/v1/chat/completions", json=chat(stream=True)) as answer:
            assert answer.status == 200
            await answer.read()
    provider.requests.clear()
    gc.collect()
    return len(gc.get_objects())


async def test_what_requests_leave_behind_does_not_grow_with_them(start):
    async with serving(stream) as provider:
        sidecar = await start(before(entry(provider)), KEYS)
        few = await requested(sidecar, provider, REQUESTS)
        many = await requested(sidecar, provider, REQUESTS)
    assert many - few < REQUESTS / 2  # timers that were called off stay until there are a hundred


# Without the collector


@pytest.fixture
def uncollected():
    gc.collect()
    gc.freeze()  # what is there is not counted; nor need it be looked at later, as in tests/conftest.py
    gc.disable()
    yield
    gc.enable()


def ours():
    """Kind -> how many objects of the sidecar's own there are, and frames that ran its code."""
    found = Counter(type(each) for each in gc.get_objects())
    return Counter({kind: count for kind, count in found.items() if str(kind.__module__).startswith("sidecar.")})


async def grown(act, tell=lambda: asyncio.sleep(0)):
    """What there is more of, by `MANY` or above, after so many `act`: nothing, at best, a moment later."""
    for _ in range(FEW):
        await act()
    await tell()
    known = ours()
    for _ in range(MANY):
        await act()
    end = asyncio.get_running_loop().time() + SOON_S
    while True:
        await tell()
        more = {kind.__qualname__: count for kind, count in (ours() - known).items() if count >= MANY}
        if not more or asyncio.get_running_loop().time() > end:
            return more
        await asyncio.sleep(0.01)


async def left_by_calls(sidecar, act):
    """By calls of the listener. A look at the metrics tells of them: what is counted for the first time stays."""
    return await grown(lambda: act(sidecar.port), sidecar.metrics)


def asked(target="/v1/chat/completions", *, stream=False, framing=None, **more):
    body = json.dumps(chat(stream=stream, max_tokens=9, **more)).encode()
    return request("POST", target, "content-type: application/json", "x-session-id: s", body=body, framing=framing)


def asks(*sent, method="POST"):
    """A client that hears the answers, on a connection of its own."""

    async def act(port):
        async with connected(port) as client:
            for each in sent:
                await client.send(each)
                await client.heard(method)

    return act


def asks_late(sent, *more):
    """A client whose bytes come one after the other."""

    async def act(port):
        async with connected(port) as client:
            for each in (sent, *more):
                await client.send(each)
                await asyncio.sleep(0.005)
            await client.heard()

    return act


def leaves(sent, *, reads=False, resets=False):
    """A client that does not wait for the end of its answer."""

    async def act(port):
        async with connected(port) as client:
            await client.send(sent)
            if reads:
                await client.head()
                await client.chunk()
            else:
                await asyncio.sleep(0.005)
            if resets:
                client.reset()

    return act


BEGUN = (EVENTS_HEAD, *map(chunk, CHAT_EVENTS[:2]))
UPLOAD = request("POST", "/v1/files", framing="transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
CHUNKED_BODY = request("POST", MESSAGES, framing="transfer-encoding: chunked", body=b'3\r\n{"a\r\n')
CASES = {
    "decision": (answers(WHOLE), asks(asked("/routing/v1/chat/completions"))),
    "two answers": (answers(WHOLE), asks(asked(), asked(MESSAGES))),
    "stream": (streams(*CHAT_EVENTS), asks(asked(stream=True), asked(MESSAGES, stream=True))),
    "upload": (answers(b"{}"), asks(UPLOAD)),
    "upgrade": (answers(b"{}"), asks(request("GET", "/v1/x", "connection: upgrade", "upgrade: websocket"))),
    "preflight": (hangs, asks(request("OPTIONS", "/v1/x", "origin: http://a"), method="OPTIONS")),
    "nowhere": (hangs, asks(request("GET", "/nowhere"))),
    "no JSON": (hangs, asks(request(body=b"{"))),
    "no HTTP": (hangs, asks(b"NONSENSE\r\n\r\n")),
    "no chunk": (hangs, asks(request("POST", MESSAGES, framing="transfer-encoding: chunked", body=b"zz\r\n"))),
    "no chunk, later": (hangs, asks_late(CHUNKED_BODY, b"zz\r\n")),
    "no chunk in an upload": (hangs, asks_late(UPLOAD[:-5], b"zz\r\n")),
    "too little in an upload": (hangs, asks_late(UPLOAD[:-5])),
    "too little in a body": (hangs, asks_late(CHUNKED_BODY)),
    "refused": (refuses(400, {"message": "no"}), asks(asked())),
    "overloaded": (refuses(503, {"message": "no"}), asks(asked())),
    "reset": (is_reset, asks(asked())),
    "closed": (is_cut, asks(asked())),
    "no answer of HTTP": (then_cut(b"SMTP ready\r\n\r\n"), asks(asked())),
    "half a head": (then_cut(b"HTTP/1.1 200 OK\r\ncontent-le"), asks(asked())),
    "cut": (then_cut(head(200, "OK", "content-length: 9"), b"{"), asks(asked())),
    "cut, translated": (then_cut(head(200, "OK", "content-length: 9"), b"{"), asks(asked(MESSAGES))),
    "no JSON of the provider's": (answers(b"{"), asks(asked(MESSAGES))),
    "cut stream": (then_cut(*BEGUN), asks(asked(stream=True))),
    "cut stream, translated": (then_cut(*BEGUN), asks(asked(MESSAGES, stream=True))),
    "malformed stream": (sends(*BEGUN, b"this is no chunk\r\n"), asks(asked(stream=True))),
    "events of no JSON": (streams(b"data: {\n\n"), asks(asked(MESSAGES, stream=True))),
    "switched": (sends(head(101, "Switching", "upgrade: x", "connection: upgrade")), asks(asked())),
    "silent": (hangs, asks(asked())),
    "stalled": (then_hangs(*BEGUN), asks(asked(stream=True))),
    "client gone before": (hangs, leaves(asked())),
    "client gone amid": (then_hangs(*BEGUN), leaves(asked(stream=True), reads=True)),
    "client reset amid": (then_hangs(*BEGUN), leaves(asked(MESSAGES, stream=True), reads=True, resets=True)),
    "client gone in its body": (hangs, leaves(asked(framing="content-length: 90000"))),
    "client gone in an upload": (hangs, leaves(UPLOAD[:-5])),
}
LENIENT = {
    "outlier_detection": {"consecutive_5xx": 1000, "consecutive_gateway_failure": 1000},
    "listeners": [{"type": "model", "limits": {"body_timeout": "50ms"}}],
}
HASTY = {"max_attempts": 2}
PATIENCE = {"timeouts": {"first_byte": "50ms", "idle": "50ms"}}
"""What a test waits for a silent provider."""


async def test_a_request_leaves_nothing_for_the_collector_however_it_ends(start, uncollected):
    found = {}
    async with serving() as provider:
        sidecar = await start(before(entry(provider, **PATIENCE), routing=HASTY, **LENIENT), KEYS)
        for case, (story, act) in CASES.items():
            provider.story = story
            if left := await left_by_calls(sidecar, act):
                found[case] = left
    assert found == {}


async def test_a_provider_that_is_not_there_leaves_nothing_for_the_collector(start, uncollected):
    sidecar = await start(before(entry(f"http://127.0.0.1:{free_port()}"), routing=HASTY), KEYS)
    assert await left_by_calls(sidecar, asks(asked())) == {}


async def test_a_configuration_that_is_replaced_goes_without_the_collector(uncollected):
    text = before(entry("http://127.0.0.1:9"), admin={"port": 0}, listeners=[{"type": "model", "port": 0}])
    config = read_text(text, "test.yaml", KEYS).config
    async with serve(config, again=lambda: config) as serving:
        assert await grown(lambda: serving.reloads.reload("test")) == {}


async def test_a_configuration_that_was_asked_goes_without_the_collector_too(uncollected):
    """Also what it remembers by the heads of requests."""
    async with serving(answers(WHOLE)) as provider:
        text = before(entry(provider), admin={"port": 0}, listeners=[{"type": "model", "port": 0}])
        config = read_text(text, "test.yaml", KEYS).config
        async with serve(config, again=lambda: config) as running, connected(running.listener[1]) as client:

            async def asked_and_replaced():
                for _ in range(KNOWN_AFTER):
                    await client.send(request(body=json.dumps(chat(model="openai/first")).encode()))
                    assert (await client.heard()).status == 200
                provider.requests.clear()
                await running.reloads.reload("test")

            async def tell():
                async with connected(running.admin[1]) as admin:
                    await admin.send(request("GET", "/metrics"))
                    await admin.heard("GET")

            assert await grown(asked_and_replaced, tell) == {}

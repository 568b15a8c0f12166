"""
What happens to the bytes between a client and a provider, with raw sockets at both ends: style.md's list of what
proxies get wrong, and what else a stream may hold.
"""

import asyncio
import gzip
import json
import zlib

import pytest
from ports import free_port
from provider import (
    CHAT_EVENTS,
    COMPLETION,
    DONE,
    END,
    EVENTS_HEAD,
    KEYS,
    MESSAGES_EVENTS,
    RESPONSES_EVENTS,
    answers,
    before,
    chunk,
    delta,
    entry,
    hangs,
    head,
    then_hangs,
)
from rawclient import connected, request
from running import CODE, REASONING, chat

JSON = "content-type: application/json"
ASK = json.dumps(chat()).encode()
STREAM = json.dumps(chat(stream=True)).encode()
EVENTS = b"".join(CHAT_EVENTS)

FORMATS = {
    "chat/completions": (chat(stream=True), CHAT_EVENTS),
    "messages": (
        {"model": "first", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "x"}]},
        MESSAGES_EVENTS,
    ),
    "responses": ({"model": "first", "stream": True, "input": "x"}, RESPONSES_EVENTS),
}


def post(body=ASK, *headers, target="/v1/chat/completions", **more):
    return request("POST", target, JSON, *headers, body=body, **more)


def proxy(provider, model="openai/first", **more):
    return before(entry(provider, model), **more)


# The twelve


async def test_the_first_chunk_leaves_before_the_last_arrives(start, provider):
    arrived = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await asyncio.wait_for(arrived.wait(), 10)
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(STREAM))
        await client.head()
        assert await client.chunk() == CHAT_EVENTS[0]
        arrived.set()
        assert b"".join([piece async for piece in client.chunks()]) == b"".join(CHAT_EVENTS[1:])


@pytest.mark.parametrize("when", ["before the head", "after the head", "in mid-stream"])
@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_client_that_hangs_up_ends_the_upstream_call(start, provider, when, how):
    provider.story = {
        "before the head": hangs,
        "after the head": then_hangs(EVENTS_HEAD),
        "in mid-stream": then_hangs(EVENTS_HEAD, chunk(CHAT_EVENTS[0])),
    }[when]
    sidecar = await start(proxy(provider, listener={"sse_keepalive_seconds": 0.02}), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(STREAM))
        await provider.began.wait()
        if when != "before the head":
            await client.head()
            await client.chunk()
        client.reset() if how == "RST" else client.writer.close()
        await asyncio.wait_for(provider.gone.wait(), 10)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_errors_total{code="client_gone"}'] == 1
    assert metrics['sidecar_pin_lookups_total{outcome="none",source="none"}'] == 1, "its decision counts all the same"


@pytest.mark.parametrize("how", ["cut", "reset"])
@pytest.mark.parametrize("form", FORMATS)
async def test_an_upstream_that_is_cut_between_events_is_seen_as_cut_after_an_error_event(start, provider, form, how):
    body, events = FORMATS[form]
    arrived = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(events[0]))
        await arrived.wait()
        await getattr(call, how)()

    provider.story = story
    model = "anthropic/first" if form == "messages" else "openai/first"
    sidecar = await start(proxy(provider, model), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(json.dumps(body).encode(), target=f"/v1/{form}"))
        await client.head()
        assert await client.chunk() == events[0]
        arrived.set()
        last = await client.chunk()
        with pytest.raises(asyncio.IncompleteReadError):
            await client.chunk()
    told = json.loads(last.partition(b"data: ")[2])
    if form == "messages":
        assert last.startswith(b"event: error\n")
        assert (told["type"], told["error"]["type"]) == ("error", "api_error")
    elif form == "responses":
        assert last.startswith(b"event: error\n")
        assert (told["type"], told["code"]) == ("error", "upstream_reset")
    else:
        assert told["error"]["code"] == "upstream_reset"
    assert (await sidecar.metrics())['sidecar_errors_total{code="upstream_reset"}'] == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upstream_that_is_cut_in_mid_event_is_seen_as_cut_with_nothing_put_in(start, provider, chunked):
    piece = CHAT_EVENTS[0][:-30]
    framing = "transfer-encoding: chunked" if chunked else "content-length: 5000"
    arrived = asyncio.Event()

    async def story(call):
        await call.send(head(200, "OK", "content-type: text/event-stream", framing), chunk(piece) if chunked else piece)
        await arrived.wait()
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(STREAM))
        await client.head()
        assert await client.chunk() == piece
        arrived.set()
        with pytest.raises(asyncio.IncompleteReadError):
            await client.chunk()


async def test_a_body_that_is_no_stream_and_is_cut_is_seen_as_cut(start, provider, ask):
    async def story(call):
        await call.send(head(200, "OK", JSON, "content-length: 500"), COMPLETION[:100])
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.ending, heard.body) == (200, "cut", COMPLETION[:100])


async def test_a_stream_with_a_length_that_is_cut_is_not_filled_up_by_its_error_event(start, provider):
    """An error event as long as what is missing would make the answer look whole."""
    missing = 20
    arrived = asyncio.Event()

    async def story(call):
        length = f"content-length: {len(CHAT_EVENTS[0]) + missing}"
        await call.send(head(200, "OK", "content-type: text/event-stream", length), CHAT_EVENTS[0])
        await arrived.wait()
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(STREAM))
        heard = asyncio.ensure_future(client.heard())
        await provider.began.wait()
        arrived.set()
        assert (await heard).ending == "cut"


async def test_a_silent_upstream_is_a_504(start, provider, ask):
    provider.story = hangs
    quick = entry(provider, timeouts={"first_byte": "50ms"})
    sidecar = await start(before(quick), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.json["error"]["code"]) == (504, "upstream_timeout")
    await asyncio.wait_for(provider.gone.wait(), 10)


async def test_unknown_fields_and_the_way_numbers_are_written_arrive_as_they_were_sent(start, provider, ask):
    body = (
        b'{ "zz" : {"model":"x", "n":1.0e+2, "big":12345678901234567890123, "e":"\\u00e9\xc3\xa9"},\n'
        b'  "model" : "first" , "messages":[{"role":"user","content":"x","model":"y"}],"a":[ ],"temperature":0.70 }'
    )
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, post(body, target="/v1/chat/completions?beta=true&x=%2f"))).body == COMPLETION
    assert provider.last.body == body
    assert provider.last.target == "/v1/chat/completions?beta=true&x=%2f"


async def test_repeated_headers_stay_repeated_both_ways_and_in_order(start, provider, ask):
    provider.story = answers(COMPLETION, "x-out: 1", "x-other: 3", "X-Out: 2")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(ASK, "x-in: a", "x-between: c", "X-In: b, d", "x-in: a"))
    assert provider.last.all("x-in") == ["a", "b, d", "a"]
    assert heard.all("x-out") == ["1", "2"]


async def test_hop_by_hop_headers_stop_both_ways(start, provider, ask):
    there = ("connection: keep-alive, x-mine", "x-mine: 1", "te: trailers", "keep-alive: timeout=5")
    more = ("proxy-authorization: basic abc", "trailer: x", "upgrade: h2c", "proxy-connection: keep-alive")
    back = ("connection: x-theirs", "x-theirs: 1", "keep-alive: timeout=9", "proxy-authenticate: basic", "upgrade: h3")
    provider.story = answers(COMPLETION, *back)
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(ASK, *there, *more))
    stopped = {line.partition(":")[0] for line in (*there, *more, *back)}
    assert not stopped & {name.lower() for name, _ in provider.last.headers}
    assert not stopped & {name.lower() for name, _ in heard.headers}


ASKS_USAGE = json.dumps(chat(stream=True, stream_options={"include_usage": True})).encode()
"""Of a client that does not, the answer has to be read: see test_usage."""
BR = bytes.fromhex("0b0280") + b"hello" + b"\x03"
"""`hello` as brotli writes what it cannot make smaller."""


@pytest.mark.parametrize(
    ("encoding", "body"), [("gzip", gzip.compress(EVENTS)), ("br", BR), ("zstd", b"\x28\xb5/\xfd.")]
)
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_compressed_answer_comes_as_it_is_with_nothing_put_in(start, provider, ask, encoding, body, kind):
    async def story(call):
        await call.send(
            head(200, "OK", f"content-type: {kind}", f"content-encoding: {encoding}", "transfer-encoding: chunked")
        )
        for at in range(len(body)):
            await call.send(chunk(body[at : at + 1]))
        await asyncio.sleep(0.03)
        await call.send(END)

    provider.story = story
    sidecar = await start(proxy(provider, listener={"sse_keepalive_seconds": 0.005}), KEYS)
    heard = await ask(sidecar.port, post(ASKS_USAGE, f"accept-encoding: {encoding}"))
    assert (heard.body, heard.ending, heard.all("content-encoding")) == (body, "whole", [encoding])
    assert provider.last.all("accept-encoding") == [encoding]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_request_arrives_plain_and_says_so(start, provider, ask, encoding, compress):
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, post(compress(ASK), f"content-encoding: {encoding}"))).status == 200
    assert (json.loads(provider.last.body)["messages"], provider.last.all("content-encoding")) == (
        chat()["messages"],
        [],
    )


@pytest.mark.parametrize("model", ["openai/first", "anthropic/first"])
async def test_a_character_split_over_two_chunks_survives(start, provider, ask, model):
    """Untouched, and through a translator."""
    if model == "openai/first":
        events = delta("🦜é").decode().encode().replace(b"\\ud83e\\udd9c\\u00e9", "🦜é".encode()) + DONE
    else:
        events = b"".join(MESSAGES_EVENTS).replace(b"Hello", "🦜é".encode())
    parrot = "🦜é".encode()
    assert parrot in events

    async def story(call):
        await call.send(EVENTS_HEAD)
        for at in range(len(events)):
            await call.send(chunk(events[at : at + 1]))
            if events[at] > 0x7F:
                await asyncio.sleep(0.005)  # so that they are read one by one
        await call.send(END)

    provider.story = story
    sidecar = await start(proxy(provider, model), KEYS)
    heard = await ask(sidecar.port, post(STREAM))
    assert heard.ending == "whole"
    assert parrot in heard.body or b"\\ud83e\\udd9c\\u00e9" in heard.body
    if model == "openai/first":
        assert heard.body == events


async def test_two_first_turns_at_once_get_one_model(start, provider, ask):
    sidecar = await start(routed(provider), KEYS)
    asked = [
        post(json.dumps(chat(prompt)).encode(), "x-session-id: run-1")
        for prompt in (CODE, REASONING)
        for _ in range(10)
    ]
    heard = await asyncio.gather(*(ask(sidecar.port, one) for one in asked))
    assert len({one.one("x-sidecar-model") for one in heard}) == 1
    assert len({received.json["model"] for received in provider.requests}) == 1


async def test_a_failing_classifier_never_fails_the_request(start, provider, ask):
    broken = {"type": "llm", "base_url": f"http://127.0.0.1:{free_port()}", "model": "router"}
    sidecar = await start(routed(provider, classifier=broken), KEYS)
    heard = await ask(sidecar.port, post(json.dumps(chat(model="openai/second")).encode()))
    assert (heard.status, heard.body, heard.one("x-sidecar-model")) == (200, COMPLETION, "openai/second")


def routed(provider, classifier=None):
    """Three models of one provider, behind two routes."""
    return before(
        entry(provider),
        entry(provider, "openai/second"),
        entry(provider, "openai/third"),
        routing_preferences=[
            {"name": "code", "description": "writing functions and code", "models": ["openai/second", "openai/third"]},
            {"name": "reasoning", "description": "analysis of trade-offs", "models": ["openai/third"]},
        ],
        routing={"classifier": classifier or "embedded"},
    )


async def test_leaving_serve_lets_a_running_stream_finish(start, stopping, provider):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    provider.story = story
    port, stop = await stopping(proxy(provider), KEYS)
    async with connected(port) as client:
        await client.send(post(STREAM))
        heard = asyncio.ensure_future(client.heard())
        await provider.began.wait()
        stop.set()
        await refused(port)
        gate.set()
        assert ((await heard).body, (await heard).ending) == (EVENTS, "whole")


async def refused(port):
    """Once nobody listens there any more."""
    async with asyncio.timeout(10):
        while True:
            try:
                async with connected(port) as client:
                    await client.reader.read()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # it was in the backlog when the listener was closed

"""Streams that are long, large, slow, silent or broken: what the client sees, and what waits in between."""

import asyncio
import json
import os

import pytest
from provider import (
    CHAT_EVENTS,
    DONE,
    END,
    EVENTS_HEAD,
    KEYS,
    MESSAGES_EVENTS,
    RESPONSES_EVENTS,
    before,
    chunk,
    delta,
    entry,
    event,
    hangs,
    head,
    sends,
    then_hangs,
    whole,
)
from rawclient import connected, request
from running import chat

STREAM = json.dumps(chat(stream=True)).encode()
MESSAGES = {"model": "first", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "x"}]}
FORMATS = {
    "chat/completions": ("openai/first", chat(stream=True), CHAT_EVENTS, b": keep-alive\n\n"),
    "responses": (
        "openai/first",
        {"model": "first", "stream": True, "input": "x"},
        RESPONSES_EVENTS,
        b": keep-alive\n\n",
    ),
    "messages": ("anthropic/first", MESSAGES, MESSAGES_EVENTS, b'event: ping\ndata: {"type": "ping"}\n\n'),
}
PAIRS = {f"{form} translated": (form, "anthropic/first" if form != "messages" else "openai/first") for form in FORMATS}
MIB = 1024 * 1024


def post(body=STREAM, form="chat/completions", *headers):
    return request("POST", f"/v1/{form}", "content-type: application/json", *headers, body=body)


def proxy(provider, model="openai/first", keepalive_s=15, **more):
    return before(entry(provider, model, **more), listener={"sse_keepalive_seconds": keepalive_s})


# Large and long


async def test_a_stream_of_50_000_chunks_comes_whole(start, provider, ask):
    events = [delta(str(number)) for number in range(50_000)]
    batches = [b"".join(map(chunk, events[at : at + 100])) for at in range(0, len(events), 100)]
    provider.story = sends(EVENTS_HEAD, *batches, chunk(DONE), END)
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert heard.ending == "whole"
    assert heard.body == b"".join(events) + DONE


@pytest.mark.parametrize("model", ["openai/first", "anthropic/first"])
async def test_an_event_of_a_mebibyte_comes_whole(start, provider, ask, model):
    text = "0123456789abcdef" * (MIB // 16)
    if model == "openai/first":
        events = delta(text) + DONE
    else:
        events = b"".join(MESSAGES_EVENTS).replace(b"Hello", text.encode())
    provider.story = sends(EVENTS_HEAD, *(chunk(events[at : at + 9999]) for at in range(0, len(events), 9999)), END)
    sidecar = await start(proxy(provider, model), KEYS)
    heard = await ask(sidecar.port, post())
    assert heard.ending == "whole"
    assert text.encode() in heard.body
    assert model != "openai/first" or heard.body == events


async def test_a_request_of_ten_mebibytes_arrives_whole(start, provider, ask):
    body = json.dumps(chat("0123456789abcdef" * (10 * MIB // 16))).encode()
    provider.story = sends(whole(b"{}"))
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, post(body))).status == 200
    assert provider.last.body == body.replace(b'"model": "gpt-4o-mini"', b'"model": "first"')


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
async def test_whatever_ends_the_lines_of_events_stays(start, provider, ask, end):
    events = b"".join(CHAT_EVENTS).replace(b"\n\n", end)
    provider.story = sends(EVENTS_HEAD, *(chunk(events[at : at + 1]) for at in range(len(events))), END)
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, post())).body == events


# Keep-alives


@pytest.mark.parametrize("form", FORMATS)
async def test_a_silence_after_the_head_is_broken_by_what_the_format_has_for_it(start, provider, form):
    model, body, events, alive = FORMATS[form]
    heard_one = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD)
        await heard_one.wait()
        await call.send(*map(chunk, events), END)

    provider.story = story
    sidecar = await start(proxy(provider, model, keepalive_s=0.02), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(json.dumps(body).encode(), form))
        assert (await client.head())[0] == 200
        assert [await client.chunk(), await client.chunk()] == [alive, alive]
        heard_one.set()
        rest = b"".join([piece async for piece in client.chunks()])
    assert rest.replace(alive, b"") == b"".join(events)


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_translated_stream_is_kept_alive_too(start, provider, pair):
    form, model = PAIRS[pair]
    events = MESSAGES_EVENTS if model.startswith("anthropic") else CHAT_EVENTS
    heard_one = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(events[0]), chunk(events[1][:20]))
        await heard_one.wait()
        await call.send(chunk(events[1][20:]), *map(chunk, events[2:]), END)

    provider.story = story
    sidecar = await start(proxy(provider, model, keepalive_s=0.02), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(json.dumps(FORMATS[form][1]).encode(), form))
        await client.head()
        while await client.chunk() != FORMATS[form][3]:
            pass
        heard_one.set()
        rest = b"".join([piece async for piece in client.chunks()])
    assert b"lo" in rest


async def test_a_keep_alive_is_never_put_into_an_event(start, provider):
    """Not even where a line has just ended, or half of a CRLF."""
    whole_event = CHAT_EVENTS[0].replace(b"\n\n", b"\r\n\r\n")
    cuts = [1, 5, len(whole_event) - 4, len(whole_event) - 3, len(whole_event) - 2, len(whole_event) - 1]
    at = iter(cuts)
    goes_on = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD)
        sent = 0
        for cut in at:
            await call.send(chunk(whole_event[sent:cut]))
            sent = cut
            await asyncio.sleep(0.03)
        await call.send(chunk(whole_event[sent:]))
        await goes_on.wait()
        await call.send(chunk(DONE), END)

    provider.story = story
    sidecar = await start(proxy(provider, keepalive_s=0.005), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post())
        await client.head()
        heard = b""
        while not heard.endswith(b"\r\n\r\n: keep-alive\n\n"):
            heard += await client.chunk()
        goes_on.set()
        heard += b"".join([piece async for piece in client.chunks()])
    assert heard.replace(b": keep-alive\n\n", b"") == whole_event + DONE
    assert whole_event in heard


async def test_a_body_that_is_no_stream_of_events_is_never_kept_alive(start, provider, ask):
    async def story(call):
        await call.send(head(200, "OK", "content-type: application/json", "transfer-encoding: chunked"))
        await asyncio.sleep(0.04)
        await call.send(chunk(b"{}"), END)

    provider.story = story
    sidecar = await start(proxy(provider, keepalive_s=0.01), KEYS)
    assert (await ask(sidecar.port, post())).body == b"{}"


async def test_keep_alives_do_not_hide_a_provider_that_stays_silent(start, provider, ask):
    provider.story = then_hangs(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
    sidecar = await start(proxy(provider, keepalive_s=0.02, timeouts={"idle": "100ms"}), KEYS)
    heard = await ask(sidecar.port, post())
    assert heard.ending == "cut"
    told = heard.body.removeprefix(CHAT_EVENTS[0]).replace(b": keep-alive\n\n", b"")
    assert json.loads(told.removeprefix(b"data: "))["error"]["code"] == "upstream_timeout"


# Broken


async def test_a_malformed_chunk_in_mid_stream_is_seen_as_cut_and_not_waited_out(start, provider):
    arrived = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await arrived.wait()
        await call.send(b"zz\r\nno chunk\r\n")
        await hangs(call)

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post())
        await client.head()
        assert await client.chunk() == CHAT_EVENTS[0]
        arrived.set()
        assert b"upstream_reset" in await client.chunk()
        with pytest.raises(asyncio.IncompleteReadError):
            await client.chunk()


@pytest.mark.parametrize("pair", PAIRS)
async def test_a_translated_stream_that_breaks_ends_with_an_error_event_and_a_cut(start, provider, pair):
    form, model = PAIRS[pair]
    events = MESSAGES_EVENTS if model.startswith("anthropic") else CHAT_EVENTS
    arrived = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, *map(chunk, events[:2]), chunk(events[2][:30]))
        await arrived.wait()
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider, model), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(json.dumps(FORMATS[form][1]).encode(), form))
        await client.head()
        await client.chunk()
        arrived.set()
        heard = (await _rest(client)).rpartition(b"data: ")[2]
    assert b"error" in heard
    assert b"[DONE]" not in heard


async def _rest(client):
    """What still comes before the cut; fails when there is none."""
    heard = b""
    while True:
        try:
            piece = await client.chunk()
        except asyncio.IncompleteReadError:
            return heard
        assert piece, "it ended as if it were whole"
        heard += piece


async def test_what_came_before_a_cut_is_relayed_before_it(start, provider, ask):
    events = [delta(str(number)) for number in range(500)]

    async def story(call):
        await call.send(EVENTS_HEAD, *map(chunk, events))
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert heard.ending == "cut"
    assert b"".join(events) in heard.body


async def test_what_came_before_a_cut_reaches_even_a_client_that_did_not_read_yet(start, provider):
    """More than the sockets hold, so that some of it waits in the sidecar when the provider is gone."""
    events = [event({"x": "y" * 8000, "n": number}) for number in range(700)]

    async def story(call):
        await call.send(EVENTS_HEAD, *map(chunk, events))
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port, receive_buffer_bytes=4096) as client:
        client.writer.transport.pause_reading()
        await client.send(post())
        await pushed_at_most(provider)
        client.writer.transport.resume_reading()
        heard = await client.heard()
    assert heard.ending == "cut"
    assert heard.body.startswith(b"".join(events))


async def test_a_client_of_http_1_0_sees_a_cut_as_a_reset(start, provider):
    arrived = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await arrived.wait()
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post().replace(b"HTTP/1.1", b"HTTP/1.0"))
        _, headers = await client.head()
        assert "transfer-encoding" not in {name.lower() for name, _ in headers}
        assert await client.reader.readexactly(len(CHAT_EVENTS[0])) == CHAT_EVENTS[0]
        arrived.set()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_a_client_of_http_1_0_gets_a_stream_to_its_end(start, provider, ask):
    provider.story = sends(EVENTS_HEAD, *map(chunk, CHAT_EVENTS), END)
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (heard.status, heard.body, heard.ending) == (200, b"".join(CHAT_EVENTS), "whole")


# Back-pressure


async def test_a_slow_client_slows_the_provider_and_little_waits_in_between(start, provider):
    """
    The client reads nothing at first. What the provider can then send is what fits into the sockets' own buffers and
    the 192 KiB of ours; it is far less than the stream.
    """
    piece = chunk(event({"x": "y" * 16_000}))
    pieces = 2000
    provider.story = sends(EVENTS_HEAD, *[piece] * pieces, END)
    provider.send_buffer_bytes = 64 * 1024
    sidecar = await start(proxy(provider), KEYS)
    memory = resident_bytes()
    async with connected(sidecar.port, receive_buffer_bytes=64 * 1024) as client:
        client.writer.transport.pause_reading()
        await client.send(post())
        assert await pushed_at_most(provider) < 12 * MIB < pieces * len(piece)
        assert resident_bytes() - memory < 12 * MIB
        client.writer.transport.resume_reading()
        heard = await client.heard()
    assert (len(heard.body), heard.ending) == (pieces * 16_017, "whole")


async def pushed_at_most(provider):
    """The bytes that the provider could send once it cannot send more, or is done."""
    async with asyncio.timeout(10):
        await provider.began.wait()
        before = -1
        while provider.pushed != before:
            before = provider.pushed
            await asyncio.sleep(0.1)
    return before


def resident_bytes():
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

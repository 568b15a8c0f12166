"""What clients may take: each limit, reached; and that whoever keeps within them notices nothing."""

import asyncio
import json
import time
from contextlib import AsyncExitStack

import pytest
from provider import COMPLETION, EVENTS_HEAD, KEYS, answers, before, chunk, entry
from rawclient import connected, request

from sidecar.config.models import Limits
from sidecar.errors import SidecarError

CHAT = b'{"model":"openai/first","messages":[{"role":"user","content":"hi"}]}'
LONG_S = 10.0
CLIENTS = 24


async def says_path(incoming, outlet):
    outlet.whole(200, None, [], incoming.path.encode())


async def ends(client):
    """What came until the other side closed."""
    return await asyncio.wait_for(client.reader.read(), LONG_S)


def reached(plainly, name):
    return plainly.server.bounds.reached[name,]


def limits(provider, **of_the_listener):
    return before(entry(provider), listeners=[{"type": "model", "limits": of_the_listener}])


# How many


async def test_a_connection_too_many_is_told_to_come_back_and_closed(plainly):
    port = await plainly(says_path, limits=Limits(max_connections=2))
    async with connected(port) as one, connected(port) as two:
        for client in (one, two):
            await client.send(request("GET", "/1"))
            await client.heard()
        async with connected(port) as third:
            await third.send(request("GET", "/1"))
            heard = await third.heard()
            assert (heard.status, heard.one("retry-after"), heard.one("connection")) == (503, "1", "close")
            assert heard.json["error"]["code"] == heard.one("x-sidecar-error") == "overloaded"
            assert await ends(third) == b""
        await one.send(request("GET", "/2"))
        assert (await one.heard()).body == b"/2"
    assert reached(plainly, "max_connections") == 1
    async with asyncio.timeout(LONG_S):
        while plainly.server.bounds.connections:  # noqa: ASYNC110 - the server's end of it is no event here
            await asyncio.sleep(0.01)
    async with connected(port) as again:
        await again.send(request("GET", "/3"))
        assert (await again.heard()).body == b"/3"


async def test_who_is_turned_away_and_stays_is_closed_all_the_same(plainly):
    port = await plainly(says_path, limits=Limits(max_connections=1))
    async with connected(port) as one, AsyncExitStack() as others:
        await one.send(request("GET", "/1"))
        await one.heard()
        clients = [await others.enter_async_context(connected(port)) for _ in range(300)]
        for client in clients:
            assert (await client.heard()).status == 503
    assert reached(plainly, "max_connections") == 300


@pytest.mark.parametrize(("path", "named"), [("/v1/messages", "error"), ("/v1/chat/completions", None)])
async def test_a_request_too_many_is_told_so_in_its_own_shape_and_the_connection_goes_on(start, provider, path, named):
    gate = asyncio.Event()

    async def waits(call):
        await gate.wait()
        await answers(COMPLETION)(call)

    provider.story = waits
    sidecar = await start(limits(provider, max_requests=1), KEYS)
    async with connected(sidecar.port) as one, connected(sidecar.port) as two:
        await one.send(request(body=CHAT))
        await provider.began.wait()
        await two.send(request("POST", path, body=CHAT))
        heard = await two.heard()
        assert (heard.status, heard.one("retry-after"), heard.one("connection")) == (503, "1", None)
        assert heard.one("x-request-id")
        assert heard.json.get("type") == named, "Anthropic's clients know another shape"
        assert heard.one("x-sidecar-error") == "overloaded"
        gate.set()
        assert (await one.heard()).status == 200
        await two.send(request(body=CHAT))
        assert (await two.heard()).status == 200
    await sidecar.shows('sidecar_http_limits_total{limit="max_requests"}', 1)
    await sidecar.shows('sidecar_errors_total{code="overloaded"}', 1)


async def test_the_last_answer_of_a_connection_says_so(plainly):
    async with connected(await plainly(says_path, limits=Limits(max_requests_per_connection=2))) as client:
        await client.send(request("GET", "/1"))
        assert (await client.heard()).one("connection") is None
        await client.send(request("GET", "/2"))
        heard = await client.heard()
        assert (heard.body, heard.one("connection")) == (b"/2", "close")
        assert await ends(client) == b""
    assert reached(plainly, "max_requests_per_connection") == 1


async def test_so_does_the_last_answer_that_is_a_stream(start, provider):
    provider.story = answers(COMPLETION)
    sidecar = await start(limits(provider, max_requests_per_connection=1), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(request("POST", "/v1/files", "content-type: text/plain", body=b"hi"))
        heard = await client.heard()
        assert (heard.ending, heard.one("connection")) == ("whole", "close")
        assert await ends(client) == b""


async def test_an_old_connection_ends_with_its_next_answer(plainly):
    allowed = Limits(max_connection_age_s=0.4, header_timeout_s=0.4)
    async with connected(await plainly(says_path, limits=allowed)) as client:
        await client.send(request("GET", "/1"))
        assert (await client.heard()).one("connection") is None
        async with asyncio.timeout(LONG_S):
            while not reached(plainly, "max_connection_age"):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        await client.send(request("GET", "/2"))
        heard = await client.heard()
        assert (heard.body, heard.one("connection")) == (b"/2", "close")
        assert await ends(client) == b""


# How much


@pytest.mark.parametrize(
    ("lines", "limit"),
    [
        ([f"x-{number}: 1" for number in range(20)], "max_headers"),
        (["x-long: " + "a" * 2000], "max_header_bytes"),
        (["x" * 2000 + ": 1"], "max_header_bytes"),
    ],
    ids=["many", "long", "long name"],
)
async def test_a_head_past_its_limits_is_refused(plainly, lines, limit):
    async with connected(await plainly(says_path, limits=Limits(max_headers=10, max_header_bytes=1024))) as client:
        await client.send(request("GET", "/1", *lines))
        heard = await client.heard()
        assert (heard.status, heard.body) == (431, b"head_too_large")
        assert await ends(client) == b""
    assert reached(plainly, limit) == 1


async def test_a_head_that_comes_in_pieces_without_end_is_refused(plainly):
    async with connected(await plainly(says_path, limits=Limits(max_header_bytes=1024))) as client:
        await client.send(b"GET / HTTP/1.1\r\nhost: a\r\n")
        for number in range(100):
            if client.reader.at_eof() or client.reader._buffer:
                break
            await client.send(b"x-%d: %b\r\n" % (number, b"a" * 500))
            await asyncio.sleep(0.002)
        assert (await client.heard()).status == 431
        assert number < 20
    assert reached(plainly, "max_header_bytes") == 1


# How long


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nhost: a\r\nx-", b"GET / HTTP/1.1\r\nhost: a\r\n"])
async def test_a_head_that_does_not_come_to_its_end_is_given_up(plainly, begun):
    async with connected(await plainly(says_path, limits=Limits(header_timeout_s=0.1))) as client:
        await client.send(begun)
        heard = await client.heard()
        assert (heard.status, heard.body) == (408, b"header_timeout")
        assert await ends(client) == b""
    assert reached(plainly, "header_timeout") == 1


async def test_so_is_the_head_of_a_later_request(plainly):
    async with connected(await plainly(says_path, limits=Limits(header_timeout_s=0.1))) as client:
        await client.send(request("GET", "/1"))
        await client.heard()
        await asyncio.sleep(0.2)  # longer than a head may take: nothing has begun
        await client.send(b"GET /2 HTTP/1.1\r\n")
        assert (await client.heard()).status == 408


async def test_who_connects_and_says_nothing_hears_nothing(plainly):
    async with connected(await plainly(says_path, limits=Limits(header_timeout_s=0.1))) as client:
        assert await ends(client) == b""
    assert reached(plainly, "header_timeout") == 1


async def test_nobody_is_late_because_we_were_held_up(plainly):
    await plainly(says_path, limits=Limits(header_timeout_s=0.1))
    loop, made = asyncio.get_running_loop(), []

    def held_up():
        made.append(plainly.server())
        if len(made) == CLIENTS:
            loop.call_soon(time.sleep, 0.2)
        return made[-1]

    async def answered(port):
        async with connected(port) as client:
            await client.send(request("GET", "/1"))
            return (await client.heard()).status

    listening = await loop.create_server(held_up, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        assert await asyncio.gather(*[answered(port) for _ in range(CLIENTS)]) == [200] * CLIENTS
    assert reached(plainly, "header_timeout") == 0


async def test_slow_is_only_who_sends_and_not_who_answers(plainly):
    async def takes_long(incoming, outlet):
        await asyncio.sleep(0.3)
        await says_path(incoming, outlet)

    allowed = Limits(header_timeout_s=0.1, body_timeout_s=0.1, keepalive_timeout_s=0.1)
    async with connected(await plainly(takes_long, limits=allowed)) as client:
        await client.send(request("POST", "/1", body=b"hello"))
        assert (await client.heard()).body == b"/1"


@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
async def test_a_silent_body_is_given_up_and_a_slow_one_is_not(start, provider, kind):
    provider.story = answers(COMPLETION)
    sidecar = await start(limits(provider, body_timeout="1s"), KEYS)
    path, head = "/v1/things", f"content-type: {kind}"
    async with connected(sidecar.port) as slow, connected(sidecar.port) as silent:
        await silent.send(request("POST", path, head, framing="content-length: 500") + CHAT)
        await slow.send(request("POST", path, head, framing=f"content-length: {len(CHAT)}"))
        for at in range(0, len(CHAT), 10):
            await asyncio.sleep(0.15)
            await slow.send(CHAT[at : at + 10])
        assert (await slow.heard()).status == 200
        heard = await silent.heard()
        assert (heard.status, heard.one("x-sidecar-error")) == (408, "body_timeout")
        assert heard.one("connection") == "close"
    await sidecar.shows('sidecar_errors_total{code="body_timeout"}', 1)


async def test_a_client_that_does_not_take_its_answer_is_cut_and_the_provider_freed(start, provider):
    async def says_much(call):
        await call.send(EVENTS_HEAD)
        for _ in range(1000):
            await call.send(chunk(b"data: " + b"x" * 60_000 + b"\n\n"))

    provider.story = says_much
    sidecar = await start(limits(provider, body_timeout="0.2s"), KEYS)
    async with connected(sidecar.port, receive_buffer_bytes=4096) as client:
        client.writer.transport.pause_reading()
        await client.send(request(body=CHAT[:-1] + b',"stream":true}'))
        await asyncio.wait_for(provider.gone.wait(), LONG_S)
    await sidecar.shows('sidecar_http_limits_total{limit="answer_timeout"}', 1)
    await sidecar.shows('sidecar_errors_total{code="client_slow"}', 1)


async def test_a_client_that_takes_it_slowly_gets_all_of_it(plainly):
    async def says_much(_incoming, outlet):
        outlet.whole(200, None, [], b"x" * 3_000_000)

    port = await plainly(says_much, limits=Limits(body_timeout_s=0.5))
    async with connected(port, receive_buffer_bytes=4096) as client:
        await client.send(request("GET", "/1"))
        taken = 0
        while taken < 3_000_000:
            await asyncio.sleep(0.01)
            piece = await asyncio.wait_for(client.reader.read(40_000), LONG_S)
            assert piece, "it was cut"
            taken += len(piece)
    assert not reached(plainly, "answer_timeout")


async def test_an_answer_that_is_over_and_is_not_taken_holds_nothing_for_ever(plainly):
    async def says_much(_incoming, outlet):
        outlet.whole(200, None, [], b"x" * 8_000_000, closes=True)

    port = await plainly(says_much, limits=Limits(body_timeout_s=0.15))
    async with connected(port, receive_buffer_bytes=4096) as client:
        client.writer.transport.pause_reading()
        await client.send(request("GET", "/1"))
        async with asyncio.timeout(LONG_S):
            while not reached(plainly, "answer_timeout") or plainly.server.bounds.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_an_idle_connection_is_closed_and_counted(plainly):
    async with connected(await plainly(says_path, limits=Limits(keepalive_timeout_s=0.05))) as client:
        await client.send(request("GET", "/1"))
        await client.heard()
        assert await ends(client) == b""
    assert reached(plainly, "keepalive_timeout") == 1


# All together


async def test_who_sends_a_byte_now_and_then_keeps_nobody_from_being_served_and_fills_no_log(plainly, caplog):
    caplog.set_level("INFO")
    port = await plainly(says_path, limits=Limits(header_timeout_s=0.3, max_connections=150))

    async def drips():
        async with connected(port) as client:
            try:
                for byte in b"GET / HTTP/1.1\r\nhost: sidecar\r\nx-more: " + b"a" * 1000:
                    await client.send(bytes([byte]))
                    await asyncio.sleep(0.05)
            except ConnectionError:
                return True
            return False

    slow = [asyncio.ensure_future(drips()) for _ in range(100)]
    async with connected(port) as client:
        for number in range(10):
            await client.send(request("GET", f"/{number}"))
            assert (await client.heard()).body == b"/%d" % number
            await asyncio.sleep(0.03)
    assert all(await asyncio.wait_for(asyncio.gather(*slow), LONG_S))
    assert reached(plainly, "header_timeout") == 100
    assert not caplog.records


async def test_other_limits_hold_from_the_next_request_on(plainly):
    port = await plainly(says_path, limits=Limits())
    async with connected(port) as old:
        await old.send(request("GET", "/1"))
        await old.heard()
        plainly.server.bounds.limits = Limits(max_requests_per_connection=1, max_header_bytes=1024)
        async with connected(port) as new:
            await new.send(request("GET", "/1"))
            assert (await new.heard()).one("connection") == "close"
        async with connected(port) as new:
            await new.send(request("GET", "/1", "x-long: " + "a" * 2000))
            assert (await new.heard()).status == 431
        await old.send(request("GET", "/1"))
        assert (await old.heard()).one("connection") is None


async def test_what_is_refused_is_an_error_of_ours(plainly):
    seen = []

    class Door:
        def refuse(self, error, _request, outlet):
            seen.append(error)
            outlet.whole(error.status, None, [], b"", closes=True)

    port = await plainly(says_path, limits=Limits(header_timeout_s=0.05))
    plainly.server.door = Door()
    async with connected(port) as client:
        await client.send(b"GET")
        await client.heard()
        assert json.loads(json.dumps(seen[0].code)) == "header_timeout"
    assert isinstance(seen[0], SidecarError)

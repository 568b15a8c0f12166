"""One connection of a client, by the fast path and by the public one."""

import asyncio
import logging

import aiohttp
import pytest
from aiohttp import web
from rawclient import connected, request

from sidecar.listener.connection import Connection
from sidecar.listener.http import HttpServer
from sidecar.listener.lean import LeanConnection

PATIENCE_S = 5
"""Longer than anything here takes, and less than what is not to be waited for."""


async def says_path(incoming, outlet):
    outlet.whole(200, None, [], incoming.path.encode())


async def reads(incoming, outlet):
    outlet.whole(200, None, [], await incoming.content.read())


async def test_a_client_that_asks_again_and_does_not_read_is_not_answered_again(plainly):
    answered = []

    async def says_much(incoming, outlet):
        answered.append(incoming.path)
        outlet.whole(200, None, [], b"x" * 8_000_000)

    async with connected(await plainly(says_much), receive_buffer_bytes=4096) as client:
        client.writer.transport.pause_reading()
        await client.send(request("GET", "/1") + request("GET", "/2"))
        await asyncio.sleep(0.05)
        assert answered == ["/1"]
        client.writer.transport.resume_reading()
        assert [len((await client.heard()).body) for _ in range(2)] == [8_000_000] * 2


async def test_requests_that_come_at_once_are_answered_in_order(plainly):
    async def slow_first(incoming, outlet):
        await asyncio.sleep(0.02 if incoming.path == "/1" else 0)
        await says_path(incoming, outlet)

    async with connected(await plainly(slow_first)) as client:
        await client.send(b"".join(request("POST", f"/{number}", body=b"x") for number in (1, 2, 3)))
        assert [(await client.heard()).body for _ in range(3)] == [b"/1", b"/2", b"/3"]


async def test_more_requests_at_once_than_are_queued_are_all_answered(plainly):
    async with connected(await plainly(says_path)) as client:
        await client.send(b"".join(request("GET", f"/{number}") for number in range(200)))
        assert [(await client.heard()).body for _ in range(200)] == [b"/%d" % number for number in range(200)]


async def test_a_request_behind_bodies_that_were_paused_is_answered_though_nothing_follows_it(plainly):
    async def counts(incoming, outlet):
        outlet.whole(200, None, [], b"%d" % len(await incoming.content.read()))

    body = b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n"
    posts = (request("POST", "/", framing="transfer-encoding: chunked") + body) * 3
    async with connected(await plainly(counts)) as client, asyncio.TaskGroup() as group:
        group.create_task(client.send(posts + request("GET", "/")))
        assert [(await client.heard()).body for _ in range(4)] == [b"50000"] * 3 + [b"0"]


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [
        ("1.1", "accept: */*", True),
        ("1.1", "connection: close", False),
        ("1.0", "accept: */*", False),
        ("1.0", "connection: keep-alive", True),
    ],
)
async def test_a_connection_is_kept_as_its_client_wants(plainly, version, header, kept):
    async with connected(await plainly(says_path)) as client:
        await client.send(request("GET", "/", header).replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        heard = await client.heard()
        assert client.line == f"HTTP/{version} 200 OK"
        named = heard.one("connection")
        assert named == {("1.0", True): "keep-alive", ("1.1", False): "close"}.get((version, kept))
        if not kept:
            assert await client.reader.read() == b""
        else:
            await client.send(request("GET", "/again"))
            assert (await client.heard()).body == b"/again"


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a%2Fb?c=d", "/a/b"), ("//x/y", "//x/y"), ("/a?", "/a"), ("http://x/y?z", "/y")],
)
async def test_a_path_is_what_its_url_says(plainly, target, path):
    async with connected(await plainly(says_path)) as client:
        await client.send(request("GET", target))
        assert (await client.heard()).body == path.encode()


async def test_a_request_is_what_was_sent(plainly):
    seen = []

    async def looks(incoming, outlet):
        seen.append(incoming)
        await reads(incoming, outlet)

    async with connected(await plainly(looks)) as client:
        await client.send(request("PUT", "/x?y=%2f", "x-a: 1", "X-A: caf\xc3\xa9", body=b"hello"))
        assert (await client.heard()).body == b"hello"
        [it] = seen
        assert (it.method, it.raw_path, it.remote, it.content_length) == ("PUT", "/x?y=%2f", "127.0.0.1", 5)
        assert (it.headers.getall("x-a"), it.version) == (["1", "café"], aiohttp.HttpVersion11)
        assert it.transport is not None


@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_left_of_a_body_is_read_and_the_connection_kept(plainly, chunked):
    body = b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello"
    framing = "transfer-encoding: chunked" if chunked else "content-length: 5"
    async with connected(await plainly(says_path)) as client:
        await client.send(request("POST", "/1", framing=framing) + body[:3])
        assert (await client.heard()).body == b"/1"
        await client.send(body[3:] + request("POST", "/2"))
        assert (await client.heard()).body == b"/2"


async def test_a_body_that_goes_on_for_ever_is_not_read_for_ever(plainly):
    async with connected(await plainly(says_path, lingering_time=0.02)) as client:
        await client.send(request("POST", "/1", framing="content-length: 500"))
        assert (await client.heard()).ending == "whole"
        assert await asyncio.wait_for(client.reader.read(), PATIENCE_S) == b""


async def test_a_body_that_came_with_its_head_is_at_hand_and_can_be_read_all_the_same(plainly, fast_path):
    seen, last = [], asyncio.Event()

    async def looks(incoming, outlet):
        seen.append(incoming.whole)
        if len(seen) == 4:
            last.set()
        await reads(incoming, outlet)

    async with connected(await plainly(looks)) as client:
        for sent in (request("POST", body=b"hello"), request("GET")):
            await client.send(sent)
            await client.heard()
        await client.send(request("POST", framing="transfer-encoding: chunked") + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        assert (await client.heard()).body == b"hello"
        await client.send(request("POST", framing="content-length: 5"))
        await last.wait()
        await client.send(b"hello")
        assert (await client.heard()).body == b"hello"
    assert seen == ([b"hello", b"", None, None] if fast_path else [None] * 4)


async def test_what_comes_in_another_protocol_is_not_answered(plainly):
    gate = asyncio.Event()

    async def waits(incoming, outlet):
        await gate.wait()
        await says_path(incoming, outlet)

    async with connected(await plainly(waits)) as client:
        await client.send(request("GET", "/1", "connection: upgrade", "upgrade: websocket") + b"not HTTP \x00")
        await client.send(request("GET", "/2"))
        gate.set()
        assert (await client.heard()).body == b"/1"
        assert b"200 OK" not in await client.reader.read()


async def test_a_malformed_chunk_is_told_to_whoever_reads_the_body(plainly):
    began, seen = asyncio.Event(), asyncio.Event()

    async def waits(incoming, outlet):
        began.set()
        try:
            await incoming.content.read()
        except web.RequestPayloadError:
            seen.set()
            outlet.whole(400, None, [], b"", closes=True)

    async with connected(await plainly(waits)) as client:
        await client.send(request("POST", "/", framing="transfer-encoding: chunked"))
        await began.wait()
        await client.send(b"zz\r\n")
        assert (await client.heard()).status == 400
    assert seen.is_set()


async def test_what_is_no_http_is_told_by_its_kind_behind_a_request_that_is(plainly):
    async with connected(await plainly(says_path)) as client:
        await client.send(request("GET", "/1"))
        assert (await client.heard()).body == b"/1"
        await client.send(b"nonsense \x00\r\n\r\n")
        heard = await client.heard()
        assert (heard.status, heard.body) == (400, b"BadHttpMethod")
        assert await client.reader.read() == b""


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_a_hang_up_is_noticed_at_once(plainly, how):
    began, ended = asyncio.Event(), asyncio.Event()

    async def waits(_incoming, _outlet):
        began.set()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            ended.set()
            raise

    async with connected(await plainly(waits)) as client:
        await client.send(request())
        await began.wait()
        client.reset() if how == "RST" else client.writer.close()
        await asyncio.wait_for(ended.wait(), PATIENCE_S)


async def test_a_hang_up_ends_the_wait_for_a_body(plainly):
    began, seen = asyncio.Event(), []

    async def waits(incoming, _outlet):
        began.set()
        try:
            await incoming.content.read()
        except BaseException as exc:
            seen.append(exc)
            raise

    async with connected(await plainly(waits)) as client:
        await client.send(request(framing="content-length: 9"))
        await began.wait()
        client.reset()
        async with asyncio.timeout(PATIENCE_S):
            while not seen:  # noqa: ASYNC110 - a coroutine's end is no event
                await asyncio.sleep(0.01)
    assert isinstance(seen[0], asyncio.CancelledError | ConnectionError | OSError)


async def test_a_request_that_asks_for_another_protocol_gets_its_answer(plainly):
    async with connected(await plainly(says_path)) as client:
        await client.send(request("GET", "/1", "connection: upgrade", "upgrade: websocket", framing="accept: */*"))
        assert (await client.heard()).body == b"/1"


async def test_a_handler_that_breaks_closes_its_connection_and_no_other(plainly, caplog):
    async def breaks(incoming, outlet):
        if incoming.path == "/1":
            raise RuntimeError
        await says_path(incoming, outlet)

    port = await plainly(breaks)
    async with connected(port) as client, connected(port) as other:
        await client.send(request("GET", "/1"))
        assert (await client.reader.read()).partition(b"\r\n")[0] in {b"", b"HTTP/1.1 500 Internal Server Error"}
        await other.send(request("GET", "/2"))
        assert (await other.heard()).body == b"/2"
    assert "RuntimeError" in caplog.text


async def test_an_idle_connection_is_closed_after_its_time(plainly):
    async with connected(await plainly(says_path, keepalive_timeout=0.05)) as client:
        await client.send(request("GET", "/1"))
        await client.heard()
        assert await asyncio.wait_for(client.reader.read(), PATIENCE_S) == b""


async def test_a_stop_lets_a_request_finish_and_closes_its_connection_and_idle_ones(plainly):
    gate, began = asyncio.Event(), asyncio.Event()

    async def waits(incoming, outlet):
        if incoming.path == "/slow":
            began.set()
            await gate.wait()
        await says_path(incoming, outlet)

    port = await plainly(waits)
    async with connected(port) as busy, connected(port) as idle:
        await idle.send(request("GET", "/1"))
        await idle.heard()
        await busy.send(request("GET", "/slow"))
        await began.wait()
        plainly.server.pre_shutdown()
        stop = asyncio.ensure_future(plainly.server.shutdown(60))
        assert await asyncio.wait_for(idle.reader.read(), PATIENCE_S) == b""
        gate.set()
        assert (await busy.heard()).body == b"/slow"
        assert await asyncio.wait_for(busy.reader.read(), PATIENCE_S) == b""
        await asyncio.wait_for(stop, PATIENCE_S)


@pytest.mark.parametrize("closes", [True, False])
async def test_a_stop_waits_for_a_client_that_has_not_read_its_answer_yet(plainly, closes):
    async def says_much(_incoming, outlet):
        outlet.whole(200, None, [], b"x" * 8_000_000, closes=closes)

    async with connected(await plainly(says_much), receive_buffer_bytes=4096) as client:
        client.writer.transport.pause_reading()
        await client.send(request())
        await asyncio.sleep(0.05)  # so long that it is answered
        plainly.server.pre_shutdown()
        stop = asyncio.ensure_future(plainly.server.shutdown(60))
        await asyncio.sleep(0.02)
        client.writer.transport.resume_reading()
        heard = await client.heard()
        assert (len(heard.body), heard.ending) == (8_000_000, "whole")
        await asyncio.wait_for(stop, PATIENCE_S)


async def test_a_stop_does_not_wait_for_ever(plainly):
    began = asyncio.Event()

    async def waits(_incoming, _outlet):
        began.set()
        await asyncio.sleep(30)

    async with connected(await plainly(waits)) as client:
        await client.send(request())
        await began.wait()
        async with asyncio.timeout(PATIENCE_S):
            await plainly.server.shutdown(0.02)
        assert await client.reader.read() == b""


@pytest.mark.parametrize(
    ("fast", "possible", "lean", "warned"),
    [(True, True, True, 0), (False, True, False, 0), (True, False, False, 1), (False, False, False, 0)],
)
async def test_the_public_path_takes_over_with_one_word_about_it(fast, possible, lean, warned, caplog):
    caplog.set_level(logging.WARNING)
    server = HttpServer(None, fast=fast, possible=lambda: possible)
    made = server()
    assert (server.lean, isinstance(made, LeanConnection), isinstance(made, Connection)) == (lean, lean, True)
    assert len(caplog.records) == warned
    if not possible:
        assert type(made) is Connection, "the one that knows nothing private"

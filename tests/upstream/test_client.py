"""Calls to providers made of raw sockets, on both event loops."""

import asyncio
import socket
import ssl
import time

import pytest
import trustme
from msgspec.structs import replace
from ports import free_port
from provider import (
    COMPLETION,
    END,
    EVENTS_HEAD,
    answers,
    chunk,
    hangs,
    head,
    in_turn,
    is_cut,
    is_reset,
    sends,
    serving,
    then_cut,
    then_hangs,
    whole,
)
from upstream_calls import QUICK, Taking, asked, call, got, until

from sidecar.config.models import Timeouts
from sidecar.errors import RequestError, UpstreamError, UpstreamTimeout
from sidecar.upstream.client import cause_of, open_client
from sidecar.upstream.origin import Origin
from sidecar.upstream.outgoing import APART_BYTES
from sidecar.upstream.refusal import Cause
from sidecar.upstream.reply import UpstreamReset


async def fails(client, asked_for):
    """The error of a call, with its cause."""
    with pytest.raises(UpstreamError) as failed:
        await client.send(asked_for)
    return failed.value, cause_of(failed.value)


async def test_a_call_is_sent_as_it_is_and_its_answer_comes_back(client, provider):
    provider.story = answers(b"hello", "x-a: 1", "X-A: 2", status=201, reason="Made so")
    asked_for = call(
        provider, headers=[("x-in", "a"), ("X-In", "b, c"), ("authorization", "Bearer k")], body=b'{"a": 1}'
    )
    async with await client.send(asked_for) as reply:
        assert (reply.status, reply.reason, reply.headers.getall("x-a")) == (201, "Made so", ["1", "2"])
        assert (await reply.first(None), reply.ended) == (b"hello", True)
    assert provider.last.head == asked_for.head
    assert provider.last.body == b'{"a": 1}'


@pytest.mark.parametrize("size", [APART_BYTES - 1, APART_BYTES, 256 * 1024, 256 * 1024 + 1, 5 * 1024 * 1024])
async def test_a_body_of_any_size_arrives_whole(client, provider, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await asked(client, provider, body=body) == (200, COMPLETION)
    assert provider.last.body == body


async def test_connections_are_kept_and_counted(client, provider):
    for _ in range(3):
        await asked(client, provider)
    async with await client.send(call(provider)), await client.send(call(provider)):
        assert client.connections() == {("active",): 2, ("idle",): 0}
    assert client.connections() == {("active",): 0, ("idle",): 2}
    assert provider.opened == 2


async def test_an_answer_that_is_not_read_to_its_end_closes_its_connection(client, provider):
    provider.story = then_hangs(EVENTS_HEAD, chunk(b"1"))
    async with await client.send(call(provider)) as reply:
        assert await reply.first(None) == b"1"
    await asyncio.wait_for(provider.gone.wait(), 5)
    await until(lambda: client.connections() == {("active",): 0, ("idle",): 0})


@pytest.mark.parametrize("breaks", [is_cut, is_reset])
async def test_a_kept_connection_that_breaks_when_it_is_used_again_is_tried_once_more(client, provider, breaks):
    provider.story = in_turn(answers(b"1"), breaks, answers(b"2"))
    assert await asked(client, provider) == (200, b"1")
    assert await asked(client, provider) == (200, b"2")
    assert (provider.opened, len(provider.requests)) == (2, 3)


@pytest.mark.parametrize(
    ("story", "more"),
    [
        (is_cut, {"replayable": False}),
        (then_cut(b"HTTP/1.1 200"), {}),
        (then_cut(head(100, "Continue")), {}),
        (then_cut(b"garbage"), {}),
    ],
)
async def test_it_is_not_tried_again_once_something_came_or_when_it_may_not_be(client, provider, story, more):
    provider.story = in_turn(answers(b"1"), story, answers(b"2"))
    await asked(client, provider)
    assert (await fails(client, call(provider, **more)))[1] is Cause.RESET
    assert len(provider.requests) == 2


async def test_a_new_connection_that_breaks_is_not_tried_again(client, provider):
    provider.story = is_cut
    error, cause = await fails(client, call(provider))
    assert (str(error), cause, provider.opened) == (
        "p could not be reached: it closed the connection",
        Cause.RESET,
        1,
    )


async def test_what_a_provider_says_while_nobody_asks_closes_the_connection_and_answers_nobody(client, provider):
    async def chatty(call):
        await call.send(whole(b"1"))
        await until(lambda: client.connections()["idle",] == 1)
        await call.send(whole(b"evil"))

    provider.story = in_turn(chatty, answers(b"2"))
    assert await asked(client, provider) == (200, b"1")
    await until(lambda: client.connections()["idle",] == 0)
    assert await asked(client, provider) == (200, b"2")
    assert provider.opened == 2


async def test_what_follows_an_answer_at_once_answers_nobody_either(client, provider):
    provider.story = in_turn(sends(whole(b"1") + whole(b"evil")), answers(b"2"))
    assert await asked(client, provider) == (200, b"1")
    assert await asked(client, provider) == (200, b"2")
    assert provider.opened == 2


async def test_trailers_are_no_headers_of_the_next_answer(client, provider):
    late = EVENTS_HEAD + chunk(b"1") + b"0\r\nx-late: 1\r\n\r\n"
    provider.story = in_turn(sends(late), answers(b"2"))
    await asked(client, provider)
    async with await client.send(call(provider)) as reply:
        assert "x-late" not in reply.headers
        assert await reply.read(10) == b"2"
    assert provider.opened == 1


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        head(200, "OK", "content-length: 1", "transfer-encoding: chunked") + b"x",
        head(200, "OK", "transfer-encoding: gzip, chunked"),
        head(200, "OK", "x: " + "a" * 70_000),
    ],
)
async def test_what_is_no_answer_is_an_error_at_once(client, provider, data):
    provider.story = then_hangs(data)
    error, cause = await fails(client, call(provider))
    assert (error.code, cause) == ("upstream_unreachable", Cause.RESET)


async def test_what_comes_before_the_answer_is_passed_over(client, provider):
    provider.story = sends(head(100, "Continue"), head(103, "Early", "link: x"), whole(b"hi"))
    assert await asked(client, provider) == (200, b"hi")


async def test_nobody_switches_protocols(client, provider):
    provider.story = sends(head(101, "Switching", "upgrade: h2c", "connection: upgrade"))
    error, cause = await fails(client, call(provider))
    assert (str(error), cause) == ("p wanted to switch protocols", Cause.RESET)


async def test_redirects_and_cookies_are_the_callers(client, provider):
    provider.story = answers(b"there", "location: /x", "set-cookie: a=b", status=307, reason="There")
    for _ in range(2):
        assert await asked(client, provider) == (307, b"there")
    assert (len(provider.requests), provider.last.all("cookie")) == (2, [])


async def test_proxies_of_the_environment_are_not_used(client, provider, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert await asked(client, provider) == (200, COMPLETION)


# Time


async def test_a_silent_provider_is_late(client, provider):
    provider.story = hangs
    error, cause = await fails(client, call(provider, timeouts=Timeouts(1, 0.05, 1)))
    assert (type(error), str(error), cause) == (UpstreamTimeout, "p did not answer within 0.05 s", Cause.TIMEOUT)
    await asyncio.wait_for(provider.gone.wait(), 5)


async def test_a_kept_connection_is_watched_anew_for_each_call(client, provider):
    """Its one timer is armed for the first call, whose limit is longer."""
    provider.story = in_turn(answers(b"1"), hangs)
    await asked(client, provider, timeouts=Timeouts(60, 60, 60))
    began = time.monotonic()
    assert (await fails(client, call(provider, timeouts=QUICK)))[1] is Cause.TIMEOUT
    assert 0.04 < time.monotonic() - began < 10


async def test_a_time_that_ran_out_for_one_call_says_nothing_to_the_next(client, provider):
    async def slowly(call):
        await asyncio.sleep(0.5)
        await call.send(whole(b"2"))

    provider.story = in_turn(answers(b"1"), slowly)
    await asked(client, provider, timeouts=Timeouts(5, 0.4, 5))
    assert await asked(client, provider, timeouts=Timeouts(5, 5, 5)) == (200, b"2")
    assert provider.opened == 1


async def test_a_call_that_is_given_up_closes_its_connection(client, provider):
    provider.story = hangs
    task = asyncio.ensure_future(client.send(call(provider)))
    await provider.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(provider.gone.wait(), 5)


# Connecting


async def test_nobody_there_is_not_connected(client):
    error, cause = await fails(client, call(free_port()))
    assert (str(error), cause) == ("p could not be reached: Connection refused", Cause.CONNECT)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid", "a..b"])
async def test_a_name_that_nobody_knows_is_not_resolved(client, host):
    there = got(Origin("http", host, 80))
    error, cause = await fails(client, there)
    assert (str(error), cause) == ("p could not be reached: its name cannot be resolved", Cause.DNS)


async def test_a_name_is_resolved_and_both_families_are_tried(client, provider):
    """The double listens to one of them only."""
    async with await client.send(got(Origin("http", "localhost", provider.port))) as reply:
        assert reply.status == 200


@pytest.mark.parametrize(
    ("timeouts", "cause"), [(Timeouts(0.05, 5, 5), Cause.CONNECT), (Timeouts(5, 0.05, 5), Cause.TIMEOUT)]
)
async def test_a_connection_that_takes_too_long_is_late(client, timeouts, cause):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never speaks the TLS that it should
        origin = Origin("https", "127.0.0.1", silent.getsockname()[1])
        error, found = await fails(client, got(origin, timeouts=timeouts))
    assert (str(error), found) == ("p did not answer within 0.05 s", cause)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def certified(authority, *names):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_tls_is_verified_and_the_name_is_sent(authority):
    def trusting():
        made.append(1)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    made, names = [], []
    tls = certified(authority, "localhost")
    tls.sni_callback = lambda _sock, name, _context: names.append(name)
    body = bytes(1 << 20)
    async with serving(tls=tls) as provider, open_client(trust=trusting) as client:
        origin = Origin("https", "localhost", provider.port)
        for _ in range(2):
            there = replace(call(provider, body=body), origin=origin)
            async with await client.send(there) as reply, await client.send(there) as other:
                assert await reply.read(1 << 20) == await other.read(1 << 20) == COMPLETION
        assert (provider.opened, names, made) == (2, ["localhost", "localhost"], [1])
        assert provider.last.body == body
        wrong = got(origin._replace(host="127.0.0.1"))
        assert (await fails(client, wrong))[1] is Cause.TLS


async def test_a_certificate_of_nobody_we_trust_is_not_accepted(client, authority):
    async with serving(tls=certified(authority, "localhost")) as provider:
        there = got(Origin("https", "localhost", provider.port))
        error, cause = await fails(client, there)
    assert (str(error), cause) == ("p could not be reached: its certificate or TLS is not accepted", Cause.TLS)
    assert not provider.requests


async def test_over_tls_too_a_slow_reader_slows_the_provider_and_loses_nothing(authority):
    def trusting():
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    class Slow(Taking):
        def take(self, piece):
            reply.pause()
            asyncio.get_running_loop().call_later(0.001, reply.resume)
            return super().take(piece)

    body = bytes(range(256)) * 8192
    story = sends(EVENTS_HEAD, *(chunk(body[at : at + 5000]) for at in range(0, len(body), 5000)), END)
    async with serving(story, tls=certified(authority, "localhost")) as provider, open_client(trust=trusting) as client:
        there = got(Origin("https", "localhost", provider.port))
        async with await client.send(there) as reply:
            sink = Slow()
            await asyncio.wait_for(reply.pour(sink), 10)
        assert sink.body == body
        assert len(sink.pieces) > 3
        async with await client.send(there) as reply:
            assert await reply.read(1 << 22) == body
        assert provider.opened == 1


async def test_a_provider_that_breaks_off_its_tls_is_not_connected(client):
    async with serving() as plain:
        there = got(Origin("https", "127.0.0.1", plain.port), timeouts=Timeouts(5, 5, 5))
        plain.story = is_cut
        failed = asyncio.ensure_future(fails(client, there))
        await until(lambda: plain.opened)
        await plain._stop()
        assert (await failed)[1] in (Cause.CONNECT, Cause.TLS)


# Uploads


async def pieces(*parts, after=None):
    for part in parts:
        yield part
    if after is not None:
        await after.wait()


@pytest.mark.parametrize(("length", "framed"), [(None, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), (5, b"abcde")])
async def test_an_upload_has_its_length_or_comes_in_chunks(client, provider, length, framed):
    assert await asked(client, provider, body=pieces(b"abc", b"", b"de"), length=length) == (200, COMPLETION)
    assert (provider.last.framed, provider.last.body) == (framed, b"abcde")
    assert await asked(client, provider) == (200, COMPLETION)
    assert provider.opened == 1


async def test_a_slow_client_is_not_a_late_provider(client, provider):
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, done.set)
    assert await asked(client, provider, body=pieces(b"a", after=done), timeouts=Timeouts(5, 0.05, 5)) == (
        200,
        COMPLETION,
    )


async def test_a_provider_is_late_once_it_has_the_upload(client, provider):
    provider.story = hangs
    error, cause = await fails(client, call(provider, body=pieces(b"a"), timeouts=Timeouts(5, 0.05, 5)))
    assert (type(error), cause) == (UpstreamTimeout, Cause.TIMEOUT)


async def test_a_provider_that_takes_no_more_of_an_upload_is_late(client, provider):
    provider.reads_body, provider.story = False, hangs

    async def endless():
        while True:
            yield bytes(1 << 16)

    assert (await fails(client, call(provider, body=endless(), timeouts=Timeouts(5, 0.1, 5))))[1] is Cause.TIMEOUT


@pytest.mark.parametrize("parts", [(b"abc",), (b"abcdef",)])
async def test_an_upload_that_is_not_as_long_as_it_said_is_the_clients_mistake(client, provider, parts):
    with pytest.raises(RequestError, match="ends before its end"):
        await client.send(call(provider, body=pieces(*parts), length=5))
    assert not provider.requests


async def test_an_upload_that_breaks_is_the_clients_mistake(client, provider):
    async def breaks():
        yield b"a"
        raise ConnectionResetError

    with pytest.raises(RequestError, match="ends before its end"):
        await client.send(call(provider, body=breaks()))
    await until(lambda: provider.closed == 1)


async def test_an_answer_may_come_before_the_upload_has_ended(client, provider):
    provider.reads_body = False
    provider.story = sends(whole(b"no", status=413, reason="Too much"))
    let_go = asyncio.Event()

    async def endless():
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            let_go.set()

    body = endless()
    assert await asked(client, provider, body=body) == (413, b"no")
    assert let_go.is_set()
    assert await asked(client, provider) == (413, b"no")
    assert provider.opened == 2  # the rest of the upload would have been read as a request


async def test_who_gives_up_while_an_upload_lets_go_leaves_no_connection_behind(client, provider):
    provider.reads_body = False
    provider.story = then_hangs(whole(b"no", status=413, reason="Too much"))
    lets_go, gone = asyncio.Event(), asyncio.Event()

    async def slow_to_go():
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            lets_go.set()
            await gone.wait()

    asking = asyncio.create_task(asked(client, provider, body=slow_to_go()))
    async with asyncio.timeout(5):
        await lets_go.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    gone.set()
    await until(lambda: client.connections() == {("active",): 0, ("idle",): 0})


async def test_an_answer_may_come_before_a_large_body_was_sent(client, provider):
    provider.reads_body = False
    provider.story = then_hangs(whole(b"no", status=413, reason="Too much"))
    assert await asked(client, provider, body=bytes(32 << 20)) == (413, b"no")
    await until(lambda: client.connections() == {("active",): 0, ("idle",): 0})


async def test_an_upload_that_breaks_after_the_answer_began_cuts_it(client, provider):
    provider.reads_body = False
    provider.story = then_hangs(EVENTS_HEAD, chunk(b"1"))
    broken = asyncio.Event()

    async def breaks():
        yield b"a"
        await broken.wait()
        raise ConnectionResetError

    async with await client.send(call(provider, body=breaks())) as reply:
        assert await reply.first(None) == b"1"
        broken.set()
        with pytest.raises(UpstreamReset):
            await reply.chunk()

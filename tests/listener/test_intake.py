"""Heads that are known: whatever is sent behind them, it is read as a parser that never saw them reads it."""

import asyncio
import json
import re
from itertools import accumulate, pairwise, zip_longest

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rawclient import connected, post

from sidecar.config.models import Limits
from sidecar.listener.incoming import Known
from sidecar.listener.seen import MOST_HEADS

DATE = re.compile(rb"date: [^\r]*\r\n")
KNOWN_AFTER = 2
"""Times that a head must have come."""


class Echo:
    """Says what it was asked, and keeps which of it was known."""

    def __init__(self):
        self.known = []

    async def __call__(self, incoming, outlet):
        self.known.append(isinstance(incoming, Known))
        body = await incoming.content.read()
        said = {
            "method": incoming.method,
            "path": incoming.path,
            "target": incoming.raw_path,
            "headers": [(name.lower(), value) for name, value in incoming.headers.items()],
            "length": incoming.content_length,
            "body": body.decode("latin-1"),
        }
        if incoming.whole is not None:
            assert incoming.whole == body
        outlet.whole(200, None, [], json.dumps(said).encode())


@pytest.fixture
async def echo(plainly):
    """(port, Echo, server) where the head of `post()` is known."""
    echo = Echo()
    port = await plainly(echo)
    server = plainly.server
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER):
            await client.send(post())
            await client.heard()
    assert len(server.known) == 1
    return port, echo, server


class Wire(asyncio.Transport):
    """A connection that takes all at once, so that what comes back is there when nothing more is to be done."""

    def __init__(self, server):
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.said = b""
        self.ended = False
        self._protocol = server()
        self._protocol.connection_made(self)

    def takes(self, piece):
        self._protocol.data_received(piece)

    async def exchange(self, pieces):
        """All that comes back for what is sent in these pieces, and whether the connection is closed then."""
        await asyncio.sleep(0)
        for piece in pieces:
            if not self.ended:
                self.takes(piece)
                await asyncio.sleep(0)
        for _ in range(40):
            await asyncio.sleep(0)
        said = DATE.sub(b"", self.said), self.ended
        self.abort()
        return said

    def write(self, data):
        self.said += data

    def is_closing(self):
        return self.ended

    def close(self):
        if not self.ended:
            self.ended = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        pass

    resume_reading = pause_reading


async def asked(client, sent):
    await client.send(sent)
    heard = await client.heard()
    return heard.json


async def test_a_head_that_came_twice_is_known_the_third_time(echo):
    port, seen, _ = echo
    async with connected(port) as client:
        said = await asked(client, post(b"other", session="s-2"))
    assert seen.known == [False, False, True]
    assert said["body"] == "other"
    assert dict(said["headers"])["x-session-id"] == "s-2"
    assert dict(said["headers"])["content-length"] == "5"
    assert said["length"] == 5


async def test_what_is_known_on_one_connection_is_known_on_the_next_and_says_what_the_parser_would(echo, plainly):
    port, seen, _ = echo
    afresh = await plainly(Echo())
    for body in (b"", b"x", b"y" * 70_000):
        async with connected(port) as client, connected(afresh) as other:
            assert await asked(client, post(body)) == await asked(other, post(body))
        assert seen.known[-1]


async def test_on_one_connection_sessions_and_lengths_change_with_their_widths_or_without(echo, plainly):
    port, seen, _ = echo
    afresh = await plainly(Echo())
    sessions = ["s-1", "s-2", "s-2", "another", "s-3", "12345.7", "s-3"]
    async with connected(port) as client, connected(afresh) as other:
        for body in (b"", b"x", b"y" * 9, b"z" * 10):
            for session in sessions:
                sent = post(body, session=session)
                assert await asked(client, sent) == await asked(other, sent)
    assert all(seen.known[KNOWN_AFTER:])


@pytest.mark.parametrize("session", ["a\x7f1", "s 1", "s\t1"])
async def test_a_session_that_is_none_is_for_the_parser_behind_one_of_its_width_too(echo, session):
    port, seen, _ = echo
    async with connected(port) as client:
        await asked(client, post())
        await client.send(post(session=session))
        await client.heard()
    assert seen.known[KNOWN_AFTER:] in ([True], [True, False])


async def test_a_body_that_comes_in_pieces_behind_a_known_head_is_whole(echo):
    port, seen, _ = echo
    head, body = post(b"z" * 300_000)[:-300_000], b"z" * 300_000
    async with connected(port) as client:
        await client.send(head)
        await asyncio.sleep(0.01)
        for start in range(0, len(body), 50_000):
            await client.send(body[start : start + 50_000])
            await asyncio.sleep(0)
        assert (await client.heard()).json["body"] == body.decode()
        assert (await asked(client, post(b"next")))["body"] == "next"
    assert seen.known[2:] == [True, True]


async def test_a_body_behind_a_known_head_that_is_read_late_is_whole(plainly):
    """So it is paused: aiohttp's parser, which knows nothing of it, need not be."""
    echo = Echo()

    async def late(incoming, outlet):
        await asyncio.sleep(0.02)
        await echo(incoming, outlet)

    port, body = await plainly(late), b"a" * 2_000_000
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER):
            await asked(client, post())
        assert (await asked(client, post(body)))["body"] == body.decode()
        assert (await asked(client, post(b"next")))["body"] == "next"
    assert echo.known[KNOWN_AFTER]


async def test_requests_behind_each_other_are_answered_in_order_known_or_not(echo):
    port, seen, _ = echo
    bodies = [b"1", b"22", b"", b"4444"]
    async with connected(port) as client:
        await client.send(b"".join(post(body) for body in bodies))
        assert [(await client.heard()).json["body"] for _ in bodies] == [body.decode() for body in bodies]
    assert seen.known[2]


async def test_where_the_parser_is_in_a_body_nothing_is_taken_for_a_head(echo):
    """The body of a request that is not known holds one that is."""
    port, _, _ = echo
    inner = post(b"hidden")
    unknown = b"POST /unknown HTTP/1.1\r\nHost: sidecar\r\nContent-Length: %d\r\n\r\n" % len(inner)
    async with connected(port) as client:
        await client.send(unknown)
        await asyncio.sleep(0.01)
        await client.send(inner)
        heard = (await client.heard()).json
        assert (heard["path"], heard["body"]) == ("/unknown", inner.decode())
        assert (await asked(client, post(b"after")))["body"] == "after"


async def test_a_chunked_body_leaves_the_connection_to_the_parser(echo):
    port, seen, _ = echo
    chunked = b"POST /c HTTP/1.1\r\nHost: sidecar\r\nTransfer-Encoding: chunked\r\n\r\n"
    inner = post(b"hidden")
    async with connected(port) as client:
        await client.send(chunked + b"%x\r\n" % len(inner))
        await asyncio.sleep(0.01)
        await client.send(inner)
        await asyncio.sleep(0.01)
        await client.send(b"\r\n0\r\n\r\n")
        assert (await client.heard()).json["body"] == inner.decode()
        assert (await asked(client, post(b"after")))["body"] == "after"
    assert not seen.known[-1]


async def test_a_client_that_goes_in_the_middle_of_a_body_behind_a_known_head_is_noticed(plainly):
    gone = asyncio.Event()

    async def reads(incoming, outlet):
        try:
            await incoming.content.read()
        except BaseException:  # its task is cancelled, or its body says so
            gone.set()
            raise
        outlet.whole(200, None, [], b"")

    port = await plainly(reads)
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER):
            await client.send(post())
            await client.heard()
    async with connected(port) as client:
        await client.send(post(b"x" * 1000)[:-500])
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        await gone.wait()


async def test_other_limits_know_nothing_of_what_the_ones_before_let_through(echo):
    port, seen, server = echo
    server.bounds.limits = Limits(max_headers=2)
    async with connected(port) as client:
        await client.send(post())
        assert (await client.heard()).status == 431
    assert not any(seen.known)


async def test_so_many_heads_are_known_at_most(echo):
    port, _, server = echo
    async with connected(port) as client:
        for number in range(MOST_HEADS + 10):
            for _ in range(KNOWN_AFTER):
                await asked(client, post(extra=f"X-Other: {number}"))
    assert len(server.known) == MOST_HEADS


@pytest.mark.parametrize("behind", [False, True], ids=["in two pieces", "behind it"])
async def test_the_head_of_a_request_that_was_refused_is_not_learnt_of_the_next_one(echo, behind):
    """It would stand for that one's from then on, with the key in it."""
    _, _, server = echo

    def refuse_once(error, _request, outlet):
        server.bounds.requests = 1
        outlet.whole(error.status, None, [], b"")

    server.door.refuse = refuse_once
    theirs, ours = (post(extra=f"Authorization: Bearer {who}") for who in ("them", "us"))
    for _ in range(KNOWN_AFTER):
        wire = Wire(server)
        server.bounds.requests = server.bounds.limits.max_requests
        wire.takes(theirs)
        if behind:
            wire.takes(ours)
        said, _ = await wire.exchange([] if behind else [ours[:40], ours[40:]])
        assert said.startswith(b"HTTP/1.1 503")
        assert b"Bearer us" in said
    said, _ = await Wire(server).exchange([theirs])
    assert b"Bearer them" in said


PLAIN = post()
ODD = {
    "a length with a sign": (b"Content-Length: 4", b"Content-Length: +4"),
    "a negative length": (b"Content-Length: 4", b"Content-Length: -4"),
    "a length twice in one line": (b"Content-Length: 4", b"Content-Length: 4, 4"),
    "a length in two lines": (b"Content-Length: 4", b"Content-Length: 4\r\nContent-Length: 4"),
    "two lengths": (b"Content-Length: 4", b"Content-Length: 4\r\ncontent-length: 40"),
    "two lengths, the other way": (b"Content-Length: 4", b"content-length: 40\r\nContent-Length: 4"),
    "a length and chunks": (b"Content-Length: 4", b"Content-Length: 4\r\nTransfer-Encoding: chunked"),
    "a hexadecimal length": (b"Content-Length: 4", b"Content-Length: 0x4"),
    "no length": (b"Content-Length: 4", b"Content-Length: "),
    "a length of other digits": (b"Content-Length: 4", "Content-Length: ٤".encode()),
    "a length with zeros": (b"Content-Length: 4", b"Content-Length: 0004"),
    "a length with blanks": (b"Content-Length: 4", b"Content-Length: 4  "),
    "a length beyond all": (b"Content-Length: 4", b"Content-Length: 99999999999999999999"),
    "a folded length": (b"Content-Length: 4", b"Content-Length: \r\n 4"),
    "an empty session": (b"s-1", b""),
    "a session with a blank": (b"s-1", b"s 1"),
    "a session with a tab": (b"s-1", b"s\t1"),
    "a session with a control": (b"s-1", b"s\x011"),
    "a session with a zero": (b"s-1", b"s\x001"),
    "a session with a return": (b"s-1", b"s\r1"),
    "a session with a line feed": (b"s-1", b"s\n1: 2"),
    "a session with a line of its own": (b"s-1", b"s\r\nX-Other: 2"),
    "a session that is no ASCII": (b"s-1", b"s\xff1"),
    "a long session": (b"s-1", b"s" * 257),
    "a session beyond all": (b"s-1", b"s" * 20_000),
    "two sessions": (b"X-Session-Id: s-1", b"X-Session-Id: s-1\r\nX-Session-Id: s-2"),
    "two sessions in two spellings": (b"X-Session-Id: s-1", b"X-Session-Id: s-1\r\nx-session-id: s-2"),
    "two sessions, the other way": (b"X-Session-Id: s-1", b"x-session-id: s-2\r\nX-Session-Id: s-1"),
    "a folded session": (b"s-1", b"s-1\r\n s-2"),
    "a blank before the colon": (b"X-Session-Id: ", b"X-Session-Id : "),
    "no blank after the colon": (b"X-Session-Id: ", b"X-Session-Id:"),
    "bare line feeds": (b"\r\n", b"\n"),
    "a blank line first": (b"POST", b"\r\nPOST"),
    "another version": (b"HTTP/1.1", b"HTTP/1.0"),
    "a longer body": (b"body", b"body and more"),
    "a request in the body": (b"body", b"body" + PLAIN),
}


@pytest.mark.parametrize("name", ODD)
async def test_what_is_odd_about_a_known_head_is_as_odd_as_in_a_new_one(echo, plainly, name):
    _, _, knows = echo
    sent = PLAIN.replace(*ODD[name])
    assert sent != PLAIN
    end = sent.find(b"\r\n\r\n") + 4 + len(b"body")
    for behind in (b"", PLAIN):
        await plainly(Echo())
        pieces = [sent[:end], sent[end:] + behind]  # of a fault in the same piece the parser says nothing else
        assert await Wire(knows).exchange(pieces) == await Wire(plainly.server).exchange(pieces)


async def test_a_known_request_is_answered_before_the_fault_behind_it_is(echo):
    _, _, knows = echo
    said, ended = await Wire(knows).exchange([PLAIN + b"and more"])
    assert said.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.0 400" in said
    assert ended


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    extras=st.lists(st.sampled_from(["", "X-Other: 1", "Connection: keep-alive"]), max_size=4),
    cuts=st.lists(st.integers(0, 1500), max_size=6),
)
async def test_however_requests_are_cut_into_pieces_they_are_read_as_without_the_table(
    echo, plainly, bodies, extras, cuts
):
    _, _, knows = echo
    await plainly(Echo())
    requests = [post(body, extra=extra) for body, extra in zip_longest(bodies, extras[: len(bodies)], fillvalue="")]
    ends = accumulate(map(len, requests))
    sent = b"".join(requests)

    def cut_at(places):
        at = sorted({min(place, len(sent)) for place in places} | {0, len(sent)})
        return [sent[start:end] for start, end in pairwise(at)]

    expected = await Wire(plainly.server).exchange(cut_at([*cuts, *ends]))
    assert await Wire(knows).exchange(cut_at(cuts)) == expected

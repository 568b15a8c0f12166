"""Chunks that are here whole go on without being taken apart, and nothing that only looks like one does."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from provider import END, EVENTS_HEAD, chunk
from upstream_calls import Taking

from sidecar.upstream.chunks import MOST_BYTES, NO_LINE, SIZE_LINES
from sidecar.upstream.connection import Broken, Connection
from sidecar.upstream.origin import Origin


@pytest.mark.parametrize("size", [1, 9, 15, 16, 17, 255, 256, 257, 4000, MOST_BYTES - 7])
def test_the_length_of_a_chunk_tells_its_size_line(size):
    framed = chunk(b"x" * size)
    assert SIZE_LINES[len(framed)] == b"%x\r\n" % size


@pytest.mark.parametrize("length", [0, 1, 4, 5, 21, MOST_BYTES + 1, 1 << 40])
def test_no_chunk_is_so_long(length):
    assert SIZE_LINES[length] == NO_LINE
    assert length <= MOST_BYTES or length not in SIZE_LINES


class Passing(Taking):
    """Takes chunks as they are, while it `passes`."""

    def __init__(self, *, passes=True):
        super().__init__()
        self.passes, self.passed = passes, []

    def pass_on(self, piece, framed):
        if self.passes:
            assert framed == chunk(piece)
            self.passed.append(framed)
            self.pieces.append(piece)
        return self.passes


class Wire:
    """As much of a transport as an answer takes."""

    def __init__(self):
        self.closed = False

    def is_closing(self):
        return self.closed

    def abort(self):
        self.closed = True

    def write(self, data):
        pass

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class Kept:
    def made(self, connection):
        pass

    put = lost = made


async def poured(sink, reads):
    """What became of an answer that came in `reads`: whether it ended, and whether it broke."""
    connection = Connection(Origin("http", "h", 1), Kept(), asyncio.get_running_loop())
    connection.connection_made(Wire())
    heard = connection.ask(b"")
    connection.data_received(EVENTS_HEAD)
    answer = await heard
    pouring = asyncio.ensure_future(connection.pour(answer, sink, inf, inf))
    await asyncio.sleep(0)
    for data in reads:
        if connection.is_open and not answer.ended:
            connection.data_received(data)
    connection.eof_received()
    broke = False
    try:
        await pouring
    except Broken:
        broke = True
    connection.connection_lost(None)
    return answer.ended, broke


EVENT = b"data: hello\n\n"
FRAMED = st.sampled_from(
    [
        chunk(EVENT), chunk(EVENT), chunk(EVENT * 2), chunk(b"data: half"), chunk(b"\n\n"), chunk(b"\n\n\r\n"),
        chunk(b"x\n\n\r\nd\r\ndata: hello\n\n\r\n"), b"D\r\n" + EVENT + b"\r\n", b"d;x=1\r\n" + EVENT + b"\r\n",
        b"0d\r\n" + EVENT + b"\r\n", b"1\r\n1\r\n", chunk(chunk(EVENT)), chunk(chunk(EVENT) * 2), END, b"3\r\nnot so long\r\n",
    ]
)  # fmt: skip


@given(
    framed=st.lists(FRAMED, max_size=8),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    apart=st.booleans(),
    passes=st.booleans(),
)
@example(framed=[chunk(EVENT), chunk(EVENT), chunk(chunk(EVENT) * 2)], cuts=[18, 36, 42, 60], apart=False, passes=True)
def test_however_a_body_is_cut_it_is_the_same_with_chunks_passed_on_as_without(framed, cuts, apart, passes):
    reads = framed
    if not apart:
        stream = b"".join(framed)
        edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        reads = [stream[start:end] for start, end in pairwise(edges) if start < end]

    async def both():
        quick, plain = Passing(passes=passes), Taking()
        found = await poured(quick, reads)
        slow = await poured(plain, [bytes([byte]) for data in reads for byte in data])
        assert found == slow
        assert quick.body == plain.body

    asyncio.run(both())


async def test_from_the_second_on_whole_chunks_of_events_go_on_as_they_came():
    sink = Passing()
    assert await poured(sink, [chunk(EVENT)] * 4 + [END]) == (True, False)
    assert (sink.body, sink.passed) == (EVENT * 4, [chunk(EVENT)] * 3)


@pytest.mark.parametrize("length", [21, MOST_BYTES + 1])
@pytest.mark.parametrize("first", [b"\0", b"\r", b"\n", b" ", b"x"])
async def test_what_no_chunk_begins_with_breaks_the_answer_whatever_its_length(length, first):
    sink = Passing()
    other = first + b"x" * (length - 5) + b"\n\n\r\n"
    assert await poured(sink, [chunk(EVENT), other, chunk(EVENT), END]) == (False, True)
    assert (sink.body, sink.passed) == (EVENT, [])


async def test_what_is_not_passed_on_is_taken():
    sink = Passing(passes=False)
    assert await poured(sink, [chunk(EVENT)] * 4 + [END]) == (True, False)
    assert sink.pieces == [EVENT] * 4


async def test_what_passing_on_raises_comes_out():
    class Failing(Passing):
        def pass_on(self, piece, framed):
            raise KeyError(piece)

    with pytest.raises(KeyError):
        await poured(Failing(), [chunk(EVENT)] * 2)


async def test_what_is_passed_on_puts_off_the_end_of_patience():
    loop = asyncio.get_running_loop()
    connection = Connection(Origin("http", "h", 1), Kept(), loop)
    connection.connection_made(Wire())
    heard = connection.ask(b"")
    connection.data_received(EVENTS_HEAD)
    answer = await heard

    class Timed(Passing):
        def pass_on(self, piece, framed):
            self.passed_at = loop.time()
            return super().pass_on(piece, framed)

    sink, began = Timed(), loop.time()
    pouring = asyncio.ensure_future(connection.pour(answer, sink, inf, 0.15))
    await asyncio.sleep(0)
    connection.data_received(chunk(EVENT))
    loop.call_later(0.1, connection.data_received, chunk(EVENT))
    with pytest.raises(TimeoutError):
        await pouring
    assert loop.time() - began >= 0.245  # from the second one, not the first
    assert sink.passed
    with suppress(Broken):
        connection.connection_lost(None)

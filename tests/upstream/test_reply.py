"""Bodies, pulled and poured, from providers made of raw sockets."""

import asyncio
import gzip
import time
import zlib

import pytest
from provider import END, EVENTS_HEAD, answers, chunk, head, sends, then_cut, then_hangs, whole
from upstream_calls import Taking, call, until

from sidecar.config.models import Timeouts
from sidecar.errors import UpstreamError, UpstreamTimeout
from sidecar.upstream.client import cause_of
from sidecar.upstream.connection import READ_AHEAD_BYTES
from sidecar.upstream.refusal import Cause
from sidecar.upstream.reply import UpstreamReset


@pytest.fixture
async def reply_to(provider, client):
    """`await reply_to(story)`: the provider's answer, closed when the test is over."""
    replies = []

    async def made(story, **more):
        provider.story = story
        replies.append(await client.send(call(provider, **more)))
        return replies[-1]

    yield made
    for reply in replies:
        await reply.__aexit__(None, None, None)


async def rest(reply):
    found = []
    while piece := await reply.chunk():
        found.append(piece)
    return b"".join(found)


# Pulled


async def test_a_small_answer_is_all_there_with_its_first_bytes(reply_to):
    reply = await reply_to(answers(b"hello"))
    assert not reply.ended
    assert (await reply.first(0.0), reply.ended) == (b"hello", True)
    assert (await reply.chunk(), await reply.first(None), await reply.read(5)) == (b"", b"", b"")


async def test_a_small_answer_is_first_without_giving_up_the_loop(reply_to):
    reply = await reply_to(answers(b"hello"))
    with pytest.raises(StopIteration) as done:
        reply.first(None).send(None)
    assert done.value.value == b"hello"


async def test_an_answer_without_a_body_has_ended(reply_to):
    reply = await reply_to(sends(head(204, "No")))
    assert (await reply.first(None), reply.ended) == (b"", True)


async def test_what_the_head_says_of_the_body(reply_to):
    events = await reply_to(sends(EVENTS_HEAD, END))
    assert (events.is_events, events.is_encoded) == (True, False)
    other = await reply_to(answers(b"", "content-encoding: br"))
    assert (other.is_events, other.is_encoded) == (False, True)
    assert list(other.headers.items()) == list(other.pairs)


async def test_first_bytes_that_are_held_back_are_waited_on_for(reply_to):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD)
        await gate.wait()
        await call.send(chunk(b"1"), END)

    reply = await reply_to(story)
    assert await reply.first(0.02) is None
    gate.set()
    assert (await reply.chunk(), await reply.chunk(), reply.ended) == (b"1", b"", True)


@pytest.mark.parametrize(
    ("hold_s", "timeouts", "message"),
    [
        (None, Timeouts(5, 0.25, 5), "p sent nothing for 0.25 s"),
        (1, Timeouts(5, 0.25, 5), "p sent nothing for 0.25 s"),
        (1, Timeouts(5, 5, 0.06), "p sent nothing for 0.06 s"),
    ],
)
async def test_first_bytes_have_a_time(reply_to, hold_s, timeouts, message):
    reply = await reply_to(then_hangs(EVENTS_HEAD), timeouts=timeouts)
    with pytest.raises(UpstreamTimeout) as late:
        await reply.first(hold_s)
    assert (str(late.value), cause_of(late.value)) == (message, Cause.TIMEOUT)


@pytest.mark.parametrize("pours", [False, True])
async def test_first_bytes_that_were_held_back_have_what_is_left_of_it(reply_to, pours):
    reply = await reply_to(then_hangs(EVENTS_HEAD), timeouts=Timeouts(5, 0.3, 5))
    assert await reply.first(0.02) is None
    with pytest.raises(UpstreamTimeout, match="p sent a head and nothing after it"):
        await (reply.pour(Taking()) if pours else reply.chunk())


@pytest.mark.parametrize("pours", [False, True])
async def test_a_silence_in_the_middle_has_another(reply_to, pours):
    reply = await reply_to(then_hangs(EVENTS_HEAD, chunk(b"1")), timeouts=Timeouts(5, 5, 0.05))
    assert await reply.first(None) == b"1"
    with pytest.raises(UpstreamTimeout, match=r"p sent nothing for 0\.05 s") as late:
        await (reply.pour(Taking()) if pours else reply.chunk())
    assert cause_of(late.value) is Cause.TIMEOUT


CUT = {
    "length": whole(b"hello")[:-2],
    "chunk": EVENTS_HEAD + chunk(b"hello")[:-4],
    "chunks": EVENTS_HEAD + chunk(b"hel"),
    "malformed": EVENTS_HEAD + chunk(b"hel") + b"zz\r\n",
}


@pytest.mark.parametrize("pours", [False, True])
@pytest.mark.parametrize("framing", CUT)
async def test_what_came_before_a_body_broke_is_handed_out_and_then_it_is_a_reset(reply_to, framing, pours):
    ends = then_hangs if framing == "malformed" else then_cut
    reply, sink = await reply_to(ends(CUT[framing])), Taking()
    if not pours:
        sink.take(await reply.read(3))
    with pytest.raises(UpstreamReset, match="p ended its answer before the end") as broken:
        await (reply.pour(sink) if pours else reply.chunk())
    assert (sink.body, reply.ended, cause_of(broken.value)) == (b"hel", False, Cause.RESET)


async def test_a_body_that_is_reset_is_a_reset_even_where_its_end_would_be_one(reply_to):
    gate = asyncio.Event()

    async def story(call):
        await call.send(head(200, "OK"), b"some")
        await gate.wait()
        await call.reset()

    reply = await reply_to(story)
    assert await reply.first(None) == b"some"
    gate.set()
    with pytest.raises(UpstreamReset):
        await reply.chunk()


@pytest.mark.parametrize("pours", [False, True])
async def test_a_body_without_a_length_ends_with_its_connection(reply_to, client, pours):
    reply, sink = await reply_to(then_cut(head(200, "OK"), b"to the end")), Taking()
    if pours:
        await reply.pour(sink)
    else:
        sink.take(await rest(reply))
    assert (sink.body, reply.ended) == (b"to the end", True)
    async with reply:
        pass
    assert client.connections()["idle",] == 0


async def test_a_body_without_a_length_that_we_close_has_not_ended(reply_to):
    reply = await reply_to(then_hangs(head(200, "OK"), b"some"))
    assert await reply.first(None) == b"some"
    async with reply:
        pass
    with pytest.raises(UpstreamReset):
        await reply.chunk()


async def test_of_a_long_body_no_more_is_read_than_is_asked_for(reply_to):
    reply = await reply_to(answers(b"x" * 100_000))
    assert await reply.read(10) == b"x" * 10


def flood(provider):
    """Sends without end; `provider.pushed` is how much was taken."""

    async def story(call):
        await call.send(EVENTS_HEAD)
        while not call.gone.is_set():
            await call.send(chunk(b"x" * 4000))

    provider.send_buffer_bytes = 1 << 14
    return story


async def settled(provider):
    """What the provider could push, once nobody on the way takes any more."""
    before = -1
    while provider.pushed > before:
        before = provider.pushed
        await asyncio.sleep(0.2)
    return before


async def test_what_nobody_reads_stops_the_provider(reply_to, provider):
    reply = await reply_to(flood(provider))
    pushed = await settled(provider)
    held = len(await reply.first(None))
    assert READ_AHEAD_BYTES - 5000 <= held < READ_AHEAD_BYTES + 256 * 1024  # one reading of the socket more
    await until(lambda: provider.pushed > pushed)
    assert await reply.chunk()


# Poured


async def test_a_body_is_poured_as_it_comes(reply_to, provider):
    gates = [asyncio.Event() for _ in range(3)]

    async def story(call):
        await call.send(EVENTS_HEAD)
        for number, gate in enumerate(gates):
            await gate.wait()
            await call.send(chunk(b"%d" % number))
        await call.send(END)

    reply, sink = await reply_to(story), Taking()
    pouring = asyncio.ensure_future(reply.pour(sink))
    for number, gate in enumerate(gates):
        gate.set()
        await until(lambda number=number: len(sink.pieces) > number)
    await pouring
    assert (sink.pieces, reply.ended) == ([b"0", b"1", b"2"], True)


async def test_what_was_there_before_is_poured_first_and_what_was_taken_is_not(reply_to):
    reply, sink = await reply_to(sends(EVENTS_HEAD + chunk(b"1"), chunk(b"2"), END)), Taking()
    first = await reply.first(None)
    await reply.pour(sink)
    assert first + sink.body == b"12"
    await reply.pour(sink)
    assert first + sink.body == b"12"


async def test_a_sink_that_wants_no_more_gets_no_more(reply_to, provider):
    reply, sink = await reply_to(then_hangs(EVENTS_HEAD, chunk(b"1"))), Taking(wants=1)
    await asyncio.wait_for(reply.pour(sink), 5)
    assert (sink.body, reply.ended) == (b"1", False)
    async with reply:
        pass
    await asyncio.wait_for(provider.gone.wait(), 5)


async def test_what_a_sink_raises_comes_out(reply_to):
    class Failing(Taking):
        def take(self, piece):
            raise KeyError(piece)

    for story in (answers(b"1"), then_hangs(EVENTS_HEAD, chunk(b"1"))):
        reply = await reply_to(story)
        with pytest.raises(KeyError):
            await asyncio.wait_for(reply.pour(Failing()), 5)


async def test_a_pour_that_is_given_up_ends_the_call(reply_to, provider):
    reply = await reply_to(then_hangs(EVENTS_HEAD, chunk(b"1")))
    sink = Taking()
    pouring = asyncio.ensure_future(reply.pour(sink))
    await until(lambda: sink.pieces)
    pouring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pouring
    async with reply:
        pass
    await asyncio.wait_for(provider.gone.wait(), 5)


class Slow(Taking):
    """Pauses the reply at each piece."""

    def __init__(self, reply):
        super().__init__()
        self.reply = reply

    def take(self, piece):
        self.reply.pause()
        return super().take(piece)


async def test_a_paused_pour_stops_the_provider_and_goes_on_where_it_was(reply_to, provider):
    # The idle time is shorter than the pause, in which it does not run, and longer than a busy machine may let us wait.
    reply = await reply_to(flood(provider), timeouts=Timeouts(5, 5, 0.75))
    sink = Slow(reply)
    pouring = asyncio.ensure_future(reply.pour(sink))
    await until(lambda: sink.pieces)
    paused_at = time.monotonic()
    await settled(provider)
    took = len(sink.pieces)
    await asyncio.sleep(0.8 - (time.monotonic() - paused_at))
    assert len(sink.pieces) == took == 1
    assert provider.pushed < 1 << 23  # what the sockets hold: a provider that is not stopped sends a hundred times that
    for _ in range(3):
        reply.resume()
        await until(lambda took=took: len(sink.pieces) > took)
        took = len(sink.pieces)
    assert set(sink.body) == {ord("x")}
    pouring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pouring


async def test_the_idle_time_runs_again_when_a_pour_is_resumed(reply_to):
    reply = await reply_to(then_hangs(EVENTS_HEAD, chunk(b"1")), timeouts=Timeouts(5, 5, 0.2))
    sink = Slow(reply)
    pouring = asyncio.ensure_future(reply.pour(sink))
    await asyncio.sleep(0.3)
    assert not pouring.done()
    reply.resume()
    with pytest.raises(UpstreamTimeout):
        await asyncio.wait_for(pouring, 5)


async def test_the_end_of_a_paused_pour_is_not_lost(reply_to):
    reply = await reply_to(sends(EVENTS_HEAD + chunk(b"1"), chunk(b"2"), END))
    sink = Slow(reply)
    pouring = asyncio.ensure_future(reply.pour(sink))
    async with asyncio.timeout(5):
        while not pouring.done():
            await asyncio.sleep(0.01)
            reply.resume()
    await pouring
    assert (sink.body, reply.ended) == (b"12", True)


async def test_a_connection_that_was_paused_can_be_used_again(client, provider):
    provider.story = answers(b"x" * 300_000)
    for _ in range(3):
        async with await client.send(call(provider)) as reply:
            await asyncio.sleep(0.02)
            sink = Taking()
            reply.pause()
            reply.resume()
            await reply.pour(sink)
            assert len(sink.body) == 300_000
            reply.pause()
    assert provider.opened == 1


# Compressed


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
@pytest.mark.parametrize("pours", [False, True])
async def test_a_compressed_body_can_be_read(reply_to, encoding, pack, pours):
    plain, sink = b"hello, " * 100_000, Taking()
    reply = await reply_to(answers(pack(plain), f"content-encoding: {encoding}"))
    reply.decompress()
    first = await reply.first(None)
    assert not reply.ended
    if pours:
        await reply.pour(sink)
    else:
        sink.take(await rest(reply))
    assert (first + sink.body, reply.ended) == (plain, True)


async def test_a_compressed_body_waits_for_a_paused_sink(reply_to):
    reply = await reply_to(answers(gzip.compress(bytes(1 << 20)), "content-encoding: gzip"))
    reply.decompress()
    sink = Slow(reply)
    pouring = asyncio.ensure_future(reply.pour(sink))
    await asyncio.sleep(0.02)
    assert len(sink.body) <= 1 << 16
    async with asyncio.timeout(5):
        while not pouring.done():
            reply.resume()
            await asyncio.sleep(0)
    assert len(sink.body) == 1 << 20


async def test_compression_that_is_none_or_ends_early_is_a_reset(reply_to):
    for body in (b"not at all", gzip.compress(b"hello" * 1000)[:-9]):
        reply = await reply_to(answers(body, "content-encoding: gzip"))
        reply.decompress()
        with pytest.raises(UpstreamReset):
            await rest(reply)


async def test_compression_we_cannot_read_is_said_so(reply_to):
    reply = await reply_to(answers(b"", "content-encoding: br"))
    with pytest.raises(UpstreamError, match="compressed its answer although it was asked not to: br"):
        reply.decompress()

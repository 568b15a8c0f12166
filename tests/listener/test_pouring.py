"""How a reply is poured into an outlet: what is written together, who is paused, what the time is counted as."""

import asyncio
import gzip
from types import SimpleNamespace

import pytest

from sidecar.listener.answers import Way
from sidecar.listener.passage import untouched
from sidecar.listener.relay import CLIENT_GONE, READ_LATER_BYTES, relay, relay_untouched
from sidecar.telemetry.trace import Trace
from sidecar.upstream.reply import UpstreamReset
from sidecar.upstream.shape import shape_of
from sidecar.wire.formats import Format

EVENT = b"data: 1\n\n"
TRACE = Trace("t", "r-1")
OURS = Way("/", TRACE).lines()
ALIVE = b": keep-alive\n\n"


class Poured:
    """A reply whose `story` says what it gives to its sink."""

    status, reason, is_encoded = 200, "Fine", False

    def __init__(self, story=None, kind="text/event-stream", *, ended=False):
        self.lines = [b"HTTP/1.1 200 Fine", b"content-type: %b" % kind.encode(), b"content-length: 500", b""]
        self.shape, self.found = shape_of(self.lines), None
        self.content_type, self.content_encoding = kind, ""
        self.is_events = kind == "text/event-stream"
        self.is_whole = ended
        self.told = []
        self._story = story

    async def pour(self, into):
        await self._story(into)

    def pause(self):
        self.told.append("pause")

    def resume(self):
        self.told.append("resume")


class Kept:
    """An outlet that keeps what it is given. It is full when a test says so."""

    chunks = None

    def __init__(self):
        self.writes = []
        self.full = self.gone = False
        self.rest = SimpleNamespace(pause=None, resume=None)

    def whole(self, status, reason, headers, body, *, closes=False):
        self.writes.append(("whole", status, reason, headers.sent, body, closes))

    def begin(self, status, reason, headers, first=b""):
        self.writes.append(("begin", status, reason, headers.sent, first))

    def write(self, data):
        self.writes.append(data)
        return not self.gone

    def end(self):
        self.writes.append("end")

    def cut(self):
        self.writes.append("cut")

    def on_room(self, pause, resume):
        self.rest = SimpleNamespace(pause=pause, resume=resume)

    def fills(self):
        self.full = True
        self.rest.pause()

    def empties(self):
        self.full = False
        self.rest.resume()


async def poured(outlet, reply, first=None, *, keepalive_s=15):
    way, passage = Way("/", TRACE), untouched(Format.CHAT, reply)
    return await relay(outlet, reply, first, ours=way, passage=passage, keepalive_s=keepalive_s), way.journal


async def test_a_reply_that_is_here_whole_is_one_write_with_its_head():
    outlet, way, body = Kept(), Way("/", TRACE), b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    reply, journal = Poured(kind="application/json", ended=True), way.journal
    code = await relay_untouched(outlet, reply, body, form=Format.CHAT, ours=way, keepalive_s=15)
    told = b"content-type: application/json\r\ncontent-length: 500\r\n" + OURS
    assert outlet.writes == [("whole", 200, "Fine", told, body, False)]
    assert (code, journal.bytes_out, journal.first_byte_at is None) == (None, len(body), False)
    assert journal.told().usage.output == 2


async def test_only_a_small_answer_is_kept_until_somebody_asks_what_it_cost():
    async def relayed(body, packing=""):
        reply, way = Poured(kind="application/json", ended=True), Way("/", TRACE)
        reply.content_encoding = packing
        await relay_untouched(Kept(), reply, body, form=Format.CHAT, ours=way, keepalive_s=15)
        return way.journal

    small = b'{"usage":{"prompt_tokens":1,"completion_tokens":2}}'
    large = small[:-1] + b',"choices":[],"x":"' + b"x" * READ_LATER_BYTES + b'"}'
    journals = [await relayed(small), await relayed(large), await relayed(gzip.compress(large), "gzip")]
    assert [journal.unread is None for journal in journals] == [False, True, True]
    assert [journal.told().usage.output for journal in journals] == [2, 2, 2]


async def test_the_first_bytes_leave_with_the_head_and_each_piece_as_it_comes():
    async def story(into):
        assert into.take(EVENT)
        assert outlet.writes[1:] == [EVENT], "before anything else ran"

    outlet = Kept()
    assert (await poured(outlet, Poured(story), EVENT))[0] is None
    assert outlet.writes == [("begin", 200, "Fine", b"content-type: text/event-stream\r\n" + OURS, EVENT), EVENT, "end"]


async def test_a_stream_that_is_here_whole_ends_without_being_poured():
    outlet = Kept()
    assert (await poured(outlet, Poured(ended=True), b""))[0] is None
    assert outlet.writes[1:] == ["end"]


async def test_a_full_outlet_pauses_the_reply_and_that_time_is_the_clients():
    async def story(into):
        into.take(EVENT)
        outlet.fills()
        await asyncio.sleep(0.03)
        outlet.empties()
        await asyncio.sleep(0.01)

    outlet, reply = Kept(), Poured(story)
    _, journal = await poured(outlet, reply)
    assert reply.told == ["pause", "resume"]
    assert journal.client_s >= 0.025
    assert 0.005 < journal.provider_s < 0.03


async def test_nothing_is_put_in_behind_the_end_when_a_slow_client_takes_the_rest_late():
    async def story(into):
        into.take(EVENT)
        outlet.full = True

    outlet = Kept()
    relayed = asyncio.ensure_future(poured(outlet, Poured(story), keepalive_s=0.005))
    await asyncio.sleep(0.02)
    assert outlet.writes[-1] == "end"
    outlet.full = False  # the socket has room, and the timer goes off before whoever waits for it is woken
    await asyncio.sleep(0.02)
    outlet.rest.resume()
    await relayed
    assert outlet.writes[1:] == [EVENT, "end"]


async def test_an_answer_is_over_when_a_slow_client_has_taken_it():
    async def story(into):
        into.take(EVENT)
        outlet.full = True

    outlet = Kept()
    relayed = asyncio.ensure_future(poured(outlet, Poured(story)))
    await asyncio.sleep(0.01)
    assert outlet.writes[-1] == "end"
    assert not relayed.done()
    outlet.empties()
    code, journal = await relayed
    assert code is None
    assert journal.client_s > 0.005


async def test_a_client_that_is_gone_wants_no_more():
    async def story(into):
        outlet.gone = True
        assert not into.take(EVENT)

    outlet = Kept()
    assert (await poured(outlet, Poured(story)))[0] == CLIENT_GONE
    assert outlet.writes[-1] == "cut"


async def test_a_silence_is_broken_once_for_each_keepalive_s_and_not_for_who_does_not_read():
    async def story(into):
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(0.05)
        silent_s.append(asyncio.get_running_loop().time() - began)  # longer, where the machine has much to do
        outlet.full = True
        at = len(outlet.writes)
        await asyncio.sleep(0.05)
        assert len(outlet.writes) == at
        outlet.full = False
        into.take(EVENT)

    outlet, silent_s = Kept(), []
    _, journal = await poured(outlet, Poured(story), keepalive_s=0.02)
    alive = outlet.writes.count(ALIVE)
    assert 1 <= alive <= silent_s[0] / 0.02
    assert journal.bytes_out == alive * len(ALIVE) + len(EVENT)


@pytest.mark.parametrize(
    ("error", "code"), [(UpstreamReset("gone"), "upstream_reset"), (RuntimeError(), "internal_error")]
)
async def test_what_breaks_in_mid_answer_cuts_it(error, code, caplog):
    async def story(into):
        into.take(EVENT)
        raise error

    outlet = Kept()
    assert (await poured(outlet, Poured(story)))[0] == code
    assert outlet.writes[-1] == "cut"
    assert "end" not in outlet.writes
    assert (b"upstream_reset" in outlet.writes[-2]) is (code == "upstream_reset")
    assert ("Traceback" in caplog.text) is (code == "internal_error")

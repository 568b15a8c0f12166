"""
A provider's answer to the client, chunk by chunk as it comes.

Before its head is sent an error is a response; from then on it can only cut the connection. The callback that receives
a chunk writes it to the client: no task and no queue is between them, which was 40 % of the time of a chunk. A slow
client slows the provider: it is not read from while more than 64 KiB wait here for the client.
"""

import asyncio
import logging
from math import inf
from time import monotonic
from typing import Protocol

from sidecar.errors import SidecarError, UpstreamError
from sidecar.listener.head import Headers
from sidecar.listener.journal import Journal
from sidecar.listener.outlet import Outlet
from sidecar.listener.passage import Passage, untouched
from sidecar.upstream.relaying import AS_IT_IS, UNCOUNTED, relayed, to_client
from sidecar.upstream.reply import Reply, UpstreamReset
from sidecar.wire.formats import Format
from sidecar.wire.taps import account_of

CLIENT_GONE = "client_gone"
READ_LATER_BYTES = 8 * 1024
"""A whole answer up to this length is kept until its record is made. To read it then takes a third of the time."""
faults = logging.getLogger("sidecar.listener")


class Ours(Protocol):
    """What every answer says of its way."""

    journal: Journal

    def headers(self) -> list[tuple[str, str]]: ...

    def lines(self) -> bytes | None:
        """The same, ready to be sent, where all of them have names that are only ours."""
        ...


async def relay_untouched(
    outlet: Outlet, reply: Reply, first: bytes | None, *, form: Format, ours: Ours, keepalive_s: float
) -> str | None:
    """`relay` for an answer whose bytes go as they are, with `ours` among its headers."""
    if first is not None and reply.is_whole and not reply.is_events:
        relay_whole(outlet, reply, first, form=form, ours=ours)
        return None
    passage = untouched(form, reply)
    return await relay(outlet, reply, first, ours=ours, passage=passage, keepalive_s=keepalive_s)


def relay_whole(outlet: Outlet, reply: Reply, first: bytes, *, form: Format, ours: Ours) -> None:
    """All of it is here, and is no stream, into which something may be put: head and body leave in one write."""
    journal = ours.journal
    if first:
        journal.begins()
        journal.bytes_out += len(first)
    headers = relayed(reply, ours.lines()) or head_of(reply, ours, AS_IT_IS)
    outlet.whole(reply.status, reply.reason, headers, first)
    if len(first) <= READ_LATER_BYTES and not reply.content_encoding:
        journal.unread = form, reply.content_type, first
    else:
        journal.account = account_of(form, reply.content_type, reply.content_encoding, first)


def head_of(reply: Reply, ours: Ours, stays: frozenset[str], more: tuple[str, str] | None = None) -> Headers:
    """
    The headers of the answer to the client. `stays`: what of the provider's does not cross beside what never does;
    `more`: one of ours beside those that every answer has.
    """
    lines = ours.lines()
    if more is not None and lines is not None:
        lines += b"%b: %b\r\n" % (more[0].encode(), more[1].encode())
    return (
        relayed(reply, lines, stays)
        or to_client(reply.pairs, stays=stays, ours=[*ours.headers(), *((more,) if more else ())]).items()
    )


async def relay(
    outlet: Outlet,
    reply: Reply,
    first: bytes | None,
    *,
    ours: Ours,
    passage: Passage,
    keepalive_s: float,
    stays: frozenset[str] = AS_IT_IS,
    more: tuple[str, str] | None = None,
) -> str | None:
    """
    Sends `reply` through `passage`, beginning with its first bytes when they are here already. `stays` and `more` are as
    in `head_of`. The code of what cut it short, if anything did. Where the time went is written into the journal.
    """
    journal = ours.journal
    journal.streamed = reply.is_events
    if stays is AS_IT_IS and passage.keepalive:
        # Something of ours may be put in. A length would count it, and an answer that broke off could look whole.
        stays = UNCOUNTED
    headers = head_of(reply, ours, stays, more)
    flow = _Flow(outlet, reply, passage, journal, keepalive_s)
    try:
        code = await flow.run(headers, first)
    except asyncio.CancelledError:
        if outlet.broken is None:
            raise
        heard()
        code = flow.break_off(outlet.broken)
    except Exception:  # noqa: BLE001 - the last resort, with the cause in the log
        # Nothing should come here. A second response would be written into the first one.
        faults.exception("unexpected, in mid-answer")
        code = SidecarError.code
    finally:
        flow.over()
    if code is not None:
        outlet.cut()
    return code


def heard() -> None:
    """The task was cancelled, and goes on: what it waits for from here on is not cancelled again."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


class _Flow:
    """The sink that a reply is poured into."""

    __slots__ = (
        "_begun", "_chunks", "_ended", "_feed", "_glance", "_heard_at", "_journal", "_keepalive_s", "_loop", "_outlet",
        "_passage", "_paused_at", "_paused_s", "_reply", "_room", "_time", "_timer", "passed_at",
    )  # fmt: skip

    def __init__(self, outlet: Outlet, reply: Reply, passage: Passage, journal: Journal, keepalive_s: float) -> None:
        self._outlet = outlet
        self._reply = reply
        self._passage = passage
        self._journal = journal
        self._keepalive_s = keepalive_s
        self._feed, self._glance = passage.feed, passage.glance
        self._chunks: asyncio.Transport | None = None
        self.passed_at = -inf
        self._loop = loop = asyncio.get_running_loop()
        self._time = loop.time
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._begun = self._ended = False
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._room: asyncio.Future[None] | None = None

    async def run(self, headers: Headers, first: bytes | None) -> str | None:
        outlet, reply, passage = self._outlet, self._reply, self._passage
        outlet.on_room(self.pause, self.resume)
        if passage.keepalive:
            self._heard_at = self._time()
            self._timer = self._loop.call_later(self._keepalive_s, self._tick)
        # From here on the status is sent: an error can only cut the connection.
        outlet.begin(reply.status, reply.reason, headers, self._told(self._fed(first)))
        self._chunks = outlet.chunks
        if first != b"" and not passage.ended:
            try:
                await self._poured()
            except UpstreamError as exc:
                self._write(passage.fail(exc))
                return CLIENT_GONE if outlet.gone else exc.code
        if outlet.gone:
            return CLIENT_GONE
        self._write(passage.finish())
        if passage.failed:
            return UpstreamReset.code
        self._ended = True
        outlet.end()
        await self._taken()
        return CLIENT_GONE if outlet.gone else None

    def break_off(self, error: SidecarError) -> str:
        """Ends it before its time, visibly where the format has a word for it. The code of what cut it short."""
        if not self._ended:
            self._write(self._passage.fail(error))
        return error.code

    def take(self, piece: bytes) -> bool:
        """The reply's next bytes. Whether more are wanted."""
        if not self._begun:
            self._begun = True
            self._journal.begins()
        out = self._feed(piece)
        if not out:
            return not (self._passage.ended or self._outlet.gone)
        self._journal.bytes_out += len(out)
        if self._timer is not None:
            self._heard_at = self._time()
        return self._outlet.write(out) and not self._passage.ended

    def pass_on(self, piece: bytes, chunk: bytes) -> bool:
        """See `Sink`."""
        chunks = self._chunks
        if chunks is None or chunks.is_closing() or (out := self._glance(piece)) is None:
            return False
        chunks.write(chunk if out is piece else b"%x\r\n%b\r\n" % (len(out), out))
        self._journal.bytes_out += len(out)
        self.passed_at = self._time()
        return True

    def pause(self) -> None:
        """The client is slow."""
        if self._paused_at is None:
            self._paused_at = monotonic()
            self._reply.pause()

    def resume(self) -> None:
        if self._paused_at is not None:
            self._paused_s += monotonic() - self._paused_at
            self._paused_at = None
            self._reply.resume()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def over(self) -> None:
        """Whatever came of it."""
        self._outlet.on_room(None, None)
        if self._timer is not None:
            self._timer.cancel()
        if self._paused_at is not None:
            self._paused_s += monotonic() - self._paused_at
        self._journal.client_s += self._paused_s
        self._journal.account = self._passage.account

    async def _poured(self) -> None:
        began, paused_s = monotonic(), self._paused_s
        try:
            await self._reply.pour(self)
        finally:
            now = monotonic()
            if self._paused_at is not None:
                self._paused_s, self._paused_at = self._paused_s + now - self._paused_at, now
            self._journal.provider_s += now - began - (self._paused_s - paused_s)

    async def _taken(self) -> None:
        """Waits until the client has taken what it was sent, but for what its socket holds."""
        if self._outlet.full and not self._outlet.gone:
            self._paused_at = self._paused_at or monotonic()
            self._room = self._loop.create_future()
            await self._room

    def _fed(self, piece: bytes | None) -> bytes:
        if not piece:
            return b""
        if not self._begun:
            self._begun = True
            self._journal.begins()
        return self._passage.feed(piece)

    def _told(self, out: bytes) -> bytes:
        self._journal.bytes_out += len(out)
        return out

    def _write(self, out: bytes) -> None:
        if out:
            self._outlet.write(self._told(out))
            if self._timer is not None:
                self._heard_at = self._time()

    def _tick(self) -> None:
        """
        Breaks a silence of `keepalive_s` where the passage has a place for it. Armed once per silence at most: to move
        the timer with each chunk would cost more than the chunk.
        """
        if self._ended:
            return  # what is written now would be read as the beginning of the next answer
        silent_s = self._time() - max(self._heard_at, self.passed_at)
        if silent_s >= self._keepalive_s:
            if not self._outlet.full:  # one who does not read needs nothing to hold on to
                self._outlet.write(self._told(self._passage.keepalive))
            silent_s, self._heard_at = 0.0, self._time()
        self._timer = self._loop.call_later(max(self._keepalive_s - silent_s, 0.001), self._tick)

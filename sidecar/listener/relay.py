"""
A provider's answer to the client, chunk by chunk as it comes.

Before its head is sent an error is a response; from then on it can only cut the connection. The callback that receives
a chunk writes it to the client: no task and no queue is between them, which was 40 % of the time of a chunk. A slow
client slows the provider: it is not read from while more than 64 KiB wait here for the client.
"""

import asyncio
import logging
from collections.abc import Collection
from time import monotonic

from multidict import CIMultiDict

from sidecar.errors import SidecarError, UpstreamError
from sidecar.listener.journal import Journal
from sidecar.listener.outlet import Outlet
from sidecar.listener.passage import Passage, untouched
from sidecar.upstream.headers import relayed, to_client
from sidecar.upstream.reply import Reply, UpstreamReset
from sidecar.wire.formats import Format
from sidecar.wire.taps import account_of

CLIENT_GONE = "client_gone"
faults = logging.getLogger("sidecar.listener")


async def relay_untouched(
    outlet: Outlet,
    reply: Reply,
    first: bytes | None,
    *,
    form: Format,
    ours: Collection[tuple[str, str]],
    keepalive_s: float,
    journal: Journal,
) -> str | None:
    """`relay` for an answer whose bytes go as they are, with `ours` among its headers."""
    if first is None or not reply.ended or reply.is_events:
        headers = to_client(reply.pairs, untouched=True, ours=ours)
        passage = untouched(form, reply)
        return await relay(
            outlet, reply, first, headers=headers, passage=passage, keepalive_s=keepalive_s, journal=journal
        )
    # All of it is here, and is no stream, into which something may be put: head and body leave in one write.
    if first:
        journal.begins()
        journal.bytes_out += len(first)
    outlet.whole(reply.status, reply.reason, relayed(reply.head, ours), first)
    journal.account = account_of(form, reply.content_type, reply.content_encoding, first)
    return None


async def relay(
    outlet: Outlet,
    reply: Reply,
    first: bytes | None,
    *,
    headers: CIMultiDict[str],
    passage: Passage,
    keepalive_s: float,
    journal: Journal,
) -> str | None:
    """
    Sends `reply` through `passage`, beginning with its first bytes when they are here already. The code of what cut it
    short, if anything did. Where the time went is written into `journal`.
    """
    journal.streamed = reply.is_events
    if passage.keepalive:
        # Something of ours may be put in. A length would count it, and an answer that broke off could look whole.
        headers.popall("content-length", None)
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
        "_begun", "_ended", "_heard_at", "_journal", "_keepalive_s", "_loop", "_outlet", "_passage", "_paused_at", "_paused_s",
        "_reply", "_room", "_timer",
    )  # fmt: skip

    def __init__(self, outlet: Outlet, reply: Reply, passage: Passage, journal: Journal, keepalive_s: float) -> None:
        self._outlet = outlet
        self._reply = reply
        self._passage = passage
        self._journal = journal
        self._keepalive_s = keepalive_s
        self._loop = asyncio.get_running_loop()
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._begun = self._ended = False
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._room: asyncio.Future[None] | None = None

    async def run(self, headers: CIMultiDict[str], first: bytes | None) -> str | None:
        outlet, reply, passage = self._outlet, self._reply, self._passage
        outlet.on_room(self.pause, self.resume)
        if passage.keepalive:
            self._heard_at = self._loop.time()
            self._timer = self._loop.call_later(self._keepalive_s, self._tick)
        # From here on the status is sent: an error can only cut the connection.
        outlet.begin(reply.status, reply.reason, headers.items(), self._told(self._fed(first)))
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
        out = self._passage.feed(piece)
        if out:
            self._journal.bytes_out += len(out)
            self._outlet.write(out)
            if self._timer is not None:
                self._heard_at = self._loop.time()
        return not (self._passage.ended or self._outlet.gone)

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
                self._heard_at = self._loop.time()

    def _tick(self) -> None:
        """
        Breaks a silence of `keepalive_s` where the passage has a place for it. Armed once per silence at most: to move
        the timer with each chunk would cost more than the chunk.
        """
        if self._ended:
            return  # what is written now would be read as the beginning of the next answer
        silent_s = self._loop.time() - self._heard_at
        if silent_s >= self._keepalive_s:
            if not self._outlet.full:  # one who does not read needs nothing to hold on to
                self._outlet.write(self._told(self._passage.keepalive))
            silent_s, self._heard_at = 0.0, self._loop.time()
        self._timer = self._loop.call_later(max(self._keepalive_s - silent_s, 0.001), self._tick)

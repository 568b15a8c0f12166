"""
A provider's answer, as its bytes come: as they are, unless somebody has to read them.

It is pulled (`first`, `chunk`, `read`) or poured: then each piece goes on in the callback that received it, without a
task being woken.
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy

from sidecar.config.models import Timeouts
from sidecar.errors import UpstreamError, UpstreamTimeout
from sidecar.upstream.answer import Answer
from sidecar.upstream.connection import Broken, Connection, Sink
from sidecar.upstream.origin import Origin
from sidecar.upstream.shape import Shape

PIECE_BYTES = 64 * 1024
"""Of a compressed answer, so much is unpacked at once."""


class UpstreamReset(UpstreamError):
    """The provider cut the connection in the middle of its answer."""

    code = "upstream_reset"


class Call(Struct, frozen=True):
    """One request to a provider, ready to be sent."""

    provider: str
    """For messages."""
    origin: Origin
    head: bytes
    """As it shall be sent, from its first line to its blank one."""
    body: bytes | AsyncIterator[bytes] | None
    timeouts: Timeouts
    replayable: bool = True
    """Whether sending it twice does no harm."""
    bare: bool = False
    """Whether it is a HEAD, whose answer has no body whatever it says."""
    length: int | None = None
    """Of an upload, as the head says; None for chunks."""

    def __repr__(self) -> str:
        return f"Call({self.provider!r})"  # there are keys in its head


class Sending(Protocol):
    """What goes on being sent while the answer comes."""

    async def stop(self) -> None: ...


class Reply(Struct, eq=False):
    """
    A provider's answer: its head is here, its body comes as it is asked for. Close it (`async with`). Made by `reply_of`;
    a Struct, because one is made for every request.
    """

    status: int
    reason: str | None
    content_type: str
    """In lower case, as is the next; both are empty where nothing is said."""
    content_encoding: str
    is_events: bool
    """Whether the body is a stream of events, compressed or not."""
    found: re.Match[bytes] | None
    """As in `Answer`."""
    _call: Call
    _connection: Connection
    _answer: Answer
    _sending: Sending | None = None
    is_whole: bool = False
    """Whether what `whole` or `first` gave is all of the body, and nothing can go wrong any longer."""
    _headers: CIMultiDictProxy[str] | None = None
    _inflater: "zlib._Decompress | None" = None
    _first_due_at: float | None = None

    def __repr__(self) -> str:
        return f"Reply({self.status})"  # what was answered is nobody's business but the client's

    @property
    def lines(self) -> Sequence[bytes]:
        """The answer's head in lines, without their ends; an empty one is the last."""
        return self._answer.lines

    @property
    def shape(self) -> Shape:
        """What stands on which of them."""
        return self._answer.form.shape

    @property
    def is_encoded(self) -> bool:
        return self._answer.form.is_encoded

    @property
    def pairs(self) -> Sequence[tuple[str, str]]:
        """The headers, for whoever goes through them once."""
        return self._answer.pairs

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        if self._headers is None:
            self._headers = CIMultiDictProxy(CIMultiDict(self._answer.pairs))
        return self._headers

    @property
    def ended(self) -> bool:
        """Whether the body is here to its end and was handed out: nothing will come, and nothing can go wrong."""
        answer, inflater = self._answer, self._inflater
        return answer.ended and not answer.pieces and (inflater is None or (inflater.eof and answer.begun))

    # Pulled

    def whole(self) -> bytes | None:
        """All of the body, where it is here, as nearly always if it is small; else None, and `first` is to be asked."""
        answer = self._answer
        if not answer.ended or self._inflater is not None or self._connection.holds:
            return None
        self.is_whole = True
        return answer.taken()

    async def first(self, hold_s: float | None) -> bytes | None:
        """
        The first bytes of the body. None when they are not here within `hold_s` (None: as long as any): `chunk` and
        `pour` wait on for them then. Raises as `chunk`, UpstreamTimeout when none come within the time for a first
        byte.
        """
        if (body := self.whole()) is not None:
            return body
        answer, limit_s = self._answer, self._call.timeouts.first_byte_s
        if self._inflater is None and answer.pieces:
            return self._taken()
        now = asyncio.get_running_loop().time()
        try:
            return await self._some(now + (limit_s if hold_s is None else min(hold_s, limit_s)))
        except _Late as exc:
            if hold_s is not None and hold_s < limit_s:
                self._first_due_at = now + limit_s
                return None
            raise UpstreamTimeout(f"{self._call.provider} sent nothing for {limit_s:g} s") from exc

    async def chunk(self) -> bytes:
        """
        The next bytes of the body as they came, empty at its end. Raises UpstreamReset when the body ends before its
        end, UpstreamTimeout after too long a silence.
        """
        try:
            chunk = await self._some(self._first_due_at)
        except _Late as exc:
            raise self._nothing_after_the_head() from exc
        self._first_due_at = None
        return chunk

    async def read(self, limit_bytes: int) -> bytes:
        """All of a body that is at most `limit_bytes` long; of a longer one, no more than that. Raises as `chunk`."""
        body = bytearray()
        while len(body) < limit_bytes and (chunk := await self.chunk()):
            body += chunk
        return bytes(body[:limit_bytes])

    async def _some(self, due_at: float | None) -> bytes:
        return await (self._raw(due_at) if self._inflater is None else self._plain(self._inflater, due_at))

    async def _raw(self, due_at: float | None) -> bytes:
        """Raises _Late when `due_at` comes before anything else."""
        answer = self._answer
        silent_at = asyncio.get_running_loop().time() + self._call.timeouts.idle_s
        while not answer.pieces and not answer.ended:
            try:
                await self._connection.more(silent_at if due_at is None else min(due_at, silent_at))
            except TimeoutError as exc:
                if due_at is not None and due_at <= silent_at:
                    raise _Late from exc
                raise self._silent() from exc
            except Broken as exc:
                raise self._reset() from exc
        return self._taken()

    def _taken(self) -> bytes:
        data = self._answer.taken()
        if self._connection.holds:
            self._connection.make_room()
        return data

    def decompress(self) -> None:
        """
        From here on the body is given in plain bytes, for answers that are read and were compressed unasked. Raises
        UpstreamError for a compression we cannot read.
        """
        encoding = self.content_encoding
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflater = zlib.decompressobj(47)  # either of them
        elif self.is_encoded:
            raise UpstreamError(f"{self._call.provider} compressed its answer although it was asked not to: {encoding}")

    async def _plain(self, inflater: "zlib._Decompress", due_at: float | None) -> bytes:
        while True:
            raw = inflater.unconsumed_tail or await self._raw(due_at)
            try:
                plain = inflater.decompress(raw, PIECE_BYTES)
            except zlib.error as exc:
                raise UpstreamReset(f"{self._call.provider} did not compress its answer as it says") from exc
            if plain or (not raw and inflater.eof):
                return plain
            if not raw:
                raise self._reset()

    # Poured

    async def pour(self, into: Sink) -> None:
        """
        Gives every further piece of the body to `into.take`, in the callback that received it, until the body ends or
        `take` says no more. Raises as `chunk`. What `into.take` raises comes out here.
        """
        if self._inflater is not None:
            await self._pour_plain(into)
            return
        idle_s = self._call.timeouts.idle_s
        silent_at, due_at = asyncio.get_running_loop().time() + idle_s, self._first_due_at
        try:
            await self._connection.pour(
                self._answer, into, silent_at if due_at is None else min(due_at, silent_at), idle_s
            )
        except TimeoutError as exc:
            if due_at is not None and due_at <= silent_at and not self._answer.begun:
                raise self._nothing_after_the_head() from exc
            raise self._silent() from exc
        except Broken as exc:
            raise self._reset() from exc

    async def _pour_plain(self, into: Sink) -> None:
        """Pulled: what one piece is unpacked to may be more than a slow client should be given at once."""
        while (chunk := await self.chunk()) and into.take(chunk):
            await self._connection.resumed()

    def pause(self) -> None:
        """Stops reading from the provider. The idle time does not run meanwhile."""
        self._connection.pause()

    def resume(self) -> None:
        """Reads on. What had come is poured before this returns."""
        self._connection.resume()

    # The end

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def let_go(self) -> bool:
        """`close` for whoever does not want to wait. Whether that could be: else nothing was done."""
        if self._sending is None:
            self._connection.give_back(self._answer)
        return self._sending is None

    async def close(self) -> None:
        """For whoever cannot do it by `async with`."""
        try:
            if self._sending is not None:
                await self._sending.stop()
        finally:
            # A body read to its end gives its connection back to the pool; any other is closed with it.
            self._connection.give_back(self._answer)

    def _silent(self) -> UpstreamTimeout:
        return UpstreamTimeout(f"{self._call.provider} sent nothing for {self._call.timeouts.idle_s:g} s")

    def _nothing_after_the_head(self) -> UpstreamTimeout:
        return UpstreamTimeout(f"{self._call.provider} sent a head and nothing after it")

    def _reset(self) -> UpstreamReset:
        return UpstreamReset(f"{self._call.provider} ended its answer before the end")


def reply_of(call: Call, connection: Connection, answer: Answer, sending: Sending | None = None) -> Reply:
    form = answer.form
    return Reply(
        answer.status,
        form.reason,
        form.content_type,
        form.content_encoding,
        form.is_events,
        answer.found,
        call,
        connection,
        answer,
        sending,
    )


class _Late(TimeoutError):
    """The first byte has not come in time."""

"""
A provider's answer, chunk by chunk as it comes: bytes as they are, unless somebody has to read them.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import aiohttp
from attrs import field, frozen
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from sidecar.config.models import Timeouts
from sidecar.errors import UpstreamError, UpstreamTimeout

PIECE_BYTES = 64 * 1024
"""Of a compressed answer, so much is unpacked at once."""


class UpstreamReset(UpstreamError):
    """The provider cut the connection in the middle of its answer."""

    code = "upstream_reset"


@frozen
class Call:
    """One request to a provider, ready to be sent."""

    provider: str
    """For messages."""
    method: str
    url: URL
    """With path and query encoded as they shall be sent."""
    headers: CIMultiDict[str]
    body: bytes | AsyncIterator[bytes] | None
    timeouts: Timeouts = field(factory=Timeouts)
    replayable: bool = True
    """Whether sending it twice does no harm."""


class Reply:
    """A provider's answer: its head is here, its body comes as it is asked for. Close it (`async with`)."""

    def __init__(self, call: Call, response: aiohttp.ClientResponse) -> None:
        self._call = call
        self._response = response
        self._inflater: zlib._Decompress | None = None
        self._first_due_at: float | None = None
        self._unwatch = _watch(response, call.timeouts.idle_s)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def reason(self) -> str | None:
        return self._response.reason

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._response.headers

    @property
    def is_events(self) -> bool:
        """Whether the body is a stream of events, compressed or not."""
        return self.headers.get("content-type", "").lower().startswith("text/event-stream")

    @property
    def is_encoded(self) -> bool:
        return self.headers.get("content-encoding", "identity").lower() != "identity"

    async def chunk(self) -> bytes:
        """
        The next bytes of the body as they came, empty at its end. Raises UpstreamReset when the body ends before its
        end, UpstreamTimeout after too long a silence.
        """
        if self._first_due_at is None:
            return await self._some()
        try:
            async with asyncio.timeout_at(self._first_due_at):
                chunk = await self._some()
        except TimeoutError as exc:
            raise UpstreamTimeout(f"{self._call.provider} sent a head and nothing after it") from exc
        self._first_due_at = None
        return chunk

    async def first(self, hold_s: float | None) -> bytes | None:
        """
        The first bytes of the body. None when they are not here within `hold_s` (None: as long as any): `chunk` waits
        on for them then. Raises as `chunk`, UpstreamTimeout when none come within the time for a first byte.
        """
        limit_s = self._call.timeouts.first_byte_s
        try:
            async with asyncio.timeout(limit_s if hold_s is None else min(hold_s, limit_s)):
                return await self.chunk()
        except TimeoutError as exc:
            if hold_s is not None and hold_s < limit_s:
                self._first_due_at = asyncio.get_running_loop().time() + limit_s - hold_s
                return None
            raise UpstreamTimeout(f"{self._call.provider} sent nothing for {limit_s:g} s") from exc

    async def _some(self) -> bytes:
        return await (self._raw() if self._inflater is None else self._plain(self._inflater))

    def decompress(self) -> None:
        """
        From here on `chunk` gives plain bytes, for answers that are read and were compressed unasked. Raises
        UpstreamError for a compression we cannot read.
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflater = zlib.decompressobj(47)  # either of them
        elif encoding not in {"", "identity"}:
            raise UpstreamError(f"{self._call.provider} compressed its answer although it was asked not to: {encoding}")

    async def _plain(self, inflater: "zlib._Decompress") -> bytes:
        while True:
            raw = inflater.unconsumed_tail or await self._raw()
            try:
                plain = inflater.decompress(raw, PIECE_BYTES)
            except zlib.error as exc:
                raise UpstreamReset(f"{self._call.provider} did not compress its answer as it says") from exc
            if plain or (not raw and inflater.eof):
                return plain
            if not raw:
                raise UpstreamReset(f"{self._call.provider} ended its answer before the end")

    async def _raw(self) -> bytes:
        content = self._response.content
        try:
            if content.exception() is not None and (left := content._read_nowait(-1)):  # noqa: SLF001 - no other way
                return left  # it came before the connection broke; aiohttp itself would drop it
            return await content.readany()
        except TimeoutError as exc:
            raise UpstreamTimeout(f"{self._call.provider} sent nothing for {self._call.timeouts.idle_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamReset(f"{self._call.provider} ended its answer before the end") from exc

    async def read(self, limit_bytes: int) -> bytes:
        """All of a body that is at most `limit_bytes` long; of a longer one, no more than that. Raises as `chunk`."""
        body = bytearray()
        while len(body) < limit_bytes and (chunk := await self.chunk()):
            body += chunk
        return bytes(body[:limit_bytes])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwatch()
        # A body read to its end gives its connection back to the pool; any other is closed with it.
        self._response.close()


def _watch(response: aiohttp.ClientResponse, idle_s: float) -> Callable[[], None]:
    """
    Sees to it that a body which does not go on says so: after a silence, and after a malformed chunk, for which aiohttp
    closes the connection and tells nobody. What it gives ends the watch.
    """
    protocol = response.connection.protocol if response.connection is not None else None
    if protocol is None:  # all of it is here
        return lambda: None
    protocol.read_timeout = idle_s  # not earlier: until its head is here, the first byte has a limit of its own
    protocol.start_timeout()
    closed = protocol.closed
    if closed is None:
        return lambda: None
    content = response.content

    def broken(_closed: "asyncio.Future[None]") -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))

    def unwatch() -> None:
        closed.remove_done_callback(broken)

    closed.remove_done_callback(_looked_at)  # once is enough, however many calls go over the connection
    closed.add_done_callback(_looked_at)
    closed.add_done_callback(broken)
    return unwatch


def _looked_at(closed: "asyncio.Future[None]") -> None:
    """asyncio complains in the log about an error that nobody looked at."""
    if not closed.cancelled():
        closed.exception()

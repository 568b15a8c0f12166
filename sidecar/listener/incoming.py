"""
A request, as far as the listener reads it.

    Heard    aiohttp's own
    Lean     that of the fast path, read by aiohttp's parser
    Known    likewise, of a head that need not be parsed: it was seen before
"""

import asyncio
from typing import Protocol

from aiohttp import HttpVersion, HttpVersion11, StreamReader, web
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy

from sidecar.listener.seen import Seen


class Incoming(Protocol):
    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str:
        """Decoded, without the query."""
        ...

    @property
    def raw_path(self) -> str:
        """Path and query as they came."""
        ...

    @property
    def version(self) -> HttpVersion: ...

    @property
    def headers(self) -> CIMultiDictProxy[str]: ...

    @property
    def head(self) -> Seen | None:
        """What is known of its head beforehand; None where its headers are to be looked at."""
        ...

    @property
    def session(self) -> str | None:
        """Where `head` is there: what `X-Session-Id` says, which is 1 to 256 visible ASCII characters; None: nothing."""
        ...

    @property
    def remote(self) -> str | None:
        """The address it came from; None when there is none to tell."""
        ...

    @property
    def content(self) -> StreamReader:
        """Its body."""
        ...

    @property
    def whole(self) -> bytes | None:
        """All of its body, where that came with its head and is at hand in one piece; `content` has it in any case."""
        ...

    @property
    def content_length(self) -> int | None:
        """Of its body in bytes, where the client told it."""
        ...

    @property
    def transport(self) -> asyncio.Transport | None:
        """Its connection; None once that is closed."""
        ...


def pairs(request: Incoming) -> tuple[tuple[str, str], ...]:
    """Its headers in order, repeats kept."""
    return tuple(request.headers.items())


class Heard(web.BaseRequest):
    """aiohttp's, which keeps its body to itself until it is asked for it."""

    whole = head = session = None


class Carrier(Protocol):
    """A connection that a request came by."""

    @property
    def transport(self) -> asyncio.Transport | None: ...

    def body(self) -> StreamReader:
        """An empty one, to be filled."""
        ...


class Lean(Struct):
    """A struct, since one is made for every request: in a fifth of the time that a class of our own takes."""

    method: str
    path: str
    raw_path: str
    version: HttpVersion
    headers: CIMultiDictProxy[str]
    content: StreamReader
    whole: bytes | None
    remote: str | None
    carrier: Carrier
    head: None = None
    session: None = None

    @property
    def content_length(self) -> int | None:
        told = self.headers.get("content-length")
        return None if told is None else int(told)

    @property
    def transport(self) -> asyncio.Transport | None:
        return self.carrier.transport

    def _cancel(self, exc: BaseException) -> None:
        """aiohttp's word to the request under way that its client is gone."""
        self.content.set_exception(exc)


class Known(Struct):
    """`length`: of its body, in bytes. What nobody asks for is not made."""

    method: str
    path: str
    raw_path: str
    head: Seen
    session: str | None
    length: int
    whole: bytes | None
    remote: str | None
    carrier: Carrier
    read: StreamReader | None = None
    """Its body, where that was still to come, or somebody asked for it."""
    told: CIMultiDictProxy[str] | None = None
    """Its own headers, if somebody asked for them."""
    version: HttpVersion = HttpVersion11

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        if self.told is None:
            told: CIMultiDict[str] = self.head.headers.copy()
            told["content-length"] = str(self.length)
            if self.session is not None:
                told["x-session-id"] = self.session
            self.told = CIMultiDictProxy(told)
        return self.told

    @property
    def content(self) -> StreamReader:
        if self.read is None:
            self.read = self.carrier.body()
            self.read.feed_data(self.whole or b"")
            self.read.feed_eof()
        return self.read

    @property
    def content_length(self) -> int:
        return self.length

    @property
    def transport(self) -> asyncio.Transport | None:
        return self.carrier.transport

    def _cancel(self, exc: BaseException) -> None:
        """As that of `Lean`."""
        if self.whole is None:
            self.content.set_exception(exc)

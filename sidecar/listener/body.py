"""
A request's body: all of it, or a refusal. Never more than the limit in memory, compressed or not.
"""

import asyncio
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from aiohttp import web
from attrs import frozen
from msgspec import Struct

from sidecar.errors import BodyTooLarge, ExpectationFailed, RequestError, RequestTimeout, UnsupportedEncoding
from sidecar.listener.incoming import Incoming
from sidecar.listener.journal import Journal
from sidecar.listener.silence import BodyTimeout, Patience

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_PARTS = 16
"""Nobody is known to send more than one; each costs a copy of what is left."""
_ZSTD_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
"""8 MiB, as RFC 9659 bounds it for HTTP: a few bytes could ask for gigabytes otherwise."""


class _Machine(Protocol):
    """What zlib's and zstd's decompressors have in common. One is good for one part."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_MACHINES: dict[str, Callable[[], _Machine]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "x-gzip": lambda: zlib.decompressobj(31),
    "deflate": lambda: zlib.decompressobj(15),
    "zstd": lambda: zstd.ZstdDecompressor(options=_ZSTD_WINDOW),
}
"""By their names in HTTP: RFC 9110, 8.4.1, and RFC 8878, 7.2. Codex sends zstd; nobody was seen to send br."""


class Body(Struct, frozen=True, gc=False):
    """A request's body."""

    content: bytes
    """As it was before any `content-encoding`."""
    was_encoded: bool


@frozen
class Bodies:
    """How bodies are read: how much and for how long at most."""

    max_bytes: int
    timeout_s: float
    silence_s: float = 60.0
    """Longest silence in the middle of one."""

    async def read(self, request: Incoming, journal: Journal) -> Body:
        """
        All of a request's body; how long it took to come is written down.

        Raises BodyTooLarge, RequestTimeout when the client takes longer than `timeout_s` to send it,
        UnsupportedEncoding, ExpectationFailed, and RequestError when what it sends cannot be decompressed.
        """
        whole = request.whole
        if whole is not None and (request.head is not None or _is_plain(request)):  # nearly always
            if len(whole) > self.max_bytes:
                raise _too_large(self.max_bytes)
            return Body(whole, False)  # noqa: FBT003 - by position: a third of the time
        encoding = _encoding(request)
        if request.content.is_eof():
            return unpacked(_here(request, self.max_bytes), encoding, self.max_bytes)
        began = time.monotonic()
        try:
            raw = await read_raw(request, self.max_bytes, self.timeout_s, self.silence_s)
        finally:
            journal.body_s += time.monotonic() - began
        return unpacked(raw, encoding, self.max_bytes)


def _is_plain(request: Incoming) -> bool:
    return "content-encoding" not in request.headers and "expect" not in request.headers


def unpacked(raw: bytes, encoding: str | None, max_bytes: int) -> Body:
    """`raw` as it was before its `content-encoding`, which is None when it has none. Raises as `Bodies.read`."""
    if encoding is None:
        return Body(raw, was_encoded=False)
    return Body(_decompress(raw, _MACHINES[encoding], max_bytes), was_encoded=True)


async def read_raw(request: Incoming, max_bytes: int, timeout_s: float, silence_s: float) -> bytes:
    """The body as it comes. Raises BodyTooLarge, RequestTimeout, ExpectationFailed, RequestError: see `Bodies.read`."""
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    if _expects_word(request):
        _continue(request)
    content = request.content
    try:
        async with Patience(content, timeout_s, silence_s):
            fits = 0 < (request.content_length or 0) <= content.get_read_buffer_limits()[1]
            if fits and content.exception() is None:
                await content.wait_eof()  # one wait, and not one for each piece
                return content.read_nowait()
            return await _read(request, max_bytes)
    except web.RequestPayloadError as exc:
        raise _misframed() from exc.with_traceback(None)  # `content` keeps it, and the traceback has `content`
    except TimeoutError as exc:
        raise RequestTimeout(f"The body did not arrive within {timeout_s:g} s.") from exc


def _here(request: Incoming, max_bytes: int) -> bytes:
    """A body that has come to its end: neither a timer nor a wait, which take 7 µs of 8."""
    _expects_word(request)
    content = request.content
    if content.total_bytes > max_bytes:
        raise _too_large(max_bytes)
    try:
        return content.read_nowait()
    except web.RequestPayloadError as exc:
        raise _misframed() from exc.with_traceback(None)  # `content` keeps it, and the traceback has `content`


def _encoding(request: Incoming) -> str | None:
    if "content-encoding" not in request.headers:
        return None
    encoding = ", ".join(request.headers.getall("content-encoding")).strip().lower()
    if encoding in ("identity", ""):
        return None
    if encoding not in _MACHINES:
        raise UnsupportedEncoding("content-encoding must be gzip, deflate, zstd or identity", param="content-encoding")
    return encoding


def streamed(request: Incoming, silence_s: float) -> AsyncIterator[bytes]:
    """
    The body piece by piece, as it comes and as it is. Raises ExpectationFailed, and BodyTimeout when the client is
    silent for longer than `silence_s`: its place with the provider is not its own for ever.
    """
    expects = _expects_word(request)

    async def pieces() -> AsyncIterator[bytes]:
        if expects:
            _continue(request)
        while piece := await _next_piece(request, silence_s):
            yield piece

    return pieces()


async def _next_piece(request: Incoming, silence_s: float) -> bytes:
    try:
        async with asyncio.timeout(silence_s):
            return await request.content.readany()
    except TimeoutError as exc:
        raise BodyTimeout(silence_s) from exc


def _expects_word(request: Incoming) -> bool:
    """RFC 9110, 10.1.1: whether the client waits for our word before it sends its body. Raises ExpectationFailed."""
    expected = request.headers.get("expect")
    if expected and ", ".join(request.headers.getall("expect")).lower() != "100-continue":
        raise ExpectationFailed("expect must be 100-continue", param="expect")
    return bool(expected)


def _continue(request: Incoming) -> None:
    if request.transport is not None and not request.content.is_eof():
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _read(request: Incoming, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _decompress(raw: bytes, machine: Callable[[], _Machine], max_bytes: int) -> bytes:
    """Part by part: gzip's members (RFC 1952, 2.2) and zstd's frames (RFC 8878, 3.1) may follow each other."""
    body, rest = bytearray(), raw
    for _ in range(MOST_PARTS):
        part = machine()
        try:
            body += part.decompress(rest, max_bytes - len(body) + 1)
        except (zlib.error, zstd.ZstdError) as exc:
            raise RequestError(
                "The body is not compressed as content-encoding says.", param="content-encoding"
            ) from exc
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not part.eof:
            raise RequestError("The compressed body ends too early.", param="content-encoding")
        rest = part.unused_data
        if not rest:
            return bytes(body)
    raise RequestError(f"The body is compressed in more than {MOST_PARTS} parts.", param="content-encoding")


def _misframed() -> RequestError:
    return RequestError("The body is not framed as its headers say, or ends too early.")


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body must be at most {max_bytes} bytes.")

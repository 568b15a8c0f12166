"""
Where an answer goes: the client's connection, as whoever answers sees it.

    Direct    writes on the transport itself, head and body in one piece; the fast path
    Pumped    is what can be had of aiohttp in public: a response that a task of its own writes

Nothing here waits. What cannot be sent yet is kept, and `full` says that it has become much; whoever makes more of it
is told to pause and to go on (`on_room`).
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from sidecar.errors import SidecarError
from sidecar.listener.head import Headers, Heads, clean, cleaned
from sidecar.listener.incoming import Heard, Incoming
from sidecar.upstream.relaying import Lines

Told = Callable[[], None]
_APART_BYTES = 16 * 1024
"""From here on a piece is handed to the socket beside its frame: to join them would cost a copy of it."""
_FULL_BYTES = 64 * 1024
"""As in asyncio's transports."""
_RESET = struct.pack("ii", 1, 0)


class Outlet(Protocol):
    """Takes one answer: `whole`, or `begin`, then `write` as often as there is something, then `end` or `cut`."""

    broken: SidecarError | None
    """Why we end it before its time. It is set, and then whoever answers is cancelled; None when a client went."""

    @property
    def begun(self) -> bool:
        """Whether a head was sent."""
        ...

    @property
    def sent_status(self) -> int: ...

    @property
    def full(self) -> bool:
        """Whether the client is slow, and whatever it is sent should stop for a while."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        ...

    @property
    def chunks(self) -> asyncio.Transport | None:
        """Where chunks may be written to in their frames, once the head is sent; None where the body has none."""
        ...

    def whole(self, status: int, reason: str | None, headers: Headers, body: bytes, *, closes: bool = False) -> None:
        """`reason`: None for the usual one. `closes`: whether the connection ends with this answer."""
        ...

    def begin(self, status: int, reason: str | None, headers: Headers, first: bytes = b"") -> None:
        """
        The head of an answer whose body follows, and `first` of it when that is here. The body is as long as `headers`
        say; where they say nothing it is chunked, or ends with the connection (HTTP/1.0).
        """
        ...

    def write(self, data: bytes) -> bool:
        """Whether the client is still there."""
        ...

    def end(self) -> None:
        """All was written. A body that is shorter than its head said is cut."""
        ...

    def cut(self) -> None:
        """Closes the connection without the end that the framing promised, after what is on its way."""
        ...

    def on_room(self, pause: Told | None, resume: Told | None) -> None:
        """Whom to tell when the outlet is full, and when it is so no longer."""
        ...


class Line(Protocol):
    """What `Direct` needs of its connection: aiohttp's own words for it."""

    @property
    def transport(self) -> asyncio.Transport | None: ...

    @property
    def writing_paused(self) -> bool: ...

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may go on at all."""
        ...

    def on_room(self, pause: Told | None, resume: Told | None) -> None: ...


class Direct:
    """`keeps_alive`: what the client wants for its connection; after an answer, whether it goes on."""

    __slots__ = ("_chunked", "_empty", "_heads", "_left", "_line", "_request", "broken", "keeps_alive", "sent_status")

    def __init__(self, line: Line, request: Incoming, heads: Heads, *, keeps_alive: bool) -> None:
        self._line = line
        self._request = request
        self._heads = heads
        self.keeps_alive = keeps_alive
        self.sent_status = 0
        self.broken: SidecarError | None = None
        self._chunked = self._empty = False
        self._left: int | None = None

    @property
    def begun(self) -> bool:
        return self.sent_status != 0

    @property
    def full(self) -> bool:
        return self._line.writing_paused

    @property
    def gone(self) -> bool:
        transport = self._line.transport
        return transport is None or transport.is_closing()

    @property
    def chunks(self) -> asyncio.Transport | None:
        return self._line.transport if self._chunked else None

    def whole(self, status: int, reason: str | None, headers: Headers, body: bytes, *, closes: bool = False) -> None:
        request, line = self._request, self._line
        keeps_alive = self.keeps_alive and not closes and line.keeps_alive
        if (
            keeps_alive
            and type(headers) is Lines
            and len(body) < _APART_BYTES
            and request.method == "POST"
            and request.version == HttpVersion11
        ):
            whole = self._heads.plain(status, reason, headers, body)
            if whole is not None:
                self.sent_status = status
                if (transport := line.transport) is not None and not transport.is_closing():
                    transport.write(whole)
                return
        head = self._heads.made(
            request.method,
            status,
            reason,
            headers,
            body=len(body),
            http_10=request.version < HttpVersion11,
            keeps_alive=keeps_alive,
        )
        self.sent_status, self.keeps_alive = status, head.keeps_alive
        transport, sent = line.transport, head.sent
        if transport is None or transport.is_closing():
            return  # whoever answers is about to be told
        if head.empty or not body:
            transport.write(sent)
        elif len(body) < _APART_BYTES:
            transport.write(sent + body)
        else:
            transport.writelines([sent, body])

    def begin(self, status: int, reason: str | None, headers: Headers, first: bytes = b"") -> None:
        request, line = self._request, self._line
        head = self._heads.made(
            request.method,
            status,
            reason,
            headers,
            body=None,
            http_10=request.version < HttpVersion11,
            keeps_alive=self.keeps_alive and line.keeps_alive,
        )
        self.sent_status, self.keeps_alive, sent = status, head.keeps_alive, head.sent
        self._chunked, self._empty, self._left = head.chunked, head.empty, None if head.empty else head.length
        if first and self._chunked:
            self._send(b"%b%x\r\n" % (sent, len(first)), first, b"\r\n")
        elif first and not self._empty:
            self._send(sent, self._counted(first))
        else:
            self._send(sent, b"")

    def write(self, data: bytes) -> bool:
        transport = self._line.transport
        if transport is None or transport.is_closing():
            return False  # whoever answers is about to be told
        if not data:
            return True
        if not self._chunked:
            if not self._empty:
                transport.write(self._counted(data))
        elif len(data) < _APART_BYTES:
            transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        return True

    def end(self) -> None:
        if self._chunked:
            self._send(b"0\r\n\r\n", b"")
        elif self._left:
            self.cut()

    def cut(self) -> None:
        self.keeps_alive = False
        cut(self._request)

    def on_room(self, pause: Told | None, resume: Told | None) -> None:
        self._line.on_room(pause, resume)

    def _counted(self, data: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(data)
        return data

    def _send(self, before: bytes, data: bytes, after: bytes = b"") -> None:
        transport = self._line.transport
        if transport is None or transport.is_closing():
            return  # whoever answers is about to be told
        if len(data) < _APART_BYTES:
            transport.write(b"%b%b%b" % (before, data, after) if before or after else data)
        else:
            transport.writelines([piece for piece in (before, data, after) if piece])


class Pumped:
    """`response` is for aiohttp, which is to get it when `sent` is over. `ends`: whether no request may follow."""

    chunks = None

    def __init__(self, request: Heard, ends: Callable[[], bool] = bool) -> None:
        self._request = request
        self._ends = ends
        self.broken: SidecarError | None = None
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._more = asyncio.Event()
        self._ended = self._cut = False
        self._pause: Told | None = None
        self._resume: Told | None = None
        self._pump: asyncio.Task[None] | None = None
        self.response: web.StreamResponse = web.Response(status=500)
        self.full = self.gone = False

    @property
    def begun(self) -> bool:
        return self._pump is not None

    @property
    def sent_status(self) -> int:
        return self.response.status

    def whole(self, status: int, reason: str | None, headers: Headers, body: bytes, *, closes: bool = False) -> None:
        told = CIMultiDict(cleaned(headers))
        if self._request.method != "HEAD":
            told.popall("content-length", None)
        self.response = web.Response(status=status, reason=reason and clean(reason), body=body, headers=told)
        if closes or self._ends():
            self.response.force_close()

    def begin(self, status: int, reason: str | None, headers: Headers, first: bytes = b"") -> None:
        told = CIMultiDict(cleaned(headers))
        self.response = web.StreamResponse(status=status, reason=reason and clean(reason), headers=told)
        if self._ends():
            self.response.force_close()
        self._pump = asyncio.get_running_loop().create_task(self._pumped(self.response))
        self.write(first)

    def write(self, data: bytes) -> bool:
        if data:
            self._queue.append(data)
            self._queued_bytes += len(data)
            self._more.set()
            if not self.full and self._queued_bytes > _FULL_BYTES:
                self.full = True
                if self._pause is not None:
                    self._pause()
        return not self.gone

    def end(self) -> None:
        self._ended = True
        self._more.set()

    def cut(self) -> None:
        self._cut = True
        self._more.set()

    def on_room(self, pause: Told | None, resume: Told | None) -> None:
        self._pause, self._resume = pause, resume

    async def sent(self) -> web.StreamResponse:
        """The response, once all of it was written."""
        if self._pump is not None:
            await self._pump
        return self.response

    async def aclose(self) -> None:
        """Whatever was not written yet is not."""
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump

    async def _pumped(self, response: web.StreamResponse) -> None:
        try:
            await response.prepare(self._request)
            while await self._something():
                while self._queue:
                    data = self._queue.popleft()
                    await response.write(data)
                    self._queued_bytes -= len(data)
                self._has_room()
            if self._cut:
                cut(self._request)
            else:
                await response.write_eof()
        except ConnectionError:
            self.gone = True
            self._has_room()  # whoever waits for it would wait for ever

    async def _something(self) -> bool:
        """Whether there is more to write; waits until that is known."""
        while not (self._queue or self._ended or self._cut):
            self._more.clear()
            await self._more.wait()
        return bool(self._queue)

    def _has_room(self) -> None:
        if self.full:
            self.full = False
            if self._resume is not None:
                self._resume()


def cut(request: Incoming) -> None:
    """Closes the client's connection without the end that its framing promised, after what is on its way."""
    transport = request.transport
    if transport is None:
        return
    if request.version < HttpVersion11 and (sock := transport.get_extra_info("socket")) is not None:
        # There the end of the connection may be the end of the answer; only a reset says that it is not.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.close()

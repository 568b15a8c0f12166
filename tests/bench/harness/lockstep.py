"""
A provider and a client that go in step with the sidecar between them, however slow it is: for counts, not for times.

A client sends its next request when it has its answer. Streams come one after the other, and each gets its next piece when
the client has the one before: so no two of them are ever read at once, and a busy machine does what an idle one does.
"""

import asyncio
from contextlib import asynccontextmanager

from . import traffic
from .rounds import Wrong
from .traffic import Wire

END = b"0\r\n\r\n"
PATIENCE_S = 60
STALL_S = 0.25
"""The next piece goes although nothing of the last one came: a translation may keep one to itself."""


class Provider:
    """Answers with what was made beforehand, as nginx and streams.c do. `pieces` is how many a stream has."""

    def __init__(self):
        self.pieces, self.streams, self.connections = 0, asyncio.Queue(), []
        self.answers = {wire: _answer(traffic.reply(wire)) for wire in Wire}
        self.scripts = {wire: traffic.pieces(wire) for wire in Wire}

    @asynccontextmanager
    async def serving(self):
        """Its port."""
        async with await asyncio.get_running_loop().create_server(lambda: _Answering(self), "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1]
            for transport in self.connections:
                transport.abort()

    def asked(self, transport, wire):
        if not self.pieces:
            transport.write(self.answers[wire])
            return
        script = self.scripts[wire]
        self.streams.put_nowait((transport, [script.first, *[script.word] * (self.pieces - 2), script.last]))


def _answer(body):
    head = (
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n"
    )
    return f"{head}Content-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n".encode() + body


def _parted(received):
    """(head, body), the second None where it is not whole: chunked as ours are, or with a length."""
    head, blank, body = received.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    whole = len(body) >= int(length) if length else body.endswith(END)
    return head, body if blank and whole else None


class _Answering(asyncio.Protocol):
    def __init__(self, provider):
        self.provider, self.received = provider, b""

    def connection_made(self, transport):
        self.transport = transport
        self.provider.connections.append(transport)

    def data_received(self, data):
        self.received += data
        head, body = _parted(self.received)
        if body is not None:
            self.received = b""
            wire = Wire.MESSAGES if b"/messages" in head.partition(b"\r\n")[0] else Wire.CHAT
            self.provider.asked(self.transport, wire)


class _Asking(asyncio.Protocol):
    """One request after the other."""

    def connection_made(self, transport):
        self.transport = transport
        self.moved = asyncio.Event()

    async def asked(self, request, provider):
        self.received = b""
        self.transport.write(request)
        if provider.pieces:
            await self._stream(*await provider.streams.get())
        while _parted(self.received)[1] is None:
            await self._more()
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise Wrong(f"answers {self.received[:200]!r}")

    async def _stream(self, transport, pieces):
        for piece in pieces:
            self.moved.clear()
            transport.write(piece)
            try:
                async with asyncio.timeout(STALL_S):
                    await self._more()
            except TimeoutError:
                continue

    async def _more(self):
        await self.moved.wait()
        self.moved.clear()
        if self.transport.is_closing():
            raise Wrong(f"the connection ended after {self.received[-200:]!r}")

    def data_received(self, data):
        self.received += data
        self.moved.set()

    def connection_lost(self, _exc):
        self.moved.set()


async def ask(port, requests, provider, pieces=0):
    """
    All of `requests`, one after the other: the bytes of each. `pieces`: of each answer's stream; 0 is a plain reply.

    Raises Wrong, and TimeoutError for one that is not answered in PATIENCE_S.
    """
    provider.pieces = pieces
    transport, client = await asyncio.get_running_loop().create_connection(_Asking, "127.0.0.1", port)
    try:
        for request in requests:
            async with asyncio.timeout(PATIENCE_S):
                await client.asked(request, provider)
    finally:
        transport.abort()

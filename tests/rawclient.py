"""A client made of raw sockets: it sends any bytes, and tells a clean end of an answer from a cut one."""

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager

from attrs import define, frozen

PATIENCE_S = 60
"""Longer than anything here takes; who waits so long waits for ever."""


@frozen
class Heard:
    """An answer as far as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    """Without chunks."""
    ending: str
    """`whole`: as its framing promised. `cut`: the connection was closed before. `reset`: by RST."""

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name):
        found = self.all(name)
        return found[0] if found else None

    @property
    def json(self):
        return json.loads(self.body)


@define
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    line: str = ""
    """The first line of the last answer."""

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self):
        """(status, headers) of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        self.line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return int(self.line.split(" ")[1]), headers

    async def heard(self, method="POST", began=None):
        """The next answer, to its end however it ends. The event `began` is set when a chunk of its body is here."""
        async with asyncio.timeout(PATIENCE_S):
            status, headers = await self.head()
            body = bytearray()
            try:
                await self._body(status, {name.lower(): value for name, value in headers}, method, body, began)
                ending = "whole"
            except asyncio.IncompleteReadError as exc:
                body += exc.partial
                ending = "cut"
            except ConnectionResetError:
                ending = "reset"
        return Heard(status, headers, bytes(body), ending)

    async def _body(self, status, headers, method, body, began):
        if method == "HEAD" or status in (204, 304):
            return
        if headers.get("transfer-encoding") == "chunked":
            async for piece in self.chunks():
                body += piece
                if began is not None:
                    began.set()
        elif "content-length" in headers:
            body += await self.reader.readexactly(int(headers["content-length"]))
        else:
            while piece := await self.reader.read(65536):
                body += piece

    async def chunks(self):
        """The pieces of a chunked body, as they were framed. Raises IncompleteReadError when it is cut."""
        while size := await self.chunk():
            yield size

    async def chunk(self):
        try:
            size = await self.reader.readuntil(b"\r\n")
        except asyncio.IncompleteReadError:
            raise asyncio.IncompleteReadError(b"", None) from None
        try:
            return (await self.reader.readexactly(int(size, 16) + 2))[:-2]
        except asyncio.IncompleteReadError as exc:
            raise asyncio.IncompleteReadError(exc.partial.removesuffix(b"\r\n"), None) from None

    def reset(self):
        """Hangs up the hard way."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def connected(port, *, receive_buffer_bytes=None):
    sock = socket.socket()
    if receive_buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    sock.setblocking(False)  # noqa: FBT003
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock, limit=1 << 17)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def post(body=b"body", session="s-1", extra=""):
    """A plain request, as SDKs send them."""
    lines = ["POST /v1/chat/completions?a=b HTTP/1.1", "Host: sidecar", "User-Agent: client/1.0"]
    lines += [f"X-Session-Id: {session}"] if session else []
    lines += [f"Content-Length: {len(body)}", *([extra] if extra else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def request(method="POST", target="/v1/chat/completions", *headers, body=b"", framing=None):
    """`headers`: whole lines. `framing`: instead of the body's length."""
    lines = [f"{method} {target} HTTP/1.1", "host: sidecar", *headers]
    lines.append(framing or f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

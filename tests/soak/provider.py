"""
Providers that are not there: one process, several ports, each of which is a place with a model of its own.

    python tests/soak/provider.py PORT...      says "ready", serves until it is killed

It answers every format at every port, by the path, and does what the wish in the prompt says. `GET /told` says what was
asked of it and whether anything came that must not have: a key that is nobody's, a session's header.
"""

import asyncio
import gzip
import json
import socket
import struct
import sys
from collections import Counter
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from soak.formats import FORMATS, events, whole
from soak.wishes import WELL, Wish, pieces_of, wish_in

KEYS = ("soak-key-one", "soak-key-two")
REMEMBERED = 50_000
"""Requests whose attempts are counted: those of the last seconds are what matters."""
STATUS = {"500": "500 No", "503": "503 No", "429": "429 No", "later": "429 No"}
SILENT_S = 20.0
"""Longer than anybody waits."""

HEAD = b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Book:
    """What came."""

    def __init__(self):
        self.counts = Counter()
        self._attempts = {}

    def attempt(self, wish):
        """Which attempt at this request it is, from 1."""
        count = self._attempts.pop(wish.id, 0) + 1
        self._attempts[wish.id] = count
        if len(self._attempts) > REMEMBERED:
            del self._attempts[next(iter(self._attempts))]
        return count


class Double(asyncio.Protocol):
    """One connection of the sidecar's."""

    def __init__(self, book):
        self.book = book
        self.held = bytearray()
        self.task = None
        self.drained = asyncio.Event()
        self.drained.set()

    def connection_made(self, transport):
        self.transport = transport
        self.book.counts["open"] += 1

    def connection_lost(self, exc):
        self.book.counts["open"] -= 1
        if self.task is not None and not self.task.done():
            self.book.counts["left by the sidecar"] += 1
            self.task.cancel()

    def pause_writing(self):
        self.drained.clear()

    def resume_writing(self):
        self.drained.set()

    def data_received(self, data):
        self.held += data
        if (asked := taken(self.held)) is not None:
            self.task = asyncio.ensure_future(self.answer(*asked))

    async def answer(self, line, headers, body):
        path = line.split(" ")[1]
        if path == "/told":
            self.whole("200 OK", json.dumps(self.book.counts).encode())
            return
        self.look(headers)
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        wish, form = wish_in(body) or Wish("-"), path.partition("/v1/")[2]
        attempt = self.book.attempt(wish)
        fate = wish.fate if attempt <= wish.times else WELL
        self.book.counts["asked"] += 1
        self.book.counts[f"fate {fate}"] += 1
        if form not in FORMATS:
            self.book.counts["wrong path"] += 1
            self.whole("404 No", b"{}")
        else:
            await self.meet(wish, form, fate, json.loads(body), attempt)

    def look(self, headers):
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        self.book.counts["wrong key"] += key not in KEYS
        self.book.counts["told a session"] += any(
            name.startswith("x-sidecar") or name == "x-session-id" for name in headers
        )

    async def meet(self, wish, form, fate, asked, attempt):
        if wish.first_ms:
            await asyncio.sleep(wish.first_ms / 1000)
        if fate in STATUS:
            error = {"type": "error", "error": {"type": "soak", "message": f"as wished by {wish.id}"}}
            self.whole(STATUS[fate], json.dumps(error).encode(), b"retry-after: 1\r\n" if fate == "later" else b"")
        elif fate == "silent":
            await asyncio.sleep(SILENT_S)
        elif fate in {"reset", "closed"}:
            self.end(hard=fate == "reset")
        elif fate == "garbage":
            self.transport.write(b"SMTP ready\r\n\r\n")
            self.end()
        else:
            await self.say(wish, form, fate, asked, attempt)

    async def say(self, wish, form, fate, asked, attempt):
        pieces = pieces_of(wish, asked["model"], attempt)
        if asked.get("stream"):
            await self.stream(events(form, pieces, asked["model"]), wish.pace_ms / 1000, fate)
            return
        body = whole(form, "".join(pieces), asked["model"])
        if fate == WELL:
            self.whole("200 OK", body)
            return
        half = body[: len(body) // 2]
        self.transport.write(HEAD % (b"200 OK", b"application/json", len(body), b"") + half)
        await self.break_off(fate)

    async def stream(self, told, pace_s, fate):
        until = len(told) if fate == WELL else len(told) // 2
        if fate == WELL and not pace_s:
            self.transport.write(STREAM + b"".join(map(chunk, told)) + b"0\r\n\r\n")
            return
        self.transport.write(STREAM)
        for event in told[:until]:
            await self.drained.wait()
            self.transport.write(chunk(event))
            await asyncio.sleep(pace_s)
        if fate == WELL:
            self.transport.write(b"0\r\n\r\n")
        else:
            await self.break_off(fate)

    async def break_off(self, fate):
        if fate == "stalled":
            await asyncio.sleep(SILENT_S)
        elif fate == "malformed":
            self.transport.write(b"this is no chunk\r\n")
        self.end()

    def whole(self, status, body, more=b""):
        self.transport.write(HEAD % (status.encode(), b"application/json", len(body), more) + body)

    def end(self, *, hard=False):
        self.task = None
        if hard:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def taken(held):
    """(line, headers, body) of the request in `held`, taken from there once it is whole; None before."""
    end = held.find(b"\r\n\r\n")
    if end < 0:
        return None
    line, *lines = held[:end].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    if headers.get("transfer-encoding") == "chunked":
        found = _unchunked(held, end + 4)
    else:
        size = int(headers.get("content-length", 0))
        found = (bytes(held[end + 4 : end + 4 + size]), end + 4 + size) if len(held) >= end + 4 + size else None
    if found is None:
        return None
    body, over = found
    del held[:over]
    return line, headers, body


def _unchunked(held, at):
    body = []
    while (line := held.find(b"\r\n", at)) >= 0:
        size = int(held[at:line], 16)
        if len(held) < line + 4 + size:
            return None
        body.append(held[line + 2 : line + 2 + size])
        at = line + 4 + size
        if not size:
            return b"".join(body), at
    return None


async def serve(ports):
    loop, book = asyncio.get_running_loop(), Book()
    for port in ports:
        await loop.create_server(lambda: Double(book), "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([int(port) for port in sys.argv[1:]]))

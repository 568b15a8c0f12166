"""
The reader of streams: raw protocols on uvloop, each piece with its time, one connection for each stream that is open.

A stream counts only when it was whole: as many events as the one that was looked at before measuring.
"""

import asyncio
import time

import uvloop
from attrs import define, field, frozen

END = b"0\r\n\r\n"
"""The last chunk of HTTP/1.1."""
PATIENCE_S = 20


@define
class Read:
    """What came, over all connections. Times are seconds."""

    streams: int = 0
    failed: int = 0
    reads: int = 0
    first_s: list[float] = field(factory=list)
    """From a request to the first byte of its answer's body."""
    gaps_s: list[float] = field(factory=list)
    """Between two reads of one stream."""


@frozen
class Streams:
    """`request`: the bytes of one; `events`: how many a whole stream has."""

    port: int
    request: bytes
    events: int
    count: int
    """Open at once."""
    waves: bool
    """All begin together, again when all have ended; else each begins its next as soon as it has ended."""


class Reading(asyncio.Protocol):
    """One connection, one stream after the other."""

    def __init__(self, streams, into):
        self.streams, self.into = streams, into
        self.transport = None
        self.ended = None

    def connection_made(self, transport):
        self.transport = transport

    def begin(self):
        self.tail, self.events, self.head = b"", 0, b""
        self.ended = asyncio.get_running_loop().create_future()
        self.began = self.last = time.perf_counter()
        self.body = False
        self.transport.write(self.streams.request)
        return self.ended

    def data_received(self, data):
        now = time.perf_counter()
        if not self.body:
            data = self._first(data, now)
            if not data:
                return
        else:
            self.into.gaps_s.append(now - self.last)
        self.last = now
        self.into.reads += 1
        seen = self.tail + data
        self.events += seen.count(b"data:")
        if seen.endswith(END):
            self._end()
        self.tail = data[-4:]  # shorter than what is looked for, or it would be counted twice

    def _first(self, data, now):
        """What of it belongs to the body."""
        self.head += data
        _, blank, data = self.head.partition(b"\r\n\r\n")
        if blank and data:
            self.body = True
            self.into.first_s.append(now - self.began)
        return data

    def _end(self):
        whole = self.events == self.streams.events and self.head.startswith(b"HTTP/1.1 200")
        self.into.streams += whole
        self.into.failed += not whole
        self.ended.set_result(None)

    def connection_lost(self, _exc):
        self.transport = None
        if self.ended is not None and not self.ended.done():
            self._end()  # as it may be: a body without a length ends so


def ask(streams, seconds, clocks):
    """(what came, the samples of `clocks` before and after)."""
    return uvloop.run(_ask(streams, seconds, clocks))


async def _ask(streams, seconds, clocks):
    into = Read()
    readers = [Reading(streams, into) for _ in range(streams.count)]
    for reader in readers:
        await _connected(reader)
    before = clocks.sample()
    until = before.at_s + seconds
    async with asyncio.timeout(seconds + PATIENCE_S):
        if streams.waves:
            while time.perf_counter() < until:
                await asyncio.gather(*map(_one, readers))
        else:
            await asyncio.gather(*(_many(reader, until) for reader in readers))
    after = clocks.sample()
    for reader in readers:
        if reader.transport is not None:
            reader.transport.abort()
    await asyncio.sleep(0)
    return into, before, after


async def _connected(reader):
    if reader.transport is None:
        await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", reader.streams.port)


async def _one(reader):
    await _connected(reader)
    await reader.begin()


async def _many(reader, until):
    while time.perf_counter() < until:
        await _one(reader)

"""
The connections to providers, kept between requests.

The last one that came back is the first to go out again: a few stay warm, and the others reach their time and close.
A connection leaves by itself when the provider closes it or says anything while nobody asks.
"""

import asyncio
from asyncio import AbstractEventLoop, Future, TimerHandle

from sidecar.upstream.connecting import ConnectTimeout, connect
from sidecar.upstream.connection import Connection
from sidecar.upstream.origin import Origin
from sidecar.upstream.trust import Trust

KEEP_S = 30.0
"""How long a connection waits for its next request."""
_SLACK_S = 0.001


class Pool:
    """Gives connections out and takes them back. No limit of its own: `limits` has ours."""

    def __init__(self, loop: AbstractEventLoop, trust: Trust, *, keep_s: float = KEEP_S) -> None:
        self._loop = loop
        self._trust = trust
        self._keep_s = keep_s
        self._open: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweeper: TimerHandle | None = None
        self._emptied: Future[None] | None = None

    def counts(self) -> tuple[int, int]:
        """How many connections are in use, and how many wait."""
        idle = sum(map(len, self._idle.values()))
        return len(self._open) - idle, idle

    def take(self, origin: Origin) -> Connection | None:
        """One that waited, if there is any."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.outgoing.is_closing():
                return connection
        return None

    async def make(self, origin: Origin, limit_s: float) -> Connection:
        """A new one. Raises Unconnected, ConnectTimeout after `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                return await connect(origin, self, self._trust)
        except TimeoutError as exc:
            raise ConnectTimeout from exc

    def made(self, connection: Connection) -> None:
        self._open.add(connection)

    def put(self, connection: Connection) -> None:
        connection.idle_since = self._loop.time()
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = []
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._keep_s, self._sweep)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)
        if self._emptied is not None and not self._open and not self._emptied.done():
            self._emptied.set_result(None)

    def _sweep(self) -> None:
        """Closes those whose time is up, and comes again for the next. The oldest of each origin is its first."""
        self._sweeper = None
        latest = self._loop.time() - self._keep_s + _SLACK_S
        for idle in self._idle.values():
            while idle and idle[0].idle_since <= latest:
                idle.pop(0).abort()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._idle:
            oldest = min(idle[0].idle_since for idle in self._idle.values())
            self._sweeper = self._loop.call_at(oldest + self._keep_s, self._sweep)

    async def close(self) -> None:
        """Closes them all, those in use too."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._open:
            self._emptied = self._loop.create_future()
            for connection in tuple(self._open):
                connection.abort()
            await self._emptied

"""
From "stop" to "stopped", in phases:

    delay      not ready, and everything is served as before: whoever balances load looks elsewhere meanwhile
    hand over  where another process listens on the same port: what still waits at our socket is accepted
    drain      the socket is closed; connections close with their next answer, idle ones at once
    cut        what still runs after `drain.timeout_seconds`: by an error, and a cut connection

A connection counts as idle when it was quiet for half a second: on one that was busy a moment ago a request may be on
its way, and the client that sends it should not have to know that we stop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from sidecar.config.models import Drain
from sidecar.errors import Draining, SidecarError
from sidecar.server.stopping import Stop

log = logging.getLogger("sidecar.server")

LOOK_S = 0.02
"""How often we look whether a phase is over: nobody tells us that it was the last request."""
QUIET_S = 0.5
ACCEPT_S = 0.5
"""For so long a handshake that was begun with our socket may take to be completed there."""
CUT_S = 2.0
"""What is cut has so long to say so."""


class Server(Protocol):
    """What is drained: `sidecar.listener.http.HttpServer`."""

    def clients(self) -> int: ...

    def under_way(self) -> int: ...

    def drain(self) -> None: ...

    def close_idle(self, quiet_s: float) -> int: ...

    def cut(self, error: SidecarError) -> int: ...


class Drainage:
    """
    `close` closes the listening socket, if it is open, and leaves connections alone. `clock`: seconds, never backwards;
    `sleep` waits for that clock.
    """

    def __init__(
        self,
        server: Server,
        settings: Drain,
        stop: Stop,
        close: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server = server
        self._settings = settings
        self._stop = stop
        self._close = close
        self._clock = clock
        self._sleep = sleep
        self._idle = 0

    async def run(self) -> None:
        """Returns when every request has its answer, or its end."""
        await self._delay()
        if self._stop.hands_over:
            self._server.drain()
            await self._until(self._stop.at_once.is_set, ACCEPT_S)
        await self._close()
        await self._drain()
        self._stop.settled.set()
        if self._server.under_way():
            await self._cut()

    async def _delay(self) -> None:
        delay_s = self._settings.delay_s if self._stop.delays else 0.0
        log.info(
            "stopping (%s): not ready, listening for %g s more; %d connections, %d requests under way",
            self._stop.why, delay_s, self._server.clients(), self._server.under_way(),
        )  # fmt: skip
        await self._until(self._stop.at_once.is_set, delay_s)

    async def _drain(self) -> None:
        server, began = self._server, self._clock()
        server.drain()
        clients, under_way = server.clients(), server.under_way()
        log.info(
            "stopping: no new connections; %d connections, %d requests under way have %g s to end",
            clients, under_way, self._settings.timeout_s,
        )  # fmt: skip
        await self._until(self._is_over, self._settings.timeout_s)
        log.info(
            "stopping: drained for %.1f s; %d connections closed idle, %d with their answer; %d requests under way",
            self._clock() - began, self._idle, max(0, clients - self._idle - server.clients()), server.under_way(),
        )  # fmt: skip

    def _is_over(self) -> bool:
        self._idle += self._server.close_idle(QUIET_S)
        if self._server.clients() <= self._server.under_way():
            self._stop.settled.set()
        return self._stop.at_once.is_set() or not (self._server.clients() or self._server.under_way())

    async def _cut(self) -> None:
        why = "a second signal" if self._stop.at_once.is_set() else f"{self._settings.timeout_s:g} s are over"
        count = self._server.cut(Draining("This sidecar is stopping, and could not wait for the answer any longer."))
        log.warning("stopping: %s: %d requests are cut", why, count)
        await self._until(lambda: not self._server.under_way(), CUT_S)

    async def _until(self, true: Callable[[], bool], most_s: float) -> None:
        """Waits until something is true, but not longer than that."""
        end = self._clock() + most_s
        while not true() and (left_s := end - self._clock()) > 0:
            await self._sleep(min(LOOK_S, left_s))

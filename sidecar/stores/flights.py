"""
Single flight: of many that come at once for the same session, one does the work and the others wait for it.

The work runs in a task of its own, so that a leader whose client hangs up does not take the others' decision along.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sidecar.routing.session import SessionKey

T = TypeVar("T")


class Flights(Generic[T]):
    """Keeps a flight for as long as it lasts and nothing after. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[SessionKey, asyncio.Task[T]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def waiting(self) -> int:
        """How many callers wait for another's work."""
        return self._waiting

    async def lead_or_wait(self, key: SessionKey, work: Callable[[], Awaitable[T]]) -> T | None:
        """
        The outcome of `work` for the first caller of `key`; None, once that is done, for whoever came meanwhile.

        The leader gets what `work` raises; those who wait do not: it is not their request that failed.
        """
        flight = self._under_way.get(key)
        if flight is not None:
            await self._wait(flight)
            return None
        flight = self._start(key, work)
        return await asyncio.shield(flight)

    async def _wait(self, flight: asyncio.Task[T]) -> None:
        self._waiting += 1
        try:
            await asyncio.wait([flight])
        finally:
            self._waiting -= 1

    def _start(self, key: SessionKey, work: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        async def fly() -> T:
            return await work()

        flight = asyncio.get_running_loop().create_task(fly())
        self._under_way[key] = flight
        flight.add_done_callback(lambda done: self._land(key, done))
        return flight

    def _land(self, key: SessionKey, flight: asyncio.Task[T]) -> None:
        del self._under_way[key]
        if not flight.cancelled():
            flight.exception()  # a leader that hung up is not there to hear it; nobody shall be warned of that

"""
The default store: one pin table in this process, gone when it stops.

Every method runs from start to end without giving the event loop a chance to run anything else: that is what makes
`claim` and `move` atomic.
"""

from collections.abc import AsyncIterator, Callable

from sidecar.routing.decision import Held, Pin
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey


class MemoryStore:
    """`clock`: seconds, never backwards (`time.monotonic`)."""

    def __init__(self, table: PinTable, clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock

    async def get(self, key: SessionKey) -> Held | None:
        return self._table.get(key.encoded, self._clock())

    async def claim(self, key: SessionKey, pin: Pin) -> Held:
        return self._table.claim(key.encoded, pin, self._clock())

    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None) -> Held:
        return self._table.move(key.encoded, pin, self._clock(), instead_of)

    async def delete(self, key: SessionKey) -> bool:
        return self._table.delete(key.encoded)

    async def scan(self) -> AsyncIterator[tuple[str, Held]]:
        for item in list(self._table.items(self._clock())):
            yield item

    async def count(self) -> int:
        return self.count_now()

    def count_now(self) -> int:
        """`count` for whoever cannot wait, such as a gauge."""
        self._table.sweep(self._clock())
        return len(self._table)

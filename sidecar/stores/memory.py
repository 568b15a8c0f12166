"""
The default store: one pin table in this process, gone when it stops.

Every method but `scan` runs from start to end without giving the event loop a chance to run anything else: that is what
makes `claim` and `move` atomic.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from sidecar.loop import beside
from sidecar.routing.decision import Decision, Failover, Held, Moved, Pin
from sidecar.routing.pins import Offered, PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import uncounted

SWEPT_AT_ONCE = 50
"""Expired pins, before the event loop may run something else: a quarter of a millisecond's worth."""
SWEEP_EVERY_S = 1.0
SCANNED_AT_ONCE = 25
"""Pins, before the event loop may run something else: with what is written of each, half a millisecond's worth."""


class MemoryStore:
    """
    `clock`: seconds, never backwards (`time.monotonic`). `counter` gives, for the name of an operation (`get`,
    `claim`, `move`, `delete`, `scan`), what to call at each of them.
    """

    def __init__(
        self,
        table: PinTable,
        clock: Callable[[], float],
        counter: Callable[[str], Callable[[], None]] = uncounted,
    ) -> None:
        self._table = table
        self._clock = clock
        self._count_get = counter("get")
        self._count_claim = counter("claim")
        self._count_move = counter("move")
        self._count_delete = counter("delete")
        self._count_scan = counter("scan")

    async def get(self, key: SessionKey) -> Held | None:
        self._count_get()
        return self._table.get(key.encoded, self._clock())

    def decided(self, key: SessionKey, offered: Offered) -> Decision | None:
        found = self._table.decided(key.encoded, offered, self._clock())
        if found is not None:
            self._count_get()
        return found

    async def peek(self, key: SessionKey) -> Held | None:
        return self._table.peek(key.encoded, self._clock())

    async def expired(self, key: SessionKey) -> bool:
        return self._table.expired(key.encoded, self._clock())

    async def lead(self, key: SessionKey) -> Held | None:  # noqa: ARG002 - nobody else can pin it
        return None

    async def resign(self, key: SessionKey) -> None: ...

    async def claim(self, key: SessionKey, pin: Pin) -> Held:
        self._count_claim()
        return self._table.claim(key.encoded, pin, self._clock())

    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None, *, used: bool = True) -> Moved:
        self._count_move()
        return self._table.move(key.encoded, pin, self._clock(), instead_of, used=used)

    async def restore(self, key: SessionKey, held: Held, *, overwrite: bool = False) -> Moved | None:
        self._count_claim()
        return self._table.restore(key.encoded, held, self._clock(), overwrite=overwrite)

    async def note(self, key: SessionKey, failover: Failover) -> None:
        self._table.note(key.encoded, failover, self._clock())

    async def delete(self, key: SessionKey) -> bool:
        self._count_delete()
        return self._table.delete(key.encoded, self._clock())

    async def scan(self) -> AsyncIterator[tuple[SessionKey, Held]]:
        self._count_scan()
        for at, key in enumerate(self._table.keys()):
            if at and not at % SCANNED_AT_ONCE:
                await asyncio.sleep(0)
            held = self._table.peek(key, self._clock())
            if held is not None:
                yield SessionKey.decoded(key, held.pin.source), held

    async def count(self) -> int:
        return self.count_now()

    async def describe(self) -> tuple[bool, str]:
        return True, "memory: in this process, gone when it stops"

    def count_now(self) -> int:
        """`count` for whoever cannot wait, such as a gauge: a moment's worth of expired pins may be among them."""
        self.sweep_some()
        return len(self._table)

    def counts_now(self) -> Mapping[str, int]:
        """Model -> how many pins name it first, as `count_now` counts them, and for as long as nothing changes."""
        return self._table.counts(self._clock(), SWEPT_AT_ONCE)

    def sweep_some(self) -> bool:
        """Forgets expired pins, if there are any, but holds the event loop for no longer; whether there may be more."""
        return self._table.sweep(self._clock(), SWEPT_AT_ONCE) == SWEPT_AT_ONCE


@asynccontextmanager
async def swept(store: MemoryStore, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> AsyncIterator[None]:
    """
    While inside, expired pins of `store` are forgotten within about a second, a few at a time. Otherwise whoever next
    counts them would have to: of a million 4 s, during which nobody is answered.
    """

    async def sweep() -> None:
        while True:
            await sleep(SWEEP_EVERY_S)
            while store.sweep_some():
                await sleep(0)

    async with beside(sweep()):
        yield

"""
Pins that several sidecars share, and that survive the store they share being away.

Two stores in one: `far` in another process, which every sidecar asks and which alone says what holds, and `near`, the
table in this process, which keeps whatever far says and serves when far does not answer. So a session that this
sidecar knows keeps its model while the store is away, and no request fails for it.

Far may itself have a session's pin at hand, without asking anybody (`tracked`): then nothing is waited for.

How long a request may wait for the store: `command_timeout_s` for an operation, and once one has failed, the others of
its session do not wait at all until far answers again. A session's first request may besides wait `flight_wait_s` for
the classification of another sidecar.

What may change a session's model: only that two sidecars pinned it, each by itself, while at least one of them did not
reach the store. Of two such pins the first that comes to far wins (`settling`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from sidecar.config.models import SessionCache
from sidecar.routing.decision import Failover, Held, Moved, Pin
from sidecar.routing.session import SessionKey
from sidecar.stores import StoreDown
from sidecar.stores.memory import MemoryStore
from sidecar.stores.reach import Reach, StoreWatch
from sidecar.stores.settling import Far, Settled, Settling


def _untold(_outcome: Settled) -> None: ...


class SharedStore:
    """
    A PinStore that never raises. To be entered (`async with`) before it is used. `most`: how many pins `near` keeps.
    `clock`: seconds, never backwards. `settled` is told of each session that was served without far, once far is back.
    """

    decided = None
    """Another sidecar may have moved the pin."""

    def __init__(
        self,
        near: MemoryStore,
        far: Far,
        settings: SessionCache,
        *,
        most: int,
        clock: Callable[[], float],
        watch: StoreWatch | None = None,
        settled: Callable[[Settled], None] = _untold,
    ) -> None:
        self._near = near
        self._far = far
        self._reach = Reach(
            settings.type.value,
            timeout_s=settings.command_timeout_s,
            breaker=settings.breaker,
            clock=clock,
            watch=watch or StoreWatch(),
        )
        self._count_at_hand = (watch or StoreWatch()).asked("at_hand")
        self._lead_s = settings.flight_wait_s + settings.command_timeout_s
        self._settling = Settling(near, far, self._reach, most=most, pause_s=settings.breaker.cooldown_s, told=settled)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._settling.run())
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def is_up(self) -> bool:
        """Whether far is asked."""
        return self._reach.is_up

    async def get(self, key: SessionKey) -> Held | None:
        if self._settling.is_at_rest and (held := self._far.at_hand(key)) is not None:
            self._count_at_hand()
            return await self._known_to_far(key, held)
        if await self._settling.is_alone(key):
            return await self._get_alone(key)
        try:
            held = await self._reach.ask("get", lambda: self._far.get(key))
            if held is None:
                return await self._unknown_to_far(key)
        except StoreDown:
            return await self._get_alone(key)
        return await self._known_to_far(key, held)

    async def peek(self, key: SessionKey) -> Held | None:
        if not await self._settling.is_alone(key):
            with suppress(StoreDown):
                return await self._reach.ask("peek", lambda: self._far.peek(key))
        return await self._near.peek(key)

    async def expired(self, key: SessionKey) -> bool:
        if not await self._settling.is_alone(key):
            try:
                return await self._reach.ask("expired", lambda: self._far.expired(key))
            except StoreDown:
                await self._settling.leave_alone(key)
        return await self._near.expired(key)

    async def lead(self, key: SessionKey) -> Held | None:
        if await self._settling.is_alone(key):
            return None
        try:
            held = await self._reach.ask("lead", lambda: self._far.lead(key), timeout_s=self._lead_s)
        except StoreDown:
            await self._settling.leave_alone(key)
            return None
        if held is not None:
            await self._near.restore(key, held, overwrite=True)
        return held

    async def resign(self, key: SessionKey) -> None:
        if not await self._settling.is_alone(key):
            try:
                await self._reach.ask("resign", lambda: self._far.resign(key))
            except StoreDown:
                await self._settling.leave_alone(key)

    async def claim(self, key: SessionKey, pin: Pin) -> Held:
        if not await self._settling.is_alone(key):
            with suppress(StoreDown):
                held = await self._reach.ask("claim", lambda: self._far.claim(key, pin))
                await self._near.restore(key, held, overwrite=True)
                return held
        await self._settling.leave_alone(key, deleted=False)
        return await self._near.claim(key, pin)

    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None, *, used: bool = True) -> Moved:
        if not await self._settling.is_alone(key):
            with suppress(StoreDown):
                moved = await self._reach.ask("move", lambda: self._far.move(key, pin, instead_of, used=used))
                await self._near.restore(key, moved.held, overwrite=True)
                return moved
        await self._settling.leave_alone(key, deleted=False)
        return await self._near.move(key, pin, instead_of, used=used)

    async def restore(self, key: SessionKey, held: Held, *, overwrite: bool = False) -> Moved | None:
        if not await self._settling.is_alone(key):
            with suppress(StoreDown):
                moved = await self._reach.ask("restore", lambda: self._far.restore(key, held, overwrite=overwrite))
                if moved is not None:
                    await self._near.restore(key, moved.held, overwrite=True)
                return moved
        await self._settling.leave_alone(key, deleted=False)
        return await self._near.restore(key, held, overwrite=overwrite)

    async def note(self, key: SessionKey, failover: Failover) -> None:
        if not await self._settling.is_alone(key):
            try:
                await self._reach.ask("note", lambda: self._far.note(key, failover))
            except StoreDown:
                await self._settling.leave_alone(key)
        await self._near.note(key, failover)

    async def delete(self, key: SessionKey) -> bool:
        if not await self._settling.is_alone(key):
            with suppress(StoreDown):
                deleted = await self._reach.ask("delete", lambda: self._far.delete(key))
                await self._near.delete(key)
                return deleted
        await self._settling.leave_alone(key, deleted=True)
        return await self._near.delete(key)

    async def scan(self) -> AsyncIterator[tuple[SessionKey, Held]]:
        """Those of far; when it goes away, or in the middle of that, those that near knows besides."""
        seen: set[str] = set()
        with suppress(StoreDown):
            async for key, held in self._reach.each("scan", self._far.scan()):
                seen.add(key.encoded)
                yield key, held
            return
        async for key, held in self._near.scan():
            if key.encoded not in seen:
                yield key, held

    async def count(self) -> int:
        with suppress(StoreDown):
            return await self._reach.ask_long("count", self._far.count)
        return await self._near.count()

    async def describe(self) -> tuple[bool, str]:
        return self.describe_now()

    def describe_now(self) -> tuple[bool, str]:
        """`describe` for whoever cannot wait: what requests saw of far, nobody is asked."""
        is_up, said = self._reach.describe()
        waiting = len(self._settling)
        return is_up, f"{said}; sessions to be settled with it: {waiting}" if waiting else said

    async def _get_alone(self, key: SessionKey) -> Held | None:
        await self._settling.leave_alone(key)
        return await self._near.get(key)

    async def _known_to_far(self, key: SessionKey, held: Held) -> Held:
        known = await self._near.get(key)
        if known is None or known.pin != held.pin:
            await self._near.restore(key, held, overwrite=True)
        return held

    async def _unknown_to_far(self, key: SessionKey) -> Held | None:
        """Deleted by another sidecar, unless far has lost everything: then near knows better. Raises StoreDown."""
        if await self._near.peek(key) is None:
            return None
        if await self._settling.has_lost_all():
            return await self._get_alone(key)
        await self._near.delete(key)
        return None

"""
What the table in this process did alone while the store was away, and how the two come to agree again.

A session whose operation on the far store failed is the near table's alone from then on, until it is settled: so a
request that has waited for the store once does not wait for it again. Settling goes on in the background, as soon as
the far store answers:

    far has no pin of the session                     the near one is offered, with its age and what is left of its life
    far has the pin that near had changed meanwhile   it is changed likewise, if it is still that one (compare-and-set)
    far has another                                   another sidecar was first: that one wins, and near takes it

After an outage all that near knows is offered, for the far store may have lost any of it: a failover loses the last
writes, a restart everything. A far store that lost everything while nobody noticed says so by its epoch. Near goes on
serving those sessions until that is done. The price: what another sidecar deleted while this one did not reach the far
store comes back.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import StrEnum
from itertools import islice
from typing import Protocol

from attrs import define, evolve

from sidecar.routing.decision import Held, Pin
from sidecar.routing.session import SessionKey
from sidecar.stores import PinStore, StoreDown
from sidecar.stores.memory import MemoryStore
from sidecar.stores.reach import Reach

logger = logging.getLogger("sidecar.store")

AT_ONCE = 50
"""Sessions settled together: a pipeline's worth, a few milliseconds, before requests have their turn."""

SOONER = 10
"""So many times sooner we try again while it is not clear yet whether the store is down."""


class Far(PinStore, Protocol):
    """A store in another process; raises StoreDown."""

    def at_hand(self, key: SessionKey) -> Held | None:
        """As `get`, of a pin that the store need not be asked for."""
        ...

    async def epoch(self) -> str:
        """What changes when the store has lost everything, and only then."""
        ...


class Settled(StrEnum):
    """How it was with a session that the near table had served alone."""

    KEPT = "kept"
    """It keeps its model: the far store took ours, or had the same."""
    CHANGED = "changed"
    """Another sidecar's pin was there, for another model."""


@define
class _Alone:
    """A session that is near's alone."""

    key: SessionKey
    base: Pin | None
    """What far said last, as far as we know."""
    used: bool = True
    """Whether there was a request of it meanwhile."""
    deleted: bool = False
    """Whether it was deleted here meanwhile."""


class Settling:
    """
    `most`: sessions that are remembered as served alone; no less than near has room for. `pause_s`: between two tries.
    `told` is told what became of each session.
    """

    def __init__(
        self,
        near: MemoryStore,
        far: Far,
        reach: Reach,
        *,
        most: int,
        pause_s: float,
        told: Callable[[Settled], None],
    ) -> None:
        self._near = near
        self._far = far
        self._reach = reach
        self._most = most
        self._pause_s = pause_s
        self._told = told
        self._alone: OrderedDict[str, _Alone] = OrderedDict()
        """In the order of last use, as near has its pins."""
        self._epoch: str | None = None
        self._has_lost_all = False
        self._outages_settled = 0
        self._outcomes: Counter[Settled] = Counter()
        self._wanted = asyncio.Event()
        self._wanted.set()  # at the start: to know the epoch, and whether the store is there at all

    def __len__(self) -> int:
        """Sessions that near alone has served and that are not settled."""
        return len(self._alone)

    @property
    def is_at_rest(self) -> bool:
        """Whether near alone serves no session at all."""
        return not self._alone and not self._is_all_to_offer

    async def is_alone(self, key: SessionKey) -> bool:
        """Whether near alone serves a session for now."""
        return key.encoded in self._alone or (self._is_all_to_offer and await self._near.peek(key) is not None)

    async def leave_alone(self, key: SessionKey, *, deleted: bool | None = None) -> None:
        """From now on near serves `key` alone, until it is settled. To be called before near is changed."""
        alone = self._alone.pop(key.encoded, None)
        if alone is None:
            held = await self._near.peek(key)
            alone = _Alone(key, None if held is None else held.pin)
        if deleted is not None:
            alone.deleted = deleted
        self._alone[key.encoded] = alone
        if len(self._alone) > self._most:
            self._alone.popitem(last=False)
        self._wanted.set()

    async def has_lost_all(self) -> bool:
        """
        Asked when far does not know a session that near knows: whether it has lost them all, rather than that this one
        was deleted elsewhere. Raises StoreDown.
        """
        epoch = await self._reach.ask("epoch", self._far.epoch)
        if self._epoch is not None and epoch != self._epoch:
            self._has_lost_all = True
            self._wanted.set()
        self._epoch = epoch
        return self._is_all_to_offer

    @property
    def _is_all_to_offer(self) -> bool:
        return self._has_lost_all or self._outages_settled != self._reach.outages

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._wanted.wait()
            try:
                await self._settle()
            except StoreDown:
                await asyncio.sleep(self._pause_s / SOONER if self._reach.is_up else self._pause_s)

    async def _settle(self) -> None:
        await self.has_lost_all()  # the first to try a store that was away, so that no request has to
        while self._is_all_to_offer:
            await self._offer_all()
        while self._alone:
            await self._settle_these(list(islice(self._alone.values(), AT_ONCE)))
        self._wanted.clear()
        self._log()

    async def _offer_all(self) -> None:
        outages, epoch = self._reach.outages, self._epoch
        some: list[_Alone] = []
        async for key, _ in self._near.scan():
            some.append(self._alone.get(key.encoded) or _Alone(key, None, used=False))
            if len(some) == AT_ONCE:
                await self._settle_these(some)
                some = []
        await self._settle_these(some)
        self._outages_settled = outages
        self._has_lost_all = self._epoch != epoch

    async def _settle_these(self, some: list[_Alone]) -> None:
        """Raises StoreDown when one of them could not be settled; the others may be."""
        ended = await asyncio.gather(*map(self._settle_one, some), return_exceptions=True)
        for each in ended:
            if each is not None:
                raise each

    async def _settle_one(self, alone: _Alone) -> None:
        mine = await self._near.peek(alone.key)
        if mine is None:
            await self._settle_deleted(alone)
            return
        theirs = await self._far_after_offer(alone, mine)
        now = await self._near.peek(alone.key)
        if theirs is None or now is None or now.pin != mine.pin:
            # It went on while we asked: once more, from what far has now.
            alone.base = None if theirs is None else theirs.pin
            self._alone.setdefault(alone.key.encoded, alone)
            return
        if alone.used and theirs.pin.model != now.pin.model:
            theirs = await self._mixed(alone.key, theirs)
        if theirs.pin != now.pin:
            await self._near.restore(alone.key, theirs, overwrite=True)
        self._end(alone, Settled.KEPT if theirs.pin.model == now.pin.model else Settled.CHANGED)

    async def _far_after_offer(self, alone: _Alone, mine: Held) -> Held | None:
        """What far holds once near's pin was offered."""
        taken = await self._reach.ask("restore", lambda: self._far.restore(alone.key, mine))
        if taken is not None:
            return taken.held
        base = alone.base
        if base is not None and mine.pin != base:
            moved = await self._reach.ask("move", lambda: self._far.move(alone.key, mine.pin, base, used=False))
            return moved.held
        if alone.used:  # its time to live starts anew there too
            return await self._reach.ask("get", lambda: self._far.get(alone.key))
        return await self._reach.ask("peek", lambda: self._far.peek(alone.key))

    async def _mixed(self, key: SessionKey, theirs: Held) -> Held:
        """Two models have answered the session: what one has thought is not for the other to read."""
        if theirs.pin.mixed:
            return theirs
        pin = evolve(theirs.pin, mixed=True)
        moved = await self._reach.ask("move", lambda: self._far.move(key, pin, theirs.pin, used=False))
        return moved.held

    async def _settle_deleted(self, alone: _Alone) -> None:
        """Of a session that near has no pin of (any more)."""
        if alone.deleted and alone.base is not None:
            held = await self._reach.ask("peek", lambda: self._far.peek(alone.key))
            if held is not None and held.pin == alone.base:
                await self._reach.ask("delete", lambda: self._far.delete(alone.key))
        if await self._near.peek(alone.key) is None:
            self._alone.pop(alone.key.encoded, None)

    def _end(self, alone: _Alone, outcome: Settled) -> None:
        self._alone.pop(alone.key.encoded, None)
        if alone.used:
            self._outcomes[outcome] += 1
            self._told(outcome)

    def _log(self) -> None:
        counts, self._outcomes = self._outcomes, Counter()
        if counts:
            kept, changed = counts[Settled.KEPT], counts[Settled.CHANGED]
            logger.info("pins settled with the store: %d kept, %d took another sidecar's model", kept, changed)

"""
One request to the first candidate that answers it.

    Order ─▶ ask ──first byte──▶ Answered (its body still to come)
              └──failed──▶ Trip ─▶ next_step ─▶ ask ─▶ … ─▶ Exhausted (what the client is to hear)

The rules are elsewhere and pure: `failover` says whom to ask, `refusal` what a failure means, `health` who is ejected,
`limits` how many at once. Here, and in `attempt`, they are carried out. While nobody is ejected the first step of every
trip is the same, so it is asked for once; a trip is made when that step has failed.
"""

import asyncio
import random
import time
from collections.abc import Callable

from sidecar.config.catalog import Catalog
from sidecar.upstream.attempt import Means, Watch, ask
from sidecar.upstream.client import Client
from sidecar.upstream.failover import Policy, Rank, Stop, Trip, first_step, next_step, pin_after
from sidecar.upstream.health import Health
from sidecar.upstream.order import Answered, Attempted, Exhausted, Order, Refusal
from sidecar.upstream.places import Places
from sidecar.upstream.target import Target
from sidecar.upstream.targets import Targets


class Dispatcher:
    """Sends orders. `clock` never goes back, `wall` is Unix time, `chance` a random number from 0 to 1."""

    def __init__(
        self,
        *,
        client: Client,
        catalog: Catalog,
        health: Health,
        places: Places,
        policy: Policy,
        watch: Watch,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.watch = watch
        self.means = Means(client, Targets(catalog), health, places, watch, clock, wall)
        self.policy = policy
        self.chance = chance
        self._first = first_step(policy)

    async def send(self, order: Order) -> Answered | Exhausted:
        """
        The first answer, or what to say when there is none. An answer's connection is open until its `close` is called.
        Raises RequestError when the first candidate cannot be asked what the client asks.
        """
        means = self.means
        if means.health.away:
            now = means.clock()
            return await self._by_the_rules(order, Trip(self.policy, self._ranked(order, now), now, order.replayable))
        outcome = await ask(means, order, self._first, is_first=True)
        if isinstance(outcome, Answered):
            return outcome
        trip = Trip(self.policy, tuple(range(len(order.candidates))), order.attempts[-1].began_at, order.replayable)
        return await self._by_the_rules(order, trip, outcome)

    def at_home(self, target: Target, model: str) -> bool:
        """Whether what `model`'s provider keeps for itself is at hand at `target` too: its own entry, or its account."""
        return self.means.targets.at_home(target, model)

    async def _by_the_rules(self, order: Order, trip: Trip, failed: Refusal | None = None) -> Answered | Exhausted:
        """Goes on with a trip, of whose first candidate `failed` is the refusal when it was asked already."""
        means, refusals = self.means, [] if failed is None else [failed]
        if failed is not None:
            trip = trip.failed(0, failed.failure, means.clock(), self.chance())
        while not isinstance(step := next_step(trip, means.clock()), Stop):
            if step.wait_s:  # without a wait nobody comes between the ranking and the probe it gives
                await self._wait(step.wait_s, order.attempts[-1])
            outcome = await ask(means, order, step, is_first=not refusals)
            if isinstance(outcome, Answered):
                outcome.trip, outcome.repin = trip, self._repin(order, trip, step.rank)
                return outcome
            refusals.append(outcome)
            trip = trip.failed(step.rank, outcome.failure, means.clock(), self.chance())
        return Exhausted(refusals[step.relay], trip.made[step.relay].rank, trip, self._repin(order, trip, None))

    async def _wait(self, seconds: float, failed: Attempted) -> None:
        """Before somebody is asked again."""
        clock = self.means.clock
        began = clock()
        try:
            await asyncio.sleep(seconds)
        finally:
            failed.waited_s += clock() - began

    def _ranked(self, order: Order, now: float) -> tuple[Rank, ...]:
        means, candidates = self.means, order.candidates
        return means.health.order(range(len(candidates)), lambda rank: means.targets.entry(candidates[rank]), now)

    def _repin(self, order: Order, trip: Trip, answered: Rank | None) -> tuple[Rank, ...] | None:
        passed_over = trip.order[0] != 0
        if not self.means.health.away and not passed_over:  # as nearly always
            return pin_after(trip, answered)
        return pin_after(trip, answered, self._ejected(order, passed_over=passed_over))

    def _ejected(self, order: Order, *, passed_over: bool) -> list[Rank]:
        """With the first choice where it was passed over: it may be due for a probe since, or be back."""
        means = self.means
        entries = map(means.targets.entry, order.candidates)
        away = [rank for rank, entry in enumerate(entries) if means.health.ejected(entry)]
        return [0, *away] if passed_over else away

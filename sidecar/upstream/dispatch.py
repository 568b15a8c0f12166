"""
One request to the first candidate that answers it.

    Order ─▶ next_step ─▶ attempt ──first byte──▶ Answered (its body still to come)
                 ▲           └──failed──▶ judge ──┐
                 └────────────────────────────────┘ … ─▶ Exhausted (what the client is to hear)

The rules are elsewhere and pure: `failover` says whom to ask, `refusal` what a failure means, `health` who is ejected,
`limits` how many at once. Here they are carried out.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from attrs import field, frozen
from multidict import CIMultiDict
from yarl import URL

from sidecar.config.catalog import Catalog
from sidecar.errors import ModelNotFound, RequestError, UpstreamError, UpstreamTimeout
from sidecar.upstream.client import Client, cause_of
from sidecar.upstream.failover import Policy, Rank, Stop, Trip, Try, next_step, pin_after
from sidecar.upstream.headers import to_provider
from sidecar.upstream.health import Event, Fault, Health, LastError, Ticket
from sidecar.upstream.limits import Overloaded
from sidecar.upstream.order import ABANDONED, ANSWERED, Answered, Attempted, Exhausted, Order, Refusal
from sidecar.upstream.places import Places
from sidecar.upstream.refusal import Cause, Failure, broken, judge
from sidecar.upstream.reply import Call, Reply
from sidecar.upstream.target import ProviderKeyMissing, ProviderUnknown, Target, target_of, url_for
from sidecar.wire.formats import Format

MAX_ERROR_BYTES = 1024 * 1024
"""A provider's error answer is kept whole, so that it can be relayed when nobody does better."""


class Watch(Protocol):
    """What telemetry is told. Must not raise."""

    def attempted(self, provider: str, outcome: str) -> None: ...
    def changed(self, provider: str, change: str) -> None: ...
    def removed(self, kind: str) -> None: ...
    def dropped(self, source: str, target: str) -> None: ...


@frozen
class _Attempt:
    """Everything one attempt holds on to, given back when it ends."""

    target: Target
    ticket: Ticket
    leave: Callable[[], None]


@frozen
class Dispatcher:
    """Sends orders. `clock` never goes back, `wall` is Unix time, `chance` a random number from 0 to 1."""

    client: Client
    catalog: Catalog
    health: Health
    places: Places
    policy: Policy
    watch: Watch
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = field(default=random.random)

    @asynccontextmanager
    async def send(self, order: Order) -> AsyncIterator[Answered | Exhausted]:
        """
        The first answer, or what to say when there is none. The answer's connection is open inside the context and
        closed at its end. Raises RequestError when the first candidate cannot be asked what the client asks.
        """
        trip = Trip(self.policy, self._ranked(order), self.clock(), order.replayable)
        refusals: list[Refusal] = []
        while True:
            step = next_step(trip, self.clock())
            if isinstance(step, Stop):
                made = trip.made[step.relay]
                yield Exhausted(refusals[step.relay], made.rank, trip, self._repin(order, trip, None))
                return
            if step.wait_s:  # without a wait nobody comes between the ranking and the probe it gives
                await self._wait(step.wait_s, order.attempts[-1])
            async with self._attempt(order, step, is_first=not refusals) as outcome:
                if isinstance(outcome, Refusal):
                    refusals.append(outcome)
                    trip = trip.failed(step.rank, outcome.failure, self.clock(), self.chance())
                    continue
                reply, first, target = outcome
                yield Answered(reply, first, target, step.rank, trip, self._repin(order, trip, step.rank))
                return

    async def _wait(self, seconds: float, failed: Attempted) -> None:
        """Before somebody is asked again."""
        began = self.clock()
        try:
            await asyncio.sleep(seconds)
        finally:
            failed.waited_s += self.clock() - began

    def at_home(self, target: Target, model: str) -> bool:
        """Whether what `model`'s provider keeps for itself is at hand at `target` too: its own entry, or its account."""
        provider = self.catalog.provider_of(model)
        if provider is None or provider.name == target.provider:
            return True
        try:
            return target_of(provider, model, None).account == target.account
        except UpstreamError:  # it lacks its URL or key
            return False

    def _ranked(self, order: Order) -> tuple[Rank, ...]:
        ranks = range(len(order.candidates))
        return self.health.order(ranks, lambda rank: self._entry(order.candidates[rank]), self.clock())

    def _entry(self, model: str) -> str:
        provider = self.catalog.provider_of(model)
        return provider.name if provider is not None else model

    def _repin(self, order: Order, trip: Trip, answered: Rank | None) -> tuple[Rank, ...] | None:
        now = self.clock()
        ejected = [
            rank for rank, model in enumerate(order.candidates) if not self.health.available(self._entry(model), now)
        ]
        return pin_after(trip, answered, ejected)

    @asynccontextmanager
    async def _attempt(
        self, order: Order, step: Try, *, is_first: bool
    ) -> AsyncIterator[tuple[Reply, bytes | None, Target] | Refusal]:
        """One attempt, written down as it goes."""
        model = order.candidates[step.rank]
        span_id, traceparent = order.span()
        made = Attempted(self._entry(model), model, self.clock(), span_id)
        order.attempts.append(made)
        try:
            async with self._made(order, step, made.began_at, traceparent, is_first=is_first) as outcome:
                self._note(made, outcome, self.clock() - made.began_at)
                yield outcome
        finally:
            made.seconds = self.clock() - made.began_at
            if made.outcome == ABANDONED and order.attempts[-1:] == [made]:
                self._note(made, None, made.seconds)

    def _note(
        self, made: Attempted, outcome: tuple[Reply, bytes | None, Target] | Refusal | None, seconds: float
    ) -> None:
        made.waited_s = seconds
        if isinstance(outcome, Refusal):
            made.outcome, made.status = outcome.failure.cause.value, outcome.failure.status
        elif outcome is not None:
            reply, first, _ = outcome
            made.outcome, made.status = ANSWERED, reply.status
            made.first_byte_s = seconds if first else None
        self.watch.attempted(made.provider, made.outcome)

    @asynccontextmanager
    async def _made(
        self, order: Order, step: Try, began: float, traceparent: str | None, *, is_first: bool
    ) -> AsyncIterator[tuple[Reply, bytes | None, Target] | Refusal]:
        try:
            target = self._target(order.candidates[step.rank], order.format)
            body = order.body_for(target)
            leave = await self.places.take(target.provider, step.budget_s)
        except (ProviderKeyMissing, ProviderUnknown) as exc:
            yield Refusal(broken(Cause.KEY_MISSING), exc)
            return
        except Overloaded as exc:
            yield Refusal(broken(Cause.OVERFLOW), exc)
            return
        except RequestError as exc:
            if is_first and step.rank == 0:
                order.attempts.pop()  # nobody was asked: it is the client's own mistake
                raise
            yield Refusal(broken(Cause.NOT_PORTABLE), exc)
            return
        attempt = _Attempt(target, self.health.begin(target.provider, began), leave)
        try:
            call = self._call(order, target, body, traceparent, step.budget_s - (self.clock() - began))
            async with self._sent(call, attempt, order.hold_s) as outcome:
                yield outcome
        finally:
            self.health.abandoned(attempt.ticket)  # does nothing for one that has reported
            leave()

    def _target(self, model: str, form: Format | None) -> Target:
        provider = self.catalog.provider_of(model)
        if provider is None:
            raise ModelNotFound(f"{model} is not configured")
        return target_of(provider, model, form)

    def _call(
        self,
        order: Order,
        target: Target,
        body: bytes | AsyncIterator[bytes] | None,
        traceparent: str | None,
        budget_s: float,
    ) -> Call:
        headers: CIMultiDict[str] = to_provider(
            order.headers,
            target,
            request_id=order.request_id,
            traceparent=traceparent,
            rewritten=isinstance(body, bytes) and body != order.received,
            decoded=order.decoded,
        )
        if order.content_length is not None:
            headers["Content-Length"] = str(order.content_length)
        url = URL(target.origin + url_for(target, order.request_target), encoded=True)
        timeouts = target.timeouts.within(budget_s)
        return Call(target.provider, order.method, url, headers, body, timeouts, order.replayable)

    @asynccontextmanager
    async def _sent(
        self, call: Call, attempt: _Attempt, hold_s: float | None
    ) -> AsyncIterator[tuple[Reply, bytes | None, Target] | Refusal]:
        try:
            reply = await self.client.send(call)
        except UpstreamError as exc:
            yield self._broken(exc, attempt)
            return
        async with reply:
            try:
                refusal = await self._refusal(reply, attempt)
                if attempt.target.translated and refusal is None:
                    reply.decompress()
                first = await reply.first(hold_s) if refusal is None else b""
            except UpstreamError as exc:
                yield self._broken(exc, attempt)
                return
            if refusal is not None:
                yield refusal
                return
            self._tell(self.health.succeeded(attempt.ticket, self.clock()))
            yield reply, first, attempt.target

    def _broken(self, exc: UpstreamError, attempt: _Attempt) -> Refusal:
        refusal = Refusal(broken(cause_of(exc)), exc, attempt.target)
        self._report(refusal.failure, attempt)
        return refusal

    async def _refusal(self, reply: Reply, attempt: _Attempt) -> Refusal | None:
        """What an answer that is an error comes to; None for one that is not."""
        if reply.status < 400:  # noqa: PLR2004 - a status class
            return None
        target = attempt.target
        body = await _error_body(reply, target)
        failure = judge(
            reply.status,
            reply.headers,
            body,
            passthrough_auth=target.passthrough_auth,
            now_unix_s=self.wall(),
        )
        if failure is None:
            return None
        self._report(failure, attempt)
        error = UpstreamError(f"{target.provider} answered {reply.status}")
        if len(body) > MAX_ERROR_BYTES:  # in part it would look like the whole
            return Refusal(failure, error, target)
        return Refusal(failure, error, target, reply.status, reply.reason, reply.headers, body)

    def _report(self, failure: Failure, attempt: _Attempt) -> None:
        now = self.clock()
        if failure.cause is not Cause.REFUSED:  # that one is the client's own mistake
            self.health.erred(attempt.ticket, LastError(self.wall(), failure.cause.value, failure.status))
        # Behind a client's own key, a limit is that client's: it says nothing of the provider.
        own_limit = attempt.target.passthrough_auth and failure.fault is Fault.RATE_LIMIT
        if failure.fault is not None and not own_limit:
            self._tell(self.health.failed(attempt.ticket, failure.fault, now))
        elif failure.status is not None:  # it is well enough to refuse
            self._tell(self.health.succeeded(attempt.ticket, now))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self.watch.changed(event.provider, event.change.value)


async def _error_body(reply: Reply, target: Target) -> bytes:
    """Raises UpstreamTimeout when it takes longer than a first byte may."""
    limit_s = target.timeouts.first_byte_s
    try:
        async with asyncio.timeout(limit_s):
            return await reply.read(MAX_ERROR_BYTES + 1)
    except TimeoutError as exc:
        raise UpstreamTimeout(f"{target.provider} did not end its error within {limit_s:g} s") from exc

"""
One attempt at one candidate: prepared, sent, judged by its first byte, and over when it is closed.

    Order, rank ─▶ target, body, place ─▶ Call ─▶ client ─▶ reply ─▶ its first byte ─▶ Answered
                      └── nothing was sent ──┐      └── broken ──┐       └── an error ──┐
                                             └──────────────────┴───────────────────────┴──▶ Refusal

What an attempt holds on to (a place, a ticket, a connection) are its fields, and `_close` gives them back: at once when
it failed, when the client has its answer when not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from msgspec import Struct

from sidecar.errors import RequestError, SidecarError, UpstreamError, UpstreamTimeout
from sidecar.upstream.client import Client, cause_of
from sidecar.upstream.failover import Try
from sidecar.upstream.health import Event, Fault, Health, LastError, Ticket
from sidecar.upstream.limits import Overloaded, Slot
from sidecar.upstream.order import ABANDONED, ANSWERED, Answered, Attempted, Order, Refusal
from sidecar.upstream.places import Places
from sidecar.upstream.refusal import Cause, Failure, broken, judge
from sidecar.upstream.reply import Call, Reply
from sidecar.upstream.target import ProviderKeyMissing, ProviderUnknown, Target
from sidecar.upstream.targets import Aim, Targets

MAX_ERROR_BYTES = 1024 * 1024
"""A provider's error answer is kept whole, so that it can be relayed when nobody does better."""


class Watch(Protocol):
    """What telemetry is told. Must not raise."""

    def attempted(self, provider: str, outcome: str) -> None: ...
    def changed(self, provider: str, change: str) -> None: ...
    def removed(self, kind: str) -> None: ...
    def dropped(self, source: str, target: str) -> None: ...


class Means(Struct, frozen=True):
    """What attempts are made with. `clock` never goes back, `wall` is Unix time."""

    client: Client
    targets: Targets
    health: Health
    places: Places
    watch: Watch
    clock: Callable[[], float]
    wall: Callable[[], float]


class Attempt:
    """One attempt, written down in `order.attempts` as it goes."""

    __slots__ = ("_means", "_order", "_reply", "_slot", "_step", "_target", "_ticket", "_traceparent", "made")

    def __init__(self, means: Means, order: Order, step: Try) -> None:
        model = order.candidates[step.rank]
        span_id, self._traceparent = order.span()
        self._means = means
        self._order = order
        self._step = step
        self._target: Target | None = None
        self._slot: Slot | None = None
        self._ticket: Ticket | None = None
        self._reply: Reply | None = None
        self.made = Attempted(means.targets.entry(model), model, means.clock(), span_id)
        order.attempts.append(self.made)

    async def outcome(self, *, is_first: bool) -> Answered | Refusal:
        """
        To be called once. What is open after it the answer's `close` closes; after a failure nothing is. Raises
        RequestError when the first candidate cannot be asked what the client asks, or its upload breaks off.
        """
        try:
            try:
                outcome = await self._asked()
            except SidecarError as exc:
                outcome = self._failed(exc, is_first=is_first)
            if isinstance(outcome, Answered):
                return outcome
            self._note(outcome.failure.cause.value, outcome.failure.status)
        except BaseException:  # a hang-up too
            await self._close()
            raise
        await self._close()
        return outcome

    async def _asked(self) -> Answered | Refusal:
        means, order, step, made = self._means, self._order, self._step, self.made
        aim = means.targets.of(made.model, order.format)
        target, budget_s = aim.target, step.budget_s
        self._target = target
        body = order.body_for(target, step.rank)
        slot = self._slot = means.places.enter(target.provider)
        if not slot.running:
            await means.places.turn(slot, budget_s)
            budget_s -= means.clock() - made.began_at
        ticket = self._ticket = means.health.begin(target.provider, made.began_at)
        reply = self._reply = await means.client.send(self._call(aim, body, budget_s))
        if reply.status >= 400 and (refusal := await self._refusal(reply, target, ticket)):  # noqa: PLR2004 - a class
            return refusal
        if target.translated:
            reply.decompress()
        first = await reply.first(order.hold_s)
        now = means.clock()
        if event := means.health.succeeded(ticket, now):
            means.watch.changed(event.provider, event.change.value)
        made.outcome, made.status, made.waited_s = ANSWERED, reply.status, now - made.began_at
        made.first_byte_s = made.waited_s if first else None
        means.watch.attempted(made.provider, ANSWERED)
        return Answered(reply, first, target, step.rank, self._close)

    def _call(self, aim: Aim, body: bytes | AsyncIterator[bytes] | None, budget_s: float) -> Call:
        order, target = self._order, aim.target
        headers = aim.outgoing.of(
            order.headers,
            request_id=order.request_id,
            traceparent=self._traceparent,
            rewritten=isinstance(body, bytes) and body != order.received,
            decoded=order.decoded,
        )
        if order.content_length is not None:
            headers.append(("Content-Length", str(order.content_length)))
        path, timeouts = aim.path(order.request_target), target.timeouts
        if budget_s < timeouts.first_byte_s:
            timeouts = timeouts.within(budget_s)
        return Call(target.provider, order.method, aim.origin, path, headers, body, timeouts, order.replayable)

    async def _close(self) -> None:
        """Once. Gives back what the attempt holds on to."""
        means, made = self._means, self.made
        try:
            if self._reply is not None:
                await self._reply.__aexit__(None, None, None)  # entered by being made
        finally:
            if self._ticket is not None and self._ticket.probe:
                means.health.abandoned(self._ticket)  # does nothing for one that has reported
            if self._slot is not None:
                means.places.leave(self._slot)
            made.seconds = means.clock() - made.began_at
            if made.outcome == ABANDONED and self._order.attempts and self._order.attempts[-1] is made:
                self._note(ABANDONED, None)

    def _note(self, outcome: str, status: int | None) -> None:
        means, made = self._means, self.made
        made.outcome, made.status, made.waited_s = outcome, status, means.clock() - made.began_at
        means.watch.attempted(made.provider, outcome)

    def _failed(self, error: SidecarError, *, is_first: bool) -> Refusal:
        """What an error comes to. Raises it when it is the client's own."""
        if self._ticket is None:
            return self._unasked(error, is_first=is_first)
        if not isinstance(error, UpstreamError) or self._target is None:
            raise error
        refusal = Refusal(broken(cause_of(error)), error, self._target)
        self._report(refusal.failure, self._target, self._ticket)
        return refusal

    def _unasked(self, error: SidecarError, *, is_first: bool) -> Refusal:
        """Nothing was sent."""
        if isinstance(error, ProviderKeyMissing | ProviderUnknown):
            return Refusal(broken(Cause.KEY_MISSING), error)
        if isinstance(error, Overloaded):
            return Refusal(broken(Cause.OVERFLOW), error)
        if not isinstance(error, RequestError):
            raise error
        if is_first and self._step.rank == 0:
            self._order.attempts.pop()  # nobody was asked: it is the client's own mistake
            raise error
        return Refusal(broken(Cause.NOT_PORTABLE), error)

    async def _refusal(self, reply: Reply, target: Target, ticket: Ticket) -> Refusal | None:
        """What an answer of 400 or more comes to; None for one that is no failure."""
        body = await _error_body(reply, target)
        failure = judge(
            reply.status,
            reply.headers,
            body,
            passthrough_auth=target.passthrough_auth,
            now_unix_s=self._means.wall(),
        )
        if failure is None:
            return None
        self._report(failure, target, ticket)
        error = UpstreamError(f"{target.provider} answered {reply.status}")
        if len(body) > MAX_ERROR_BYTES:  # in part it would look like the whole
            return Refusal(failure, error, target)
        return Refusal(failure, error, target, reply.status, reply.reason, reply.headers, body)

    def _report(self, failure: Failure, target: Target, ticket: Ticket) -> None:
        health, now = self._means.health, self._means.clock()
        if failure.cause is not Cause.REFUSED:  # that one is the client's own mistake
            health.erred(ticket, LastError(self._means.wall(), failure.cause.value, failure.status))
        # Behind a client's own key, a limit is that client's: it says nothing of the provider.
        own_limit = target.passthrough_auth and failure.fault is Fault.RATE_LIMIT
        if failure.fault is not None and not own_limit:
            self._tell(health.failed(ticket, failure.fault, now))
        elif failure.status is not None:  # it is well enough to refuse
            self._tell(health.succeeded(ticket, now))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self._means.watch.changed(event.provider, event.change.value)


async def _error_body(reply: Reply, target: Target) -> bytes:
    """Raises UpstreamTimeout when it takes longer than a first byte may."""
    limit_s = target.timeouts.first_byte_s
    try:
        async with asyncio.timeout(limit_s):
            return await reply.read(MAX_ERROR_BYTES + 1)
    except TimeoutError as exc:
        raise UpstreamTimeout(f"{target.provider} did not end its error within {limit_s:g} s") from exc

"""
One attempt at one candidate: prepared, sent, judged by its first byte, and over when it is closed.

    Order, rank ─▶ target, body, head, place ─▶ Call ─▶ client ─▶ reply ─▶ its first byte ─▶ Answered
                         └── nothing was sent ──┐         └── broken ──┐       └── an error ──┐
                                                └──────────────────────┴──────────────────────┴──▶ Refusal

`ask` is the straight line of it, and whatever goes wrong on that line is an exception until `failed` says what it comes
to. What an attempt holds on to (a place, a ticket, a connection) are its fields, and `close` gives them back: at once
when it failed, when the client has its answer when not.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from sidecar.errors import RequestError, UpstreamError, UpstreamTimeout
from sidecar.upstream.asking import Unwritable
from sidecar.upstream.client import Client, cause_of
from sidecar.upstream.failover import Try
from sidecar.upstream.health import Event, Fault, Health, LastError, Ticket
from sidecar.upstream.limits import Overloaded, Slot
from sidecar.upstream.order import ABANDONED, ANSWERED, Answered, Attempted, Order, Refusal
from sidecar.upstream.places import Places
from sidecar.upstream.refusal import Cause, Failure, broken, judge
from sidecar.upstream.reply import Call, Reply
from sidecar.upstream.target import ProviderKeyMissing, ProviderUnknown, Target
from sidecar.upstream.targets import Targets

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


async def ask(means: Means, order: Order, step: Try, *, is_first: bool) -> Answered | Refusal:
    """
    Makes one attempt. What is open after it the answer's `close` closes; after a failure nothing is. Raises
    RequestError when the first candidate cannot be asked what the client asks, or its upload breaks off.
    """
    model, began_at, budget_s = order.candidates[step.rank], means.clock(), step.budget_s
    span_id, traceparent = ("", order.traceparent) if order.span is None else order.span()
    made = Attempted(means.targets.entry(model), model, began_at, span_id)
    order.attempts.append(made)
    attempt = Attempt(means, order, step, made)
    try:
        aim = means.targets.of(model, order.format)
        target = attempt.target = aim.target
        body = order.body_for(target, step.rank)
        head = aim.heads.of(order, traceparent, body)
        slot = attempt.slot = means.places.enter(target.provider)
        if not slot.running:
            await means.places.turn(slot, budget_s)
            budget_s -= means.clock() - began_at
        ticket = attempt.ticket = means.health.begin(target.provider, began_at)
        timeouts, bare = target.timeouts, order.method == "HEAD"
        if budget_s < timeouts.first_byte_s:
            timeouts = timeouts.within(budget_s)
        call = Call(target.provider, aim.origin, head, body, timeouts, order.replayable, bare, order.content_length)
        reply = attempt.reply = await means.client.send(call)
        if reply.status >= 400:  # noqa: PLR2004 - a status class
            await attempt.judge(reply, target, ticket)
        if target.translated:
            reply.decompress()
        first = reply.whole()
        if first is None:
            first = await reply.first(order.hold_s)
        now = means.clock()
        if event := means.health.succeeded(ticket, now):
            means.watch.changed(event.provider, event.change.value)
        made.outcome, made.status, made.waited_s = ANSWERED, reply.status, now - began_at
        made.first_byte_s = made.waited_s if first else None
        means.watch.attempted(made.provider, ANSWERED)
        return Answered(reply, first, target, step.rank, attempt.close)
    except BaseException as exc:  # a hang-up too
        refusal = await attempt.failed(exc, is_first=is_first)
        if refusal is None:
            raise
        exc.with_traceback(None)  # told and not raised: its traceback has this frame, which has the refusal
        return refusal


class Attempt(Struct, eq=False):
    """What an attempt holds on to, and how it ends. A Struct: one is made for every request."""

    means: Means
    order: Order
    step: Try
    made: Attempted
    """It is written down here as it goes."""
    target: Target | None = None
    slot: Slot | None = None
    ticket: Ticket | None = None
    reply: Reply | None = None

    async def close(self) -> None:
        """Once. Gives back what the attempt holds on to."""
        means, made, reply, ticket, slot = self.means, self.made, self.reply, self.ticket, self.slot
        try:
            if reply is not None and not reply.let_go():
                await reply.close()
        finally:
            if ticket is not None and ticket.probe:
                means.health.abandoned(ticket)  # does nothing for one that has reported
            if slot is not None:
                means.places.leave(slot)
            made.seconds = means.clock() - made.began_at
            if made.outcome == ABANDONED and self.order.attempts and self.order.attempts[-1] is made:
                self._note(ABANDONED, None)

    async def failed(self, error: BaseException, *, is_first: bool) -> Refusal | None:
        """To be called once, when it has. Gives back what it holds. None for what is no refusal and goes on its way."""
        try:
            refusal = self._refusal(error, is_first=is_first)
            if refusal is not None:
                self._note(refusal.failure.cause.value, refusal.failure.status)
        finally:
            await self.close()
        return refusal

    async def judge(self, reply: Reply, target: Target, ticket: Ticket) -> None:
        """Of an answer of 400 or more. Raises when it is a failure."""
        body = await _error_body(reply, target)
        failure = judge(
            reply.status,
            reply.headers,
            body,
            passthrough_auth=target.passthrough_auth,
            now_unix_s=self.means.wall(),
        )
        if failure is None:
            return
        self._report(failure, target, ticket)
        error = UpstreamError(f"{target.provider} answered {reply.status}")
        if len(body) > MAX_ERROR_BYTES:  # in part it would look like the whole
            raise _Judged(Refusal(failure, error, target))
        raise _Judged(Refusal(failure, error, target, reply.status, reply.reason, reply.headers, body))

    def _note(self, outcome: str, status: int | None) -> None:
        means, made = self.means, self.made
        made.outcome, made.status, made.waited_s = outcome, status, means.clock() - made.began_at
        means.watch.attempted(made.provider, outcome)

    def _refusal(self, error: BaseException, *, is_first: bool) -> Refusal | None:
        """What an error comes to. None for the client's own mistake, and for what ends more than the attempt."""
        if isinstance(error, _Judged):
            return error.refusal
        if self.ticket is None or self.target is None:
            return self._unasked(error, is_first=is_first)
        if not isinstance(error, UpstreamError):
            return None
        refusal = Refusal(broken(cause_of(error)), error, self.target)
        self._report(refusal.failure, self.target, self.ticket)
        return refusal

    def _unasked(self, error: BaseException, *, is_first: bool) -> Refusal | None:
        """Nothing was sent."""
        if isinstance(error, ProviderKeyMissing | ProviderUnknown):
            return Refusal(broken(Cause.KEY_MISSING), error)
        if isinstance(error, Overloaded):
            return Refusal(broken(Cause.OVERFLOW), error)
        if not isinstance(error, RequestError | Unwritable):
            return None
        if is_first and self.step.rank == 0 and isinstance(error, RequestError):
            self.order.attempts.pop()  # nobody was asked: it is the client's own mistake
            return None
        return Refusal(broken(Cause.NOT_PORTABLE), error)

    def _report(self, failure: Failure, target: Target, ticket: Ticket) -> None:
        health, now = self.means.health, self.means.clock()
        if failure.cause is not Cause.REFUSED:  # that one is the client's own mistake
            health.erred(ticket, LastError(self.means.wall(), failure.cause.value, failure.status))
        # Behind a client's own key, a limit is that client's: it says nothing of the provider.
        own_limit = target.passthrough_auth and failure.fault is Fault.RATE_LIMIT
        if failure.fault is not None and not own_limit:
            self._tell(health.failed(ticket, failure.fault, now))
        elif failure.status is not None:  # it is well enough to refuse
            self._tell(health.succeeded(ticket, now))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            self.means.watch.changed(event.provider, event.change.value)


class _Judged(Exception):
    """The provider's answer is a failure."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


async def _error_body(reply: Reply, target: Target) -> bytes:
    """Raises UpstreamTimeout when it takes longer than a first byte may."""
    limit_s = target.timeouts.first_byte_s
    try:
        async with asyncio.timeout(limit_s):
            return await reply.read(MAX_ERROR_BYTES + 1)
    except TimeoutError as exc:
        raise UpstreamTimeout(f"{target.provider} did not end its error within {limit_s:g} s") from exc

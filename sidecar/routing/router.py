"""
The way from a request to its decision: pin, else classifier, else the request's own model.

Written as one straight line with its surroundings left open: the pins, the single flight and the judge come in
through the constructor and are awaited, nothing else.
"""

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Protocol

from attrs import evolve
from msgspec.structs import replace

from sidecar.config.catalog import Catalog
from sidecar.config.models import Route, Routing
from sidecar.routing import turns
from sidecar.routing.ask import Ask, PinControl
from sidecar.routing.decision import Decision, Failover, Held, Lookup, Moved, Pin, Reason, decide, from_pin, own_model
from sidecar.routing.intent import Intent, intent_of
from sidecar.routing.pins import Decides
from sidecar.routing.session import SessionKey
from sidecar.routing.verdict import Verdict
from sidecar.routing.warm import Warm
from sidecar.routing.watch import MoveReason, PinWatch, Unwatched, tell

MOST_RANKED = 256
"""Ranked lists of pins that are remembered to be offered. There are as many as routes, and what requests bring."""


class Pins(Protocol):
    """What the router needs of a store. Awaiting it never raises: a store that is down has a table to fall back on."""

    @property
    def decided(self) -> Decides | None: ...
    async def get(self, key: SessionKey) -> Held | None: ...
    async def peek(self, key: SessionKey) -> Held | None: ...
    async def expired(self, key: SessionKey) -> bool: ...
    async def lead(self, key: SessionKey) -> Held | None: ...
    async def resign(self, key: SessionKey) -> None: ...
    async def claim(self, key: SessionKey, pin: Pin) -> Held: ...
    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None) -> Moved: ...
    async def note(self, key: SessionKey, failover: Failover) -> None: ...
    async def delete(self, key: SessionKey) -> bool: ...


class Flights(Protocol):
    """One first turn at a time for each session."""

    async def lead_or_wait(self, key: SessionKey, work: Callable[[], Awaitable[Decision]]) -> Decision | None:
        """
        The outcome of `work` for the first caller of `key`; None, once that is done, for whoever came meanwhile.
        """
        ...


Judge = Callable[[Intent, tuple[Route, ...]], Awaitable[Verdict]]
"""Asks the classifier. Never raises and is never late: a failure is a verdict too."""


class Router:
    """Decides, by the rules of one configuration. `watch` is told what becomes of pins."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        routes: tuple[Route, ...],
        policy: Routing,
        pins: Pins,
        flights: Flights,
        judge: Judge,
        watch: PinWatch | None = None,
    ) -> None:
        self._catalog = catalog
        self._offered = lru_cache(MOST_RANKED)(partial(_still_offered, catalog))
        self._routes = routes
        self._pins = pins
        self._flights = flights
        self._judge = judge
        self._watch = watch if watch is not None else Unwatched()
        self._pin_unmatched = policy.pin_unmatched
        self._by_turns = policy.route_on_user_only
        self._warm = Warm(policy.session_ttl_seconds, policy.session_max_entries)
        self._apply_to = None if policy.apply_to is None else _names(policy.apply_to, catalog)
        # Without these a pin decides whatever a request says.
        self._decided = pins.decided if self._apply_to is None and not self._by_turns else None

    def pinned(self, session: SessionKey) -> Decision | None:
        """
        The decision for a request of a session that asks for nothing else, where its pin takes it and nothing need be
        waited for. None: nothing has happened, and `route` is to be asked.
        """
        return None if self._decided is None else self._decided(session, self._offered)

    @property
    def waits(self) -> bool:
        """Whether `pinned` knows of no pin at all."""
        return self._decided is None

    async def route(self, ask: Ask, now: float) -> Decision:
        """
        The decision for one request, taken at `now`, Unix time.

        Raises RequestError when its inline preferences have a mistake, or when no route matched and there is neither
        a model of its own nor a default.
        """
        if self._apply_to is not None and not self._applies(ask.requested):
            return Decision((own_model(self._catalog, ask.requested),), None, Reason.NOT_APPLIED)
        session = ask.session
        if session is None:
            return await self._fresh(ask, self._judge)
        if ask.is_side_call or (ask.control is not None and ask.control is PinControl.BYPASS):
            # A side call whatever its `x-sidecar-pin` says: that is meant for the session's own requests.
            lookup = Lookup.SIDE_CALL if ask.is_side_call else Lookup.BYPASS
            return replace(await self._fresh(ask, self._judge), lookup=lookup)
        for waiting in ask.waiting:
            if self._warm.due(waiting.encoded, now):
                await self._pins.get(waiting)
        if ask.control is None and (decision := self.pinned(session)) is not None:
            return decision  # as nearly every request of a session
        held = await self._pins.get(session)
        return await self._in_session(ask, session, held, now)

    async def preview(self, ask: Ask, judge: Judge) -> Decision:
        """
        What would be decided for `ask` now, were it asked without an `x-sidecar-pin`. Nothing is written, and a pin
        that is looked at is not used. `judge` is asked in place of the router's own, whose verdicts are counted.

        Raises as `route`.
        """
        if not self._applies(ask.requested):
            return Decision((own_model(self._catalog, ask.requested),), None, Reason.NOT_APPLIED)
        held = None if ask.session is None else await self._pins.peek(ask.session)
        offered = held is not None and self._is_offered(held.pin.model)
        if held is not None and offered and not self._is_new_turn(ask):
            return self._from_pin(held)
        fresh = await self._fresh(ask, judge)
        if held is not None:
            return replace(fresh, lookup=Lookup.TURN) if offered else _named(fresh, Lookup.MODEL_GONE)
        return fresh if ask.session is None else _named(fresh, await self._missed(ask.session))

    async def repin(
        self,
        session: SessionKey,
        decision: Decision,
        candidates: tuple[str, ...],
        now: float,
        why: MoveReason = MoveReason.TERMINAL_ERROR,
    ) -> bool:
        """
        Moves a session to `candidates` after its decided model failed; not if somebody else moved it meanwhile, and
        not if it has no pin or has released it. Whether it moved. `now`: Unix time.
        """
        if decision.pin_now is None or not await self._has_pin(session, decision):
            return False
        pin = evolve(decision.pin_now, candidates=candidates, reason=Reason.FAILOVER, decided_at_s=now, mixed=True)
        return (await self._move(session, pin, why, decision.pin_now)).pin == pin

    async def mix(self, session: SessionKey, decision: Decision) -> None:
        """Notes that another provider than the decided one answered once; the pin stays what it is."""
        pin = decision.pin_now
        if pin is not None and not pin.mixed and await self._has_pin(session, decision):
            await self._pins.move(session, evolve(pin, mixed=True), pin)

    async def _has_pin(self, session: SessionKey, decision: Decision) -> bool:
        """Still: what is released or deleted while an answer is under way does not come back with it."""
        return decision.lookup is not Lookup.RELEASED and await self._pins.peek(session) is not None

    async def note_failover(self, session: SessionKey, failover: Failover) -> None:
        """Notes, beside the session's pin if it has one, that another model answered in place of its own."""
        await self._pins.note(session, failover)

    async def _in_session(self, ask: Ask, session: SessionKey, held: Held | None, now: float) -> Decision:
        """`held`: the pin that the session has."""
        if held is not None and ask.control is None and (candidates := self._offered(held.pin.candidates)):
            if not self._by_turns or not self._is_new_turn(ask):
                return from_pin(held, candidates)
            return await self._together(session, lambda: self._anew(ask, session, held, now, MoveReason.TURN))
        if ask.control is PinControl.RELEASE:
            return await self._release(ask, session, held)
        if ask.control is PinControl.REFRESH:
            return await self._anew(ask, session, held, now, MoveReason.REFRESH)
        gone = None if held is None else held.pin
        return await self._together(session, lambda: self._route_and_pin(ask, session, gone, now))

    def _is_new_turn(self, ask: Ask) -> bool:
        return self._by_turns and turns.is_users(ask.conversation())

    async def _missed(self, session: SessionKey) -> Lookup:
        if session.drifted:
            return Lookup.PREFIX_CHANGED
        return Lookup.EXPIRED if await self._pins.expired(session) else Lookup.MISS

    async def _move(self, session: SessionKey, pin: Pin, why: MoveReason, instead_of: Pin | None = None) -> Held:
        moved = await self._pins.move(session, pin, instead_of)
        tell(self._watch, moved, pin, why)
        return moved.held

    async def _claim(self, session: SessionKey, pin: Pin) -> Held:
        held = await self._pins.claim(session, pin)
        if held.pin == pin:
            self._watch.pin_created(pin)
        return held

    def _applies(self, requested: str | None) -> bool:
        """A request that names no model has made no choice that could win over ours."""
        if self._apply_to is None or requested is None:
            return True
        return requested in self._apply_to or self._catalog.resolve(requested) in self._apply_to

    async def _fresh(self, ask: Ask, judge: Judge) -> Decision:
        routes = ask.preferences() or self._routes
        if not routes:
            return decide(routes, self._catalog, ask.requested, None)
        verdict = await judge(intent_of(ask.conversation()), routes)
        return decide(routes, self._catalog, ask.requested, verdict)

    async def _together(self, session: SessionKey, work: Callable[[], Awaitable[Decision]]) -> Decision:
        """Many may come at once: one of them is routed, the others get what it was given."""
        led = await self._flights.lead_or_wait(session, work)
        if led is not None:
            return led
        held = await self._pins.get(session)
        if held is not None and self._is_offered(held.pin.model):
            return self._from_pin(held)
        # Without a pin the first one failed, or was not to be pinned: what holds for it need not hold for us.
        return await work()

    async def _route_and_pin(self, ask: Ask, session: SessionKey, gone: Pin | None, now: float) -> Decision:
        """`gone`: the pin the session has, when its model is no longer configured."""
        if gone is None:
            held = await self._inherited(ask, session) or await self._pins.lead(session)
            if held is not None and self._is_offered(held.pin.model):
                return self._from_pin(held)
            gone = None if held is None else held.pin
        lookup = await self._missed(session) if gone is None else Lookup.MODEL_GONE
        fresh = await self._led(ask, session) if gone is None else await self._fresh(ask, self._judge)
        fresh = _named(fresh, lookup)
        if not self._is_to_be_pinned(fresh):
            return fresh
        mine = fresh.pin(now, session.source)
        if gone is None:
            held = await self._claim(session, mine)
        else:
            mine = evolve(mine, mixed=True)
            held = await self._move(session, mine, MoveReason.MODEL_GONE, gone)
        return fresh.held(held) if held.pin == mine else self._from_pin(held)

    async def _inherited(self, ask: Ask, session: SessionKey) -> Held | None:
        """
        The parent's pin, from now on the session's own too; the parent, who waits for it, has thereby used it. Counted
        as a hit: a pin decided, and no classifier was asked.
        """
        held = None if ask.parent is None else await self._pins.get(ask.parent)
        if held is None or not self._is_offered(held.pin.model):
            return None
        return await self._claim(session, evolve(held.pin, source=session.source))

    async def _led(self, ask: Ask, session: SessionKey) -> Decision:
        """What is decided in the lead of other processes, who need not wait when nothing comes of it."""
        fresh: Decision | None = None
        try:
            fresh = await self._fresh(ask, self._judge)
        finally:
            if fresh is None or not self._is_to_be_pinned(fresh):
                await self._pins.resign(session)
        return fresh

    async def _release(self, ask: Ask, session: SessionKey, held: Held | None) -> Decision:
        """`pin_now` stays in the decision, for what it says of the conversation; nobody makes a pin of it again."""
        if held is not None:
            await self._pins.delete(session)
            if self._is_offered(held.pin.model):
                return replace(self._from_pin(held), lookup=Lookup.RELEASED, expires_in_s=None)
        return replace(await self._fresh(ask, self._judge), lookup=Lookup.RELEASED)

    async def _anew(self, ask: Ask, session: SessionKey, held: Held | None, now: float, why: MoveReason) -> Decision:
        """Routed again for the reason that `why` names, in the words of Lookup too."""
        lookup = Lookup(why.value)
        fresh = replace(await self._fresh(ask, self._judge), lookup=lookup)
        if held is not None and fresh.failed and self._is_offered(held.pin.model):
            # Nobody could judge: the model the session has is a better answer than a change for no reason.
            return replace(self._from_pin(held), reason=fresh.reason, lookup=lookup, verdict=fresh.verdict)
        if self._is_to_be_pinned(fresh):
            mixed = held is not None and (held.pin.mixed or held.pin.model != fresh.model)
            pin = evolve(fresh.pin(now, session.source), mixed=mixed)
            return fresh.held(await self._move(session, pin, why))
        await self._pins.delete(session)
        return fresh

    def _from_pin(self, held: Held) -> Decision:
        """Of a pin whose model is offered."""
        return from_pin(held, self._offered(held.pin.candidates))

    def _is_offered(self, model: str) -> bool:
        return self._catalog.resolve(model) is not None

    def _is_to_be_pinned(self, decision: Decision) -> bool:
        return decision.matched or self._pin_unmatched


def _still_offered(catalog: Catalog, candidates: tuple[str, ...]) -> tuple[str, ...]:
    """A pin's ranked list, less what is no longer configured; empty when the model that the session has is not."""
    offered = tuple(model for model in candidates if catalog.resolve(model) is not None)
    return offered if offered[:1] == candidates[:1] else ()


def _named(decision: Decision, lookup: Lookup) -> Decision:
    """`decision`, after a look into the pin table that found what `lookup` says; some of it is the decision's reason."""
    reason = _REASONS.get(lookup, decision.reason)
    return replace(decision, lookup=lookup, reason=reason)


_REASONS = {Lookup.MODEL_GONE: Reason.MODEL_GONE, Lookup.PREFIX_CHANGED: Reason.PREFIX_CHANGED}


def _names(apply_to: tuple[str, ...], catalog: Catalog) -> frozenset[str | None]:
    """As written, and as what they stand for: `fast` in the list covers the model that `fast` is an alias of."""
    resolved = {catalog.resolve(name) for name in apply_to} - {None}
    return frozenset(apply_to) | resolved

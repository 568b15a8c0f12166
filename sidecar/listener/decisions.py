"""
`POST /routing/v1/{chat/completions,messages,responses}`: the decision only; no model is called.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from msgspec import UNSET, Struct

from sidecar.config.catalog import Catalog
from sidecar.config.models import LaneMode, Route, Routing, SideCalls
from sidecar.config.routes import read_preferences
from sidecar.errors import RequestError
from sidecar.listener.incoming import Incoming
from sidecar.listener.naming import Naming
from sidecar.routing.ask import Ask, PinControl
from sidecar.routing.decision import Decision
from sidecar.routing.lanes import PARENT_SESSION, Lanes
from sidecar.routing.router import Router
from sidecar.routing.session import SessionKey
from sidecar.routing.side_calls import KNOWN, side_call_of
from sidecar.telemetry.trace import Trace
from sidecar.wire.answer import DecisionBody, encode
from sidecar.wire.formats import Format
from sidecar.wire.growth import Texts
from sidecar.wire.request import Request, parse

MAX_PREFERENCES_BYTES = 64 * 1024
ROUNDING_S = 1e-6
"""A time that was added to a clock and taken from it again is not quite what it was; that is no second more."""
PIN_CONTROL = "x-sidecar-pin"
WORDS = "refresh, bypass or release"
"""What it may say: PinControl."""


class Decided(Struct, frozen=True):
    """A decision and the session it was taken for."""

    decision: Decision
    session: SessionKey | None


class Asked(Struct, frozen=True):
    """What a client asks, and what was decided about it."""

    request: Request
    decided: Decided
    body: bytes


class Decider:
    """Headers and body of a request -> its decision. `clock`: Unix time, seconds."""

    def __init__(
        self, router: Router, catalog: Catalog, naming: Naming, policy: Routing, clock: Callable[[], float]
    ) -> None:
        self._router = router
        self._catalog = catalog
        self._naming = naming
        self._lanes = Lanes(policy.lanes, catalog.resolve)
        self._has_lanes = policy.lanes.mode is not LaneMode.SINGLE
        self._know_side_calls = policy.side_calls is SideCalls.ROUTE
        self._tells_apart = self._has_lanes or naming.callers.tell_apart
        """Whether more than its name makes a session."""
        self._reads_all = policy.implicit_sessions or policy.route_on_user_only
        self._clock = clock
        self._texts = Texts()

    def at_once(self, form: Format, request: Incoming, body: bytes) -> Asked | None:
        """
        As `decide` where a pin decides and nothing need be waited for. None: nothing was decided, and `decide` is to be
        asked. Raises RequestError, as `parse` does.
        """
        named = request.session
        if named is None or self._router.waits or self._must_look(request):
            return None
        asked = parse(form, body, in_whole=self._reads_all, texts=self._texts, session=named)
        session = self._naming.own(named)
        decision = self._router.pinned(session)
        return None if decision is None else Asked(asked, Decided(decision, session), body)

    async def decide(self, form: Format, request: Incoming, body: bytes) -> Asked:
        """`body`: the request's. Raises RequestError, as its parts do: then nothing was changed."""
        named = request.session
        if named is None or self._must_look(request):
            asked, ask = self._looked_at(form, request.headers, body, request.remote or "")
        else:  # of such a head nothing counts but the session's name: 9 looks into the headers less
            asked = parse(form, body, in_whole=self._reads_all, texts=self._texts, session=named)
            session = self._naming.own(named)
            if (decision := self._router.pinned(session)) is not None:
                return Asked(asked, Decided(decision, session), body)
            ask = Ask(asked.model, asked.conversation, session, None, partial(self._preferences, asked))
        return Asked(asked, Decided(await self._router.route(ask, self._clock()), ask.session), body)

    def _must_look(self, request: Incoming) -> bool:
        """Whether more may count of a request's head than the name in `X-Session-Id`."""
        head = request.head
        return head is None or self._tells_apart or (self._know_side_calls and head.product in KNOWN)

    def _looked_at(self, form: Format, headers: Mapping[str, str], body: bytes, peer: str) -> tuple[Request, Ask]:
        """What a request from the address `peer` asks, by all of its headers."""
        control = control_of(headers[PIN_CONTROL]) if PIN_CONTROL in headers else None
        # Without a name among the headers there is hardly a pin: the classifier will want to read what is said.
        told = self._naming.told(headers)
        asked = parse(form, body, in_whole=self._reads_all or told is None, texts=self._texts, session=told)
        return asked, self._ask(headers, asked, self._naming.of(headers, asked, peer), control)

    def _ask(
        self, headers: Mapping[str, str], asked: Request, session: SessionKey | None, control: PinControl | None
    ) -> Ask:
        preferences = partial(self._preferences, asked)
        # Most requests have nothing to do with side calls and lanes, which is seen from here.
        aside = False
        if session is not None and self._know_side_calls and headers.get("user-agent", "").partition("/")[0] in KNOWN:
            aside = side_call_of(headers, asked) is not None
        if session is None or not (self._has_lanes or PARENT_SESSION in headers):
            return Ask(asked.model, asked.conversation, session, control, preferences, is_side_call=aside)
        laned = self._lanes.of(session, headers, asked.model)
        return Ask(
            asked.model, asked.conversation, laned.session, control, preferences, laned.parent, aside, laned.waiting
        )

    def _preferences(self, asked: Request) -> tuple[Route, ...]:
        raw = bytes(asked.preferences)
        if raw == b"null":
            return ()
        if len(raw) > MAX_PREFERENCES_BYTES:
            raise RequestError(
                f"routing_preferences must be at most {MAX_PREFERENCES_BYTES} bytes, got {len(raw)}",
                param="routing_preferences",
            )
        try:
            given = msgspec.json.decode(raw)
        except (ValueError, RecursionError) as exc:  # what was skipped so far is decoded here for the first time
            raise RequestError(f"routing_preferences cannot be read: {exc}", param="routing_preferences") from exc
        return read_preferences(given, self._catalog)


def control_of(word: str) -> PinControl:
    """What a request's `x-sidecar-pin` asks for. Raises RequestError when it is no word we know."""
    try:
        return PinControl(word.strip().lower())
    except ValueError as exc:
        raise RequestError(f"{PIN_CONTROL} must be {WORDS}", param=PIN_CONTROL) from exc


def decision_body(decided: Decided, trace: Trace) -> bytes:
    """The answer as JSON: `sidecar.wire.answer.DecisionBody`."""
    decision, session = decided.decision, decided.session
    expires_in_s = decision.expires_in_s
    return encode(
        DecisionBody(
            model=decision.candidates[0],
            models=decision.candidates,
            route=decision.route,
            pinned=decision.pinned,
            reason=decision.reason,
            session_id=UNSET if session is None else session.session_id,
            expires_in=UNSET if expires_in_s is None else math.ceil(expires_in_s - ROUNDING_S),
            trace_id=trace.trace_id,
        )
    )

"""
`POST /routing/v1/{chat/completions,messages,responses}`: the decision only; no model is called.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec
from attrs import frozen
from msgspec import UNSET

from sidecar.config.catalog import Catalog
from sidecar.config.models import Route
from sidecar.config.routes import read_preferences
from sidecar.errors import RequestError
from sidecar.routing.decision import Decision
from sidecar.routing.router import Ask, PinControl, Router
from sidecar.routing.session import SessionKey, session_of
from sidecar.telemetry.trace import Trace
from sidecar.wire.answer import DecisionBody, encode
from sidecar.wire.formats import Format
from sidecar.wire.request import Request, parse

MAX_PREFERENCES_BYTES = 64 * 1024


@frozen
class Decided:
    """A decision and the session it was taken for."""

    decision: Decision
    session: SessionKey | None


@frozen
class Asked:
    """What a client asks, and what was decided about it."""

    request: Request
    decided: Decided
    body: bytes


class Decider:
    """Headers and body of a request -> its decision. `clock`: Unix time, seconds."""

    def __init__(self, router: Router, catalog: Catalog, sources: Sequence[str], clock: Callable[[], float]) -> None:
        self._router = router
        self._catalog = catalog
        self._sources = sources
        self._clock = clock

    async def decide(self, form: Format, headers: Mapping[str, str], body: bytes) -> Asked:
        """Raises RequestError, as its parts do: whatever is wrong with the request, nothing was changed."""
        session = session_of(headers, self._sources)
        control = control_of(headers)
        asked = parse(form, body)
        ask = Ask(asked.model, asked.conversation, session, control, lambda: self._preferences(asked))
        return Asked(asked, Decided(await self._router.route(ask, self._clock()), session), body)

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


def control_of(headers: Mapping[str, str]) -> PinControl | None:
    """What the request's `x-sidecar-pin` asks for. Raises RequestError when it is no word we know."""
    word = headers.get("x-sidecar-pin")
    if word is None:
        return None
    try:
        return PinControl(word.strip().lower())
    except ValueError as exc:
        raise RequestError("x-sidecar-pin must be refresh or bypass", param="x-sidecar-pin") from exc


def decision_body(decided: Decided, trace: Trace) -> bytes:
    """The answer as JSON: `sidecar.wire.answer.DecisionBody`."""
    decision, session = decided.decision, decided.session
    expires_in_s = decision.expires_in_s
    return encode(
        DecisionBody(
            model=decision.model,
            models=decision.candidates,
            route=decision.route,
            pinned=decision.pinned,
            reason=decision.reason,
            session_id=UNSET if session is None else session.session_id,
            # To the millisecond first: the difference of two clock readings may be a hair over the whole seconds.
            expires_in=UNSET if expires_in_s is None else math.ceil(round(expires_in_s, 3)),
            trace_id=trace.trace_id,
        )
    )

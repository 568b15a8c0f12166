"""
A pin as operators read it, and as one sidecar hands it to another: JSON and back.

Times are RFC 3339. Ages and lives are relative, in seconds, since the clocks of two sidecars have nothing in common but
the calendar.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from sidecar.errors import RequestError
from sidecar.routing.decision import MOST_SCORES, Failover, Held, Pin, Reason
from sidecar.routing.session import LONGEST_ID, SessionKey, is_session_id

Time = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Word = Annotated[str, Meta(max_length=256)]
Seconds = Annotated[float, Meta(ge=0)]


class FailoverJson(Struct):
    """Another model answered in place of the session's own."""

    at: Time
    reason: Word
    answered_by: Word | None = None


class PinJson(Struct, kw_only=True):
    """One session's pin. Keys that a reader does not know may come with later versions and change nothing here."""

    session_id: Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]
    tenant: Word = ""
    lane: Word = ""
    source: Word = ""
    """Who named the session."""
    model: Word = ""
    """The first of `models`."""
    models: Annotated[list[Name], Meta(min_length=1, max_length=100)]
    route: Word | None = None
    reason: Reason
    confidence: Annotated[float, Meta(ge=0, le=1)] | None = None
    scores: Annotated[list[tuple[Word, float]], Meta(max_length=MOST_SCORES)] = []
    decided_at: Time
    age_seconds: Seconds = 0.0
    expires_in_seconds: Seconds
    turns: Annotated[int, Meta(ge=0)] = 0
    mixed: bool = False
    last_failover: FailoverJson | None = None


def check_parts(parts: Mapping[str, str]) -> None:
    """Raises RequestError for a tenant or a lane, by its name, that no session has; an empty one is none."""
    for name, value in parts.items():
        if value and not is_session_id(value):
            raise RequestError(f"{name} must be at most {LONGEST_ID} visible ASCII characters", param=name)


def pin_json(key: SessionKey, held: Held) -> PinJson:
    """The whole story of one session."""
    pin = held.pin
    return PinJson(
        session_id=key.session_id,
        tenant=key.tenant,
        lane=key.lane,
        source=pin.source,
        model=pin.model,
        models=list(pin.candidates),
        route=pin.route,
        reason=pin.reason,
        confidence=pin.confidence,
        scores=list(pin.scores),
        decided_at=_time(pin.decided_at_s),
        age_seconds=round(held.age_s, 3),
        expires_in_seconds=round(held.expires_in_s, 3),
        turns=held.turns,
        mixed=pin.mixed,
        last_failover=None if held.last_failover is None else _failover_json(held.last_failover),
    )


def held_of(told: PinJson, passed_s: float) -> Held:
    """What `told` says, `passed_s` seconds after it was told."""
    pin = Pin(
        tuple(told.models),
        told.route,
        told.reason,
        told.decided_at.timestamp(),
        told.mixed,
        told.source,
        told.confidence,
        tuple(told.scores),
    )
    failover = told.last_failover
    return Held(
        pin,
        told.expires_in_seconds - passed_s,
        told.turns,
        told.age_seconds + passed_s,
        None if failover is None else Failover(failover.at.timestamp(), failover.reason, failover.answered_by),
    )


def _failover_json(failover: Failover) -> FailoverJson:
    return FailoverJson(_time(failover.at_s), failover.reason, failover.answered_by)


def _time(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)

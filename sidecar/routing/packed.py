"""
A pin as the table keeps it: small, for there may be a million.

Thousands of sessions have the same candidates, route, reason and source: those are kept once. What a session has to
itself are numbers, and a few numbers in one `bytes` take a fifth of what as many Python objects do. The pin that went
in comes out equal, put together anew when somebody asks. Most requests of a pinned session do not: they need its
candidates and its route, and leave the rest as it is (`Kept`).
"""

import struct
from math import isnan, nan
from typing import NamedTuple

from msgspec import Struct

from sidecar.routing.decision import MOST_SCORES, Failover, Held, Pin, Reason

_NUMBERS = struct.Struct(f"{3 + MOST_SCORES}d")
_MADE_AT = struct.Struct("d")

MOST_COMMON = 1000
"""Of these remembered for sharing. Routes that came with requests are their clients' to invent."""
_NO_SCORES = (("", 0.0),) * MOST_SCORES


class Common(NamedTuple):
    """What pins have in common, as the fields of `Pin` are named."""

    candidates: tuple[str, ...]
    route: str | None
    reason: Reason
    mixed: bool
    source: str
    scored: tuple[str, str, str]
    """The names of the routes that have scores, filled up with empty ones."""
    scores: int
    """How many there are."""


class Kept(Struct, frozen=True, gc=False):
    """A pin as it is kept, which does not change when its entry gets another."""

    common: Common
    numbers: bytes
    """As doubles: when it was made, when it was decided, confidence or NaN, the scores, filled up with zeros."""

    @property
    def mixed(self) -> bool:
        """As the pin's."""
        return self.common.mixed

    def pin(self) -> Pin:
        """The pin itself."""
        candidates, route, reason, mixed, source, (one, two, three), count = self.common
        _, decided_at_s, confidence, first, second, third = _NUMBERS.unpack(self.numbers)
        scores = ((one, first), (two, second), (three, third))
        return Pin(
            candidates,
            route,
            reason,
            decided_at_s,
            mixed,
            source,
            None if isnan(confidence) else confidence,
            scores if count == MOST_SCORES else scores[:count],
        )


class Entry(Struct, eq=False, gc=False):
    """
    One pin, and what is known of its session's time with it. Times are those of the table's clock but for the pin's.

    Nothing in it can lead back to it, so the garbage collector need not look at a million of them.
    """

    common: Common
    numbers: bytes
    """As in `Kept`."""
    expires_at: float
    turns: int
    failover: Failover | None = None

    @property
    def model(self) -> str:
        return self.common.candidates[0]

    @property
    def made_at(self) -> float:
        return float(_MADE_AT.unpack_from(self.numbers)[0])

    def held(self, now: float) -> Held:
        pin = Kept(self.common, self.numbers).pin()
        (made_at,) = _MADE_AT.unpack_from(self.numbers)
        return Held(pin, self.expires_at - now, self.turns, now - made_at, self.failover)

    def put(self, common: Common, numbers: bytes) -> None:
        self.common = common
        self.numbers = numbers


class Packing:
    """Remembers what pins had in common so far, to share it."""

    def __init__(self) -> None:
        self._common: dict[Common, Common] = {}

    def __len__(self) -> int:
        return len(self._common)

    def packed(self, pin: Pin, made_at: float) -> tuple[Common, bytes]:
        """What an `Entry` keeps of `pin`: of its scores, the first `MOST_SCORES`."""
        (one, first), (two, second), (three, third), *_ = (*pin.scores, *_NO_SCORES)
        count = min(len(pin.scores), MOST_SCORES)
        common = Common(pin.candidates, pin.route, pin.reason, pin.mixed, pin.source, (one, two, three), count)
        confidence = nan if pin.confidence is None else pin.confidence
        return self._shared(common), _NUMBERS.pack(made_at, pin.decided_at_s, confidence, first, second, third)

    def _shared(self, common: Common) -> Common:
        if len(self._common) >= MOST_COMMON:
            self._common.clear()  # who shares already goes on sharing
        return self._common.setdefault(common, common)

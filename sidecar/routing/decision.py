"""
What was decided and why. The first rule that applies decides, and names itself.
"""

from enum import StrEnum
from typing import Protocol

from attrs import frozen
from msgspec import Struct
from msgspec.structs import replace

from sidecar.config.catalog import Catalog
from sidecar.config.models import Route
from sidecar.errors import ModelNotFound, RequestError
from sidecar.fixed import fixed
from sidecar.routing.verdict import Verdict

MOST_SCORES = 3
"""A pin shows the route it took and the two it was chosen over."""


class Reason(StrEnum):
    """Why this model. Stable words: clients read them, metrics are labelled with them."""

    PINNED = "pinned"
    """The session has a pin."""
    ROUTED = "routed"
    """The classifier named a route."""
    NO_MATCH = "no_match"
    """The classifier named none: the request's own model, or the default."""
    NO_ROUTES = "no_routes"
    """There are no routes to choose from: the request's own model, or the default."""
    NOT_APPLIED = "not_applied"
    """`routing.apply_to` leaves this model alone: the request's own model."""
    MODEL_GONE = "model_gone"
    """The session's pin named a model that is no longer configured: routed anew."""
    PREFIX_CHANGED = "prefix_changed"
    """The conversation goes on under another system prompt or other tools, so it has no pin any more: routed anew."""
    FAILOVER = "failover"
    """The session's model failed for good, or again and again: the next candidate took its place."""
    OPERATOR = "operator"
    """Somebody pinned the session by hand."""
    CLASSIFIER_ERROR = "classifier_error"
    """The classifier failed or answered rubbish: the request's own model, or the default."""
    CLASSIFIER_TIMEOUT = "classifier_timeout"
    """The classifier was late: the request's own model, or the default."""
    CLASSIFIER_OPEN = "classifier_open"
    """The classifier failed too often of late and was not asked: the request's own model, or the default."""


class Lookup(StrEnum):
    """What became of the look into the pin table."""

    HIT = "hit"
    MISS = "miss"
    """The session is new, or its pin is long forgotten."""
    EXPIRED = "expired"
    """The session had a pin, which expired not longer ago than it would have lived."""
    INVALID = "invalid"
    """The request named its session by something that is no session id, and was refused."""
    MODEL_GONE = "model_gone"
    """There was a pin, for a model that is no longer configured."""
    PREFIX_CHANGED = "prefix_changed"
    """There was a pin, for the same conversation under another system prompt or with other tools."""
    TURN = "turn"
    """There may be a pin, but the user said something new, and `routing.route_on_user_only` routes that anew."""
    REFRESH = "refresh"
    """The request asked to be routed anew and pinned again."""
    BYPASS = "bypass"
    """The request asked for pins to be ignored."""
    RELEASED = "released"
    """The request asked for the end of its session's pin: it is the last that the pin decides, if there was one."""
    SIDE_CALL = "side_call"
    """The client asked for something of its own, such as a title: routed on its own, the pin left as it is."""
    NONE = "none"
    """The request belongs to no session, or routing does not apply to it."""


@fixed
class Pin:
    """A decision as a store keeps it: the ranked candidates, the route, when and why."""

    candidates: tuple[str, ...]
    """Concrete model ids, best first; never empty."""
    route: str | None
    reason: Reason
    decided_at_s: float
    """Unix time."""
    mixed: bool = False
    """Whether more than one provider may have answered the session: whose thinking is whose cannot be told then."""
    source: str = ""
    """Who named the session: a header's name, or `operator`; empty when nobody noted it."""
    confidence: float | None = None
    """How sure the classifier was, 0 to 1; None when none was asked or it failed."""
    scores: tuple[tuple[str, float], ...] = ()
    """(route name, score) of the best `MOST_SCORES`, best first, where the classifier had scores to show."""

    @property
    def model(self) -> str:
        return self.candidates[0]


@frozen
class Failover:
    """Another model answered in place of a session's own."""

    at_s: float
    """Unix time."""
    reason: str
    """Why the session's own did not."""
    answered_by: str | None
    """The model that did; None when nobody could."""


class Packed(Protocol):
    """A pin that nobody has looked at yet."""

    @property
    def mixed(self) -> bool: ...

    def pin(self) -> Pin: ...


class Held(Struct, frozen=True):
    """A pin that a store holds, for how long it will, and what it has seen so far."""

    pin: Pin
    expires_in_s: float
    turns: int = 0
    """Requests of the session since it has a pin; the one that made it is the first."""
    age_s: float = 0.0
    """How long the session has had this model."""
    last_failover: Failover | None = None
    """The latest one in the session's time with us, moves included."""


@frozen
class Moved:
    """What a move came to."""

    held: Held
    """The pin that holds from now on."""
    was: Held | None = None
    """The pin it replaced; None when it replaced none."""

    @property
    def changed_model(self) -> bool:
        return self.was is not None and self.was.pin.model != self.held.pin.model


class Decision(Struct, frozen=True):
    """Which model answers, and why. No class of attrs, as `Held`: every request makes one, and C makes these."""

    candidates: tuple[str, ...]
    """Concrete model ids, best first; never empty."""
    route: str | None
    reason: Reason
    lookup: Lookup = Lookup.NONE
    pinned: bool = False
    """Whether a pin made earlier, by this request's session, decided."""
    expires_in_s: float | None = None
    """How long the session's pin will last if the session stays silent; None when it has none."""
    kept: Pin | Packed | None = None
    """What `pin_now` gives, or what it is made of."""
    verdict: Verdict | None = None
    """What the classifier said, when it was asked."""

    @property
    def model(self) -> str:
        return self.candidates[0]

    @property
    def pin_now(self) -> Pin | None:
        """The pin that the session has after this decision, or the one it has just released; None when it has none."""
        kept = self.kept
        return kept if kept is None or isinstance(kept, Pin) else kept.pin()

    @property
    def mixed(self) -> bool:
        """Whether more than one provider may have answered the session so far."""
        return self.kept is not None and self.kept.mixed

    @property
    def matched(self) -> bool:
        return self.route is not None

    @property
    def failed(self) -> bool:
        """Whether a classifier was asked and gave no verdict."""
        return self.verdict is not None and self.verdict.failure is not None

    def pin(self, now: float, source: str = "") -> Pin:
        """What a store keeps of this decision, taken at `now`, Unix time, for a session that `source` named."""
        judged = None if self.failed else self.verdict
        return Pin(
            self.candidates,
            self.route,
            self.reason,
            now,
            source=source,
            confidence=None if judged is None else judged.confidence,
            scores=() if judged is None else judged.scores[:MOST_SCORES],
        )

    def held(self, held: Held) -> "Decision":
        """This decision, now pinned for as long as `held` says."""
        return replace(self, expires_in_s=held.expires_in_s, kept=held.pin)


def decide(routes: tuple[Route, ...], catalog: Catalog, requested: str | None, verdict: Verdict | None) -> Decision:
    """
    The decision for a request that no pin decides. `verdict` is None when nobody was asked.

    Raises ModelNotFound, or RequestError when no model was named, if no route matched and there is no default.
    """
    if verdict is None:
        return Decision((own_model(catalog, requested),), None, Reason.NO_ROUTES)
    if verdict.failure is not None:
        return Decision((own_model(catalog, requested),), None, Reason(verdict.failure.value), verdict=verdict)
    for route in routes:
        if route.name == verdict.route:
            return Decision(route.models, route.name, Reason.ROUTED, verdict=verdict)
    return Decision((own_model(catalog, requested),), None, Reason.NO_MATCH, verdict=verdict)


_PINNED, _HIT = Reason.PINNED, Lookup.HIT
"""An enum takes 0.1 µs to give one of its members, until Python 3.12."""


def from_pin(held: Held, candidates: tuple[str, ...]) -> Decision:
    """`candidates`: what is still configured of the pin's own; its first is."""
    return pinned(candidates, held.pin.route, held.expires_in_s, held.pin)


def pinned(candidates: tuple[str, ...], route: str | None, expires_in_s: float, kept: Pin | Packed) -> Decision:
    """What a pin decides."""
    return Decision(candidates, route, _PINNED, _HIT, True, expires_in_s, kept)  # noqa: FBT003


def own_model(catalog: Catalog, requested: str | None) -> str:
    """
    The concrete model a request names, its alias resolved; the default when it names none or one we do not know.

    Raises ModelNotFound, or RequestError when no model was named, if there is no default either.
    """
    model = catalog.resolve(requested) if requested is not None else None
    if model is None:
        model = catalog.default
    if model is not None:
        return model
    if requested is None:
        raise RequestError("model is missing, no route matched and no default model is configured", param="model")
    raise ModelNotFound(f"No configured provider offers the model '{_short(requested)}'.", param="model")


def _short(name: str) -> str:
    return name if len(name) <= 100 else name[:100] + "…"  # noqa: PLR2004 - long enough to be recognised

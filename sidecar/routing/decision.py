"""
What was decided and why. The first rule that applies decides, and names itself.
"""

from enum import StrEnum

from attrs import evolve, field, frozen

from sidecar.config.catalog import Catalog
from sidecar.config.models import Route
from sidecar.errors import ModelNotFound, RequestError
from sidecar.routing.verdict import Verdict


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
    FAILOVER = "failover"
    """The session's model failed for good, or again and again: the next candidate took its place."""
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
    """The session is new, or its pin expired."""
    MODEL_GONE = "model_gone"
    """There was a pin, for a model that is no longer configured."""
    REFRESH = "refresh"
    """The request asked to be routed anew and pinned again."""
    BYPASS = "bypass"
    """The request asked for pins to be ignored."""
    NONE = "none"
    """The request belongs to no session, or routing does not apply to it."""


@frozen
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


@frozen
class Held:
    """A pin that a store holds, and for how long it will."""

    pin: Pin
    expires_in_s: float


@frozen
class Decision:
    """Which model answers, and why."""

    candidates: tuple[str, ...]
    """Concrete model ids, best first; never empty."""
    route: str | None
    reason: Reason
    lookup: Lookup = Lookup.NONE
    pinned: bool = False
    """Whether a pin made earlier, by this request's session, decided."""
    expires_in_s: float | None = None
    """How long the session's pin will last if the session stays silent; None when it has none."""
    pin_now: Pin | None = None
    """The pin that the session has after this decision; None when it has none."""
    verdict: Verdict | None = field(default=None, eq=False)
    """What the classifier said, when it was asked."""

    @property
    def model(self) -> str:
        return self.candidates[0]

    @property
    def matched(self) -> bool:
        return self.route is not None

    @property
    def failed(self) -> bool:
        """Whether a classifier was asked and gave no verdict."""
        return self.verdict is not None and self.verdict.failure is not None

    def pin(self, now: float) -> Pin:
        """What a store keeps of this decision, taken at `now`, Unix time."""
        return Pin(self.candidates, self.route, self.reason, now)

    def held(self, held: Held) -> "Decision":
        """This decision, now pinned for as long as `held` says."""
        return evolve(self, expires_in_s=held.expires_in_s, pin_now=held.pin)


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


def from_pin(held: Held) -> Decision:
    pin = held.pin
    return Decision(pin.candidates, pin.route, Reason.PINNED, Lookup.HIT, True, held.expires_in_s, pin)  # noqa: FBT003


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

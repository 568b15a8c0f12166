"""What a classifier says of a conversation: the route it belongs to, or no match."""

from enum import StrEnum

from attrs import field, frozen


class Failure(StrEnum):
    """Why a classifier gave no verdict. Such a request is answered all the same, by its own model."""

    ERROR = "classifier_error"
    TIMEOUT = "classifier_timeout"
    OPEN = "classifier_open"
    """It failed too often of late and is left alone for a while."""


@frozen
class Verdict:
    route: str | None = None
    """The name of a route, or None for no match."""
    confidence: float = 0.0
    """0 to 1; how sure the classifier is of `route`."""
    scores: tuple[tuple[str, float], ...] = ()
    """(route name, score), best first, where the classifier has scores to show."""
    failure: Failure | None = None
    seconds: float = field(default=0.0, eq=False)
    """How long it took."""


NO_MATCH = Verdict()

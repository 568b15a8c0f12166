"""What becomes of pins, told as it happens to whoever counts."""

from enum import StrEnum
from typing import Protocol

from sidecar.routing.decision import Moved, Pin


class MoveReason(StrEnum):
    """Why a session's pin went over to another model."""

    REFRESH = "refresh"
    """The request asked to be routed anew."""
    TURN = "turn"
    """The user said something new, and `routing.route_on_user_only` routes that anew."""
    MODEL_GONE = "model_gone"
    """The model it was pinned to is no longer configured."""
    PROVIDER_EJECTED = "provider_ejected"
    """Its provider failed again and again."""
    TERMINAL_ERROR = "terminal_error"
    """Its provider will never answer for this model."""
    OPERATOR = "operator"
    """Somebody moved it by hand."""


class RemovedReason(StrEnum):
    """Why a pin is no more."""

    EXPIRED = "expired"
    """Its time to live was over."""
    EVICTED = "evicted"
    """It was the least recently used of a full table."""
    DELETED = "deleted"
    """A refresh, a release or an operator forgot it."""


class PinWatch(Protocol):
    """Who is told. Nothing here may raise: it stands on the way of requests."""

    def pin_created(self, pin: Pin, /) -> None:
        """A session has got its first pin."""
        ...

    def pin_moved(self, pin: Pin, why: MoveReason, age_s: float, turns: int, /) -> None:
        """
        A session has got `pin` in place of one for another model, after `age_s` seconds with that model; `turns` are
        the requests it made so far.
        """
        ...

    def pin_removed(self, reason: str, age_s: float, turns: int, /) -> None:
        """A pin is no more: a `RemovedReason`, what age it reached, and how many requests its session made."""
        ...


class Unwatched:
    """Nobody is told."""

    def pin_created(self, _pin: Pin, /) -> None: ...
    def pin_moved(self, _pin: Pin, _why: MoveReason, _age_s: float, _turns: int, /) -> None: ...
    def pin_removed(self, _reason: str, _age_s: float, _turns: int, /) -> None: ...


def tell(watch: PinWatch, moved: Moved, pin: Pin, why: MoveReason) -> None:
    """What a move to `pin` came to: a pin made, one moved, or, when somebody else was first, nothing."""
    if moved.was is not None and moved.changed_model:
        watch.pin_moved(moved.held.pin, why, moved.was.age_s, moved.was.turns)
    elif moved.was is None and moved.held.pin == pin:
        watch.pin_created(pin)

"""
The circuit breaker: what keeps failing is left alone for a while, then tried by one call.

    closed ──failures in a row──▶ open ──cool-down over──▶ half-open ──success──▶ closed
                                   ▲                           │
                                   └──────────failure──────────┘

Pure: it never reads a clock, the time comes in as an argument. Every call that is let through holds a ticket of the
state it began in. What a call reports after that state has ended is old news and changes nothing: a straggler from
before the circuit opened can neither close it nor fail another's trial.
"""

from enum import StrEnum

from sidecar.config.models import Breaker


class State(StrEnum):
    CLOSED = "closed"
    """Every call is let through."""
    OPEN = "open"
    """None is, until the cool-down is over."""
    HALF_OPEN = "half_open"
    """One at a time is."""


Ticket = int


class Circuit:
    """
    One circuit, owned by one event loop. Times are seconds of any clock that never goes back.

    Whoever holds a ticket reports exactly one of `succeeded`, `failed` or `abandoned`.
    """

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self._state = State.CLOSED
        self._generation: Ticket = 0
        self._failures_in_a_row = 0
        self._opened_at = 0.0
        self._trial_under_way = False

    @property
    def state(self) -> State:
        return self._state

    def enter(self, now: float) -> Ticket | None:
        """A ticket for one call, or None: do not call."""
        if self._state is State.OPEN and now - self._opened_at >= self._settings.cooldown_s:
            self._become(State.HALF_OPEN)
        if self._state is State.OPEN or self._trial_under_way:
            return None
        self._trial_under_way = self._state is State.HALF_OPEN
        return self._generation

    def succeeded(self, ticket: Ticket) -> None:
        if ticket != self._generation:
            return
        self._failures_in_a_row = 0
        if self._state is State.HALF_OPEN:
            self._become(State.CLOSED)

    def failed(self, ticket: Ticket, now: float) -> None:
        if ticket != self._generation:
            return
        self._failures_in_a_row += 1
        if self._state is State.HALF_OPEN or self._failures_in_a_row >= self._settings.failures:
            self._opened_at = now
            self._become(State.OPEN)

    def abandoned(self, ticket: Ticket) -> None:
        """The call was given up for reasons of the caller's: it says nothing, and its place is free again."""
        if ticket == self._generation:
            self._trial_under_way = False

    def _become(self, state: State) -> None:
        self._state = state
        self._generation += 1
        self._failures_in_a_row = 0
        self._trial_under_way = False

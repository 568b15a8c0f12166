"""
Passive health: a provider that keeps failing is left alone for a while, then tried by one request.

    healthy ──failures in a row──▶ ejected ──its time is over──▶ one probe ──answered──▶ healthy
                                      ▲                              │
                                      └──────failed: for longer──────┘

Envoy's outlier detection, in its words and with its defaults
(https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier), with four differences. A 429 counts
as a failure: for a session, a model that is out of quota is as gone as one that is down. Gateway failures eject by
themselves (there they only count). A provider comes back by one probe, not for everybody at once. There is no
`max_ejection_percent`: candidates are few and not alike, and when all are ejected they are tried anyway.

Pure: the time comes in as an argument, seconds of any clock that never goes back. One event loop owns it. Every attempt
holds a ticket; what it reports after an ejection or a return that came in between is old news and changes nothing. All
but probes hold the same one, which is made anew only where a provider is ejected or returns.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

from attrs import define, field, frozen
from msgspec import Struct

from sidecar.config.models import OutlierDetection

T = TypeVar("T")


class Fault(StrEnum):
    """What a failure says of a provider's health."""

    GATEWAY = "gateway"
    """Not reached, silent before the first byte, or 502, 503, 504."""
    SERVER = "server"
    """Any other 5xx."""
    RATE_LIMIT = "rate_limit"
    """429."""


class Change(StrEnum):
    EJECTED = "ejected"
    RETURNED = "returned"


@frozen
class Event:
    """A provider was ejected or came back. Telemetry counts it, and pins move."""

    provider: str
    change: Change
    ejected_for_s: float = 0.0


@frozen
class LastError:
    """What a provider answered instead of an answer, or that it did not answer, and when. For people only."""

    at_unix_s: float
    cause: str
    """`refusal.Cause`."""
    status: int | None = None


@frozen
class Condition:
    """How a provider is, for `/clusters`. The defaults are those of one that was never asked."""

    provider: str
    ejected: bool = False
    probing: bool = False
    ejected_for_s: float = 0.0
    """How long it will still be left alone."""
    consecutive_5xx: int = 0
    consecutive_gateway_failure: int = 0
    ejections: int = 0
    successes: int = 0
    failures: int = 0
    last_error: LastError | None = None


@define(eq=False)
class _State:
    provider: str
    generation: int
    ticket: "Ticket" = field(init=False)
    """Of every attempt of this generation, but for a probe."""
    ejected_until: float | None = None
    probing: bool = False
    in_a_row: int = 0
    gateway_in_a_row: int = 0
    ejections: int = 0
    """As they count towards the next one's length, when `healthy_since` was set."""
    healthy_since: float = 0.0
    successes: int = 0
    failures: int = 0
    last_error: LastError | None = None

    def __attrs_post_init__(self) -> None:
        self.turn(self.generation)

    def turn(self, generation: int) -> None:
        """What was begun before counts no more."""
        self.generation = generation
        self.ticket = Ticket(self, generation)
        self.probing = False
        self.in_a_row = self.gateway_in_a_row = 0


class Ticket(Struct, frozen=True, eq=False):
    """Attempts at one provider. It knows its state, so that nobody has to look for it."""

    state: _State
    generation: int
    probe: bool = False
    """Whether it is the one that finds out if an ejected provider is back."""


_FORGOTTEN = -1
"""The generation of a state that nobody sees any more."""


class Health:
    """
    The health of every provider entry, by its name. The names are the file's, so there are few.

    Whoever holds a ticket reports exactly one of `succeeded`, `failed` or `abandoned`, when the first byte came or it
    is known that none will.
    """

    def __init__(self, settings: OutlierDetection) -> None:
        self._settings = settings
        self._states: dict[str, _State] = {}
        self.away = 0
        """How many are ejected."""
        self._newest = 0
        """The largest generation of any state: one that is made after another was forgotten is not taken for that."""

    def configure(self, settings: OutlierDetection) -> None:
        """Other settings, from the next failure on; who is ejected stays so, for as long as it was told."""
        self._settings = settings

    def forget(self, providers: Iterable[str]) -> None:
        """What is known of those, who are no more or are somewhere else now. Tickets of before change nothing."""
        for provider in providers:
            state = self._states.pop(provider, None)
            if state is None:
                continue
            state.generation = _FORGOTTEN
            if state.ejected_until is not None:
                self.away -= 1

    def available(self, provider: str, now: float) -> bool:
        """Whether an attempt would be more than a last resort: it is healthy, or due for a probe."""
        state = self._states.get(provider)
        if state is None or state.ejected_until is None:
            return True
        return now >= state.ejected_until and not state.probing

    def ejected(self, provider: str) -> bool:
        """Whether it was ejected and has not answered since."""
        state = self._states.get(provider)
        return state is not None and state.ejected_until is not None

    def order(self, candidates: Iterable[T], provider_of: Callable[[T], str], now: float) -> tuple[T, ...]:
        """The candidates as they should be tried: by rank, the ejected behind all others, by rank again."""
        return tuple(sorted(candidates, key=lambda candidate: not self.available(provider_of(candidate), now)))

    def begin(self, provider: str, now: float) -> Ticket:
        """A ticket for an attempt, which may be made in any case. The first after an ejection's time is the probe."""
        state = self._states.get(provider)
        if state is None:
            self._newest += 1
            state = self._states[provider] = _State(provider, self._newest)
        if state.ejected_until is None or now < state.ejected_until or state.probing:
            return state.ticket
        state.probing = True
        return Ticket(state, state.generation, probe=True)

    def succeeded(self, ticket: Ticket, now: float) -> Event | None:
        """It answered; with whatever, if it was no failure of its own."""
        state = ticket.state
        state.successes += 1
        if ticket.generation != state.generation:
            return None
        state.in_a_row = state.gateway_in_a_row = 0
        if state.ejected_until is None:
            return None
        # The probe; or a last resort that answered after all, which is proof as good.
        state.ejected_until, state.healthy_since = None, now
        self.away -= 1
        self._turn(state)
        return Event(state.provider, Change.RETURNED)

    def failed(self, ticket: Ticket, fault: Fault, now: float) -> Event | None:
        state = ticket.state
        state.failures += 1
        if ticket.generation != state.generation:
            return None
        if state.ejected_until is not None:
            return self._eject(state, now) if ticket.probe else None
        state.in_a_row += 1
        state.gateway_in_a_row = state.gateway_in_a_row + 1 if fault is Fault.GATEWAY else 0
        return self._eject(state, now) if self._over(state) else None

    def abandoned(self, ticket: Ticket) -> None:
        """The attempt ended for reasons that say nothing of the provider: the client hung up, the body was too large."""
        if ticket.probe and ticket.generation == ticket.state.generation:
            ticket.state.probing = False

    def erred(self, ticket: Ticket, error: LastError) -> None:
        """Keeps what went wrong, whether or not it says anything of the provider's health: a refused key does not."""
        ticket.state.last_error = error

    def snapshot(self, now: float) -> tuple[Condition, ...]:
        """Every provider that was ever asked, by name."""
        return tuple(_condition(state, now) for _, state in sorted(self._states.items()))

    def _over(self, state: _State) -> bool:
        settings = self._settings
        return (
            state.in_a_row >= settings.consecutive_5xx or state.gateway_in_a_row >= settings.consecutive_gateway_failure
        )

    def _eject(self, state: _State, now: float) -> Event:
        settings = self._settings
        healthy_s = 0.0
        if state.ejected_until is None:
            healthy_s = now - state.healthy_since
            self.away += 1
        state.ejections = max(0, state.ejections - int(healthy_s // settings.interval_s)) + 1
        longest_s = max(settings.max_ejection_time_s, settings.base_ejection_time_s)
        ejected_for_s = min(settings.base_ejection_time_s * state.ejections, longest_s)
        state.ejected_until = now + ejected_for_s
        self._turn(state)
        return Event(state.provider, Change.EJECTED, ejected_for_s)

    def _turn(self, state: _State) -> None:
        self._newest += 1
        state.turn(self._newest)


def _condition(state: _State, now: float) -> Condition:
    until = state.ejected_until
    return Condition(
        provider=state.provider,
        ejected=until is not None,
        probing=state.probing,
        ejected_for_s=max(0.0, until - now) if until is not None else 0.0,
        consecutive_5xx=state.in_a_row,
        consecutive_gateway_failure=state.gateway_in_a_row,
        ejections=state.ejections,
        successes=state.successes,
        failures=state.failures,
        last_error=state.last_error,
    )

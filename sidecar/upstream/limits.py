"""
How much one provider is asked at once: so many requests on connections, so many more that wait for one, and no more.

Envoy's circuit breakers, in its words and with its defaults
(https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking). Over HTTP/1.1 a request has
a connection to itself, so the smaller of `max_connections` and `max_requests` is how many run at once.

Pure: it counts and says whose turn it is; the waiting is done by the shell, which keeps something to wake per slot.
"""

from attrs import frozen

from sidecar.config.models import CircuitBreakers
from sidecar.errors import Unavailable

RETRY_AFTER_S = 1.0
"""Nobody knows when a place comes free; this is soon, and not at once."""


class Overloaded(Unavailable):
    """The provider's limits are reached. Nothing was sent."""

    def __init__(self, message: str, *, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@frozen(eq=False)
class Slot:
    """One request's place, running or waiting. Each is its own."""


class Gate:
    """
    The places of one provider, owned by one event loop. First come, first served.

    Whoever has a slot calls `leave` when the request is over, however it ended, and wakes the slot it gets back.
    """

    def __init__(self, provider: str, limits: CircuitBreakers) -> None:
        self._provider = provider
        self._running_at_most = min(limits.max_connections, limits.max_requests)
        self._waiting_at_most = limits.max_pending_requests
        self._running: set[Slot] = set()
        self._waiting: dict[Slot, None] = {}

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def pending(self) -> int:
        return len(self._waiting)

    def enter(self) -> Slot:
        """A slot, which may have to wait. Raises `Overloaded` when even the places to wait are taken."""
        slot = Slot()
        if len(self._running) < self._running_at_most:
            self._running.add(slot)
        elif len(self._waiting) < self._waiting_at_most:
            self._waiting[slot] = None
        else:
            raise Overloaded(
                f"{self._provider} has all the requests it may have: {self.running} and {self.pending} waiting"
            )
        return slot

    def waits(self, slot: Slot) -> bool:
        return slot in self._waiting

    def leave(self, slot: Slot) -> Slot | None:
        """Gives the place back, or gives up waiting. The slot whose turn it now is, if one waits; twice does nothing."""
        self._waiting.pop(slot, None)
        if slot not in self._running:
            return None
        self._running.remove(slot)
        following = next(iter(self._waiting), None)
        if following is not None:
            del self._waiting[following]
            self._running.add(following)
        return following

"""
How much one provider is asked at once: so many requests on connections, so many more that wait for one, and no more.

Envoy's circuit breakers, in its words and with its defaults
(https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/circuit_breaking). Over HTTP/1.1 a request has
a connection to itself, so the smaller of `max_connections` and `max_requests` is how many run at once.

Pure: it counts and says whose turn it is; the waiting is done by the shell, which keeps something to wake per slot.
"""

from msgspec import Struct

from sidecar.config.models import CircuitBreakers
from sidecar.errors import Unavailable

RETRY_AFTER_S = 1.0
"""Nobody knows when a place comes free; this is soon, and not at once."""


class Overloaded(Unavailable):
    """The provider's limits are reached. Nothing was sent."""

    def __init__(self, message: str, *, retry_after_s: float = RETRY_AFTER_S) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Slot(Struct, eq=False):
    """One request's place, running or waiting. Each is its own."""

    gate: "Gate"
    running: bool
    """Whether it counts among those that run. Its gate says so; neither running nor waiting, it is over."""


class Gate:
    """
    The places of one provider, owned by one event loop. First come, first served.

    Whoever has a slot calls `leave` when the request is over, however it ended, and wakes the slot it gets back.
    """

    def __init__(self, provider: str, limits: CircuitBreakers) -> None:
        self.provider = provider
        self.running = 0
        self.most_running: int
        self.waiting: dict[Slot, None] = {}
        self.configure(limits)

    def configure(self, limits: CircuitBreakers) -> list[Slot]:
        """Other limits. Nobody is put out who is in or waits; the slots whose turn it now is, for there are more places."""
        self.most_running = min(limits.max_connections, limits.max_requests)
        self._waiting_at_most = limits.max_pending_requests
        free = max(0, self.most_running - self.running)
        return [self._let_in(slot) for slot in list(self.waiting)[:free]]

    @property
    def pending(self) -> int:
        return len(self.waiting)

    def enter(self) -> Slot:
        """A slot, which may have to wait. Raises `Overloaded` when even the places to wait are taken."""
        if self.running < self.most_running:
            self.running += 1
            return Slot(self, True)  # noqa: FBT003 - by name it takes twice as long
        if len(self.waiting) >= self._waiting_at_most:
            raise Overloaded(
                f"{self.provider} has all the requests it may have: {self.running} and {self.pending} waiting"
            )
        slot = Slot(self, running=False)
        self.waiting[slot] = None
        return slot

    def waits(self, slot: Slot) -> bool:
        return slot in self.waiting

    def leave(self, slot: Slot) -> Slot | None:
        """Gives the place back, or gives up waiting. The slot whose turn it now is, if one waits; twice does nothing."""
        if not slot.running:
            self.waiting.pop(slot, None)
            return None
        slot.running = False
        if not self.waiting:
            self.running -= 1
            return None
        following = next(iter(self.waiting)) if self.running <= self.most_running else None
        self.running -= 1
        return None if following is None else self._let_in(following)

    def _let_in(self, slot: Slot) -> Slot:
        del self.waiting[slot]
        slot.running = True
        self.running += 1
        return slot

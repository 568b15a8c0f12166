"""
The pin table: session key -> pin, for as long as the session stays warm.

A dict kept in order of last use. It never sleeps and never reads a clock: the
time comes in as an argument, so a test can live a whole day in a microsecond.
One event loop owns it, so there is no lock.

Every operation is O(1), eviction included. An `OrderedDict` and not a `dict`: both move a key to the end in constant
time, but finding the first key of a plain `dict` means walking over the gaps that moved keys left behind.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from attrs import define

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Held, Pin


@define
class _Entry:
    pin: Pin
    expires_at: float


def _ignore(_why: str) -> None: ...


class PinTable:
    """
    `ttl_s`: how long a pin lives, counted from last use (`sliding`) or from its making (`fixed`).
    `capacity`: how many pins are kept; over it the least recently used goes, but never a live one while there is an
    expired one. `removed` is told why a pin went by itself: `expired` or `evicted`.

    `now` may be any clock that does not run backwards, in seconds.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        capacity: int,
        policy: TtlPolicy = TtlPolicy.SLIDING,
        removed: Callable[[str], None] = _ignore,
    ) -> None:
        self._ttl_s = ttl_s
        self._capacity = capacity
        self._sliding = policy is TtlPolicy.SLIDING
        self._removed = removed
        self._by_use: OrderedDict[str, _Entry] = OrderedDict()
        # The first to expire stands first. When each use starts the time anew, that is the order of use itself.
        self._by_expiry: OrderedDict[str, _Entry] = self._by_use if self._sliding else OrderedDict()

    def __len__(self) -> int:
        """How many pins are kept, expired ones that nobody has asked for since included."""
        return len(self._by_use)

    def get(self, key: str, now: float) -> Held | None:
        """The live pin of `key`, which is thereby used."""
        entry = self._by_use.get(key)
        if entry is None:
            return None
        if entry.expires_at <= now:
            self._drop(key, "expired")
            return None
        self._by_use.move_to_end(key)
        if self._sliding:
            entry.expires_at = now + self._ttl_s
        return Held(entry.pin, entry.expires_at - now)

    def claim(self, key: str, pin: Pin, now: float) -> Held:
        """Pins `key` to `pin` unless it has a live pin already; gives the pin that holds from now on."""
        held = self.get(key, now)
        return held if held is not None else self._put(key, pin, now)

    def move(self, key: str, pin: Pin, now: float, instead_of: Pin | None = None) -> Held:
        """
        Pins `key` to `pin`, whatever it was pinned to; with `instead_of`, only if that is still its pin (or it has
        none). Gives the pin that holds from now on.
        """
        entry = self._by_use.get(key)
        if entry is not None and instead_of is not None and entry.pin != instead_of and entry.expires_at > now:
            return Held(entry.pin, entry.expires_at - now)
        if entry is not None and instead_of is not None and not self._sliding and entry.expires_at > now:
            entry.pin = pin  # counted from the first decision: its place among those that expire stays
            self._by_use.move_to_end(key)
            return Held(pin, entry.expires_at - now)
        self.delete(key)
        return self._put(key, pin, now)

    def delete(self, key: str) -> bool:
        """Whether there was a pin to forget."""
        found = self._by_use.pop(key, None) is not None
        self._by_expiry.pop(key, None)
        return found

    def items(self, now: float) -> Iterator[tuple[str, Held]]:
        """Every live pin, the least recently used first; looking is not using."""
        for key, entry in self._by_use.items():
            if entry.expires_at > now:
                yield key, Held(entry.pin, entry.expires_at - now)

    def sweep(self, now: float) -> int:
        """Forgets every expired pin and says how many there were. Costs nothing when there is none."""
        swept = 0
        while self._by_expiry and self._forget_first_expired(now):
            swept += 1
        return swept

    def _put(self, key: str, pin: Pin, now: float) -> Held:
        if len(self._by_use) >= self._capacity and not self._forget_first_expired(now):
            self._drop(next(iter(self._by_use)), "evicted")
        entry = _Entry(pin, now + self._ttl_s)
        self._by_use[key] = self._by_expiry[key] = entry
        return Held(pin, self._ttl_s)

    def _forget_first_expired(self, now: float) -> bool:
        key, entry = next(iter(self._by_expiry.items()))
        if entry.expires_at > now:
            return False
        self._drop(key, "expired")
        return True

    def _drop(self, key: str, why: str) -> None:
        self.delete(key)
        self._removed(why)

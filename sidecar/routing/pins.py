"""
The pin table: session key -> pin, for as long as the session stays warm.

A dict kept in order of last use. It never sleeps and never reads a clock: the
time comes in as an argument, so a test can live a whole day in a microsecond.
One event loop owns it, so there is no lock.

Every operation is O(1), eviction and the counts by model included. An `OrderedDict` and not a `dict`: both move a key to
the end in constant time, but finding the first key of a plain `dict` means walking over the gaps that moved keys left
behind.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from types import MappingProxyType

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Decision, Failover, Held, Moved, Pin, pinned
from sidecar.routing.lately import Lately
from sidecar.routing.packed import Entry, Kept, Packing
from sidecar.routing.session import SessionKey
from sidecar.routing.watch import RemovedReason

MOST_LATELY = 10_000
"""Expired sessions remembered as such: 230 bytes each."""

FEW_SOONER = 100
"""So few restored pins that are gone may be remembered in any case."""

Offered = Callable[[tuple[str, ...]], tuple[str, ...]]
"""A pin's ranked list, less what is not to be had; empty when its first is not."""

Decides = Callable[[SessionKey, Offered], Decision | None]
"""
What the live pin of a session decides, used as by `get`, where something of its candidates is offered. It waits for
nothing. None: nothing has happened, and `get` is to be asked.
"""

Removed = Callable[[str, float, int], None]
"""Told of each pin that is no more: a `RemovedReason`, its age in seconds when it ended, its turns."""


def _ignore(_reason: str, _age_s: float, _turns: int) -> None: ...


class PinTable:
    """
    `ttl_s`: how long a pin lives, counted from last use (`sliding`) or from its making (`fixed`).
    `capacity`: how many pins are kept; over it the least recently used goes, but never a live one while there is an
    expired one. `removed` is told of every pin that is no more.

    `now` may be any clock that does not run backwards, in seconds.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        capacity: int,
        policy: TtlPolicy = TtlPolicy.SLIDING,
        removed: Removed = _ignore,
    ) -> None:
        self._ttl_s = ttl_s
        self._capacity = capacity
        self._sliding = policy is TtlPolicy.SLIDING
        self._removed = removed
        self._packing = Packing()
        self._by_use: OrderedDict[str, Entry] = OrderedDict()
        # The first to expire stands first. When each use starts the time anew, that is the order of use itself.
        self._by_expiry: OrderedDict[str, Entry] = self._by_use if self._sliding else OrderedDict()
        # Those that expire before their place in that order says: (when, key) of each pin that was restored.
        self._sooner: list[tuple[float, str]] = []
        self._by_model: dict[str, int] = {}
        self._lately = Lately(min(capacity, MOST_LATELY))
        self.changes = 0
        """Grows with whatever changes a pin, its use included."""

    def __len__(self) -> int:
        """How many pins are kept, expired ones that nobody has asked for since included."""
        return len(self._by_use)

    @property
    def expires_by_use(self) -> bool:
        """Whether of two pins the one that was used last expires last."""
        return self._sliding

    def get(self, key: str, now: float) -> Held | None:
        """The live pin of `key`, which is thereby used: its time to live starts anew if it slides, its turns grow."""
        entry = self._by_use.get(key)
        if entry is None:
            return None
        if entry.expires_at <= now:
            self._expire(key, entry, now)
            return None
        self._use(key, entry, now)
        return entry.held(now)

    def decided(self, key: str, offered: Offered, now: float) -> Decision | None:
        """What the live pin of `key` decides, used as by `get`; None, and nothing is changed, without an offered one."""
        entry = self._by_use.get(key)
        if entry is None or entry.expires_at <= now:
            return None
        common = entry.common
        candidates = offered(common.candidates)
        if not candidates:
            return None
        self._use(key, entry, now)
        return pinned(candidates, common.route, entry.expires_at - now, Kept(common, entry.numbers))

    def peek(self, key: str, now: float) -> Held | None:
        """The live pin of `key`; looking is not using."""
        entry = self._live(key, now)
        return None if entry is None else entry.held(now)

    def expired(self, key: str, now: float) -> bool:
        """Whether `key` had a pin that expired less than one time to live ago, and has none since."""
        return self._live(key, now) is None and self._lately.knows(key, now)

    def claim(self, key: str, pin: Pin, now: float) -> Held:
        """Pins `key` to `pin` unless it has a live pin already; gives the pin that holds from now on."""
        held = self.get(key, now)
        return held if held is not None else self._put(key, pin, now)

    def move(self, key: str, pin: Pin, now: float, instead_of: Pin | None = None, *, used: bool = True) -> Moved:
        """
        Pins `key` to `pin`, whatever it was pinned to, for a whole time to live; with `instead_of`, only if that is
        still its pin (or it has none), and a fixed time to live goes on.

        A pin is as old as its session's time with the model: with another model, its age begins anew; the turns are
        the session's and go on. `used=False` is for whoever is no request of the session: a new pin has no turn then,
        and with `instead_of` nothing but the pin changes.
        """
        entry = self._live(key, now)
        if entry is None:
            return Moved(self._put(key, pin, now, turns=int(used)))
        was = entry.held(now)
        if instead_of is not None and was.pin != instead_of:
            return Moved(was)
        self._replace(entry, pin, now)
        if used or instead_of is None:
            self._renew(key, entry, now, whole=instead_of is None)
        return Moved(entry.held(now), was)

    def restore(self, key: str, held: Held, now: float, *, overwrite: bool = False) -> Moved | None:
        """
        Takes up a pin from elsewhere with its age, its turns and what is left of its time to live. None when `key` has
        a live pin and may keep it.
        """
        entry = self._live(key, now)
        if entry is not None and not overwrite:
            return None
        was = None
        if entry is not None:
            was = entry.held(now)
            self._take(key, entry)
        life_s = min(held.expires_in_s, self._ttl_s)
        self._put(key, held.pin, now, turns=held.turns, age_s=held.age_s, life_s=life_s)
        entry = self._by_use[key]
        entry.failover = held.last_failover
        return Moved(entry.held(now), was)

    def note(self, key: str, failover: Failover, now: float) -> None:
        """Keeps `failover` beside the pin of `key`, if it has one, until there is none or a later failover."""
        entry = self._live(key, now)
        if entry is not None:
            self.changes += 1
            entry.failover = failover

    def delete(self, key: str, now: float) -> bool:
        """Whether there was a live pin to forget."""
        entry = self._live(key, now)
        if entry is None:
            return False
        self._drop(key, entry, RemovedReason.DELETED, now)
        return True

    def keys(self, *, ordered: bool = True) -> list[str]:
        """
        Of every pin that is kept, the least recently used first; `ordered=False` for any order, which of a million
        takes milliseconds and not half a second.
        """
        # An OrderedDict looks up each key to find the next one; the dict that it is besides has them in a row.
        return list(self._by_use) if ordered else list(dict.__iter__(self._by_use))

    def counts(self, now: float, most: int | None = None) -> Mapping[str, int]:
        """Model -> how many live pins name it first; expired ones count beyond `most`, which are forgotten here."""
        self.sweep(now, most)
        return MappingProxyType(self._by_model)

    def sweep(self, now: float, most: int | None = None) -> int:
        """Forgets expired pins, all or at most so many, and says how many. Costs nothing when there is none."""
        swept = 0
        while swept != most and self._forget_an_expired(now):
            swept += 1
        return swept

    def configure(self, ttl_s: float, capacity: int, policy: TtlPolicy, now: float) -> None:
        """
        Other settings for all pins, those that are there included: what has been used up of a life stays so, and what
        has expired stays expired. From `fixed` to `sliding`, nobody knows when a pin was last used, so its time begins
        anew. With another time to live it takes as long as there are pins: half a second for a million.
        """
        sliding = policy is TtlPolicy.SLIDING
        if (ttl_s, sliding) != (self._ttl_s, self._sliding):
            self.sweep(now)  # by the time to live that they had
            self._retime(ttl_s, now, sliding=sliding)
        self._lately.resize(min(capacity, MOST_LATELY))
        self._capacity = capacity
        while len(self._by_use) > capacity:
            if not self._forget_an_expired(now):
                self._drop(*next(iter(self._by_use.items())), RemovedReason.EVICTED, now)

    def _retime(self, ttl_s: float, now: float, *, sliding: bool) -> None:
        self.changes += 1
        longer_s = ttl_s - self._ttl_s
        for entry in self._by_use.values():
            if sliding == self._sliding:
                # Not before it was made: an imported pin may be young and have had little time left all the same.
                entry.expires_at = max(entry.expires_at + longer_s, entry.made_at)
            else:
                entry.expires_at = now + ttl_s if sliding else entry.made_at + ttl_s
        # Restored pins end sooner than their place in the order says, and were remembered so.
        self._sooner = [(self._by_use[key].expires_at, key) for _, key in self._sooner if key in self._by_use]
        heapify(self._sooner)
        if not sliding:
            in_order = sorted(self._by_use.items(), key=lambda item: item[1].expires_at)
            self._by_expiry = OrderedDict(in_order)
        else:
            self._by_expiry = self._by_use
        self._ttl_s, self._sliding = ttl_s, sliding

    def _use(self, key: str, entry: Entry, now: float) -> None:
        self._by_use.move_to_end(key)
        self.changes += 1
        entry.turns += 1
        if self._sliding:
            entry.expires_at = now + self._ttl_s

    def _live(self, key: str, now: float) -> Entry | None:
        entry = self._by_use.get(key)
        if entry is None or entry.expires_at > now:
            return entry
        self._expire(key, entry, now)
        return None

    def _put(
        self, key: str, pin: Pin, now: float, *, turns: int = 1, age_s: float = 0.0, life_s: float | None = None
    ) -> Held:
        if len(self._by_use) >= self._capacity and not self._forget_an_expired(now):
            self._drop(*next(iter(self._by_use.items())), RemovedReason.EVICTED, now)
        expires_at = now + (self._ttl_s if life_s is None else life_s)
        entry = Entry(*self._packing.packed(pin, now - age_s), expires_at, turns)
        self._by_use[key] = self._by_expiry[key] = entry
        self.changes += 1
        self._count(entry.model, 1)
        self._lately.forget(key)
        if life_s is not None:
            self._remember_sooner(key, expires_at)
        return entry.held(now)

    def _remember_sooner(self, key: str, expires_at: float) -> None:
        """Those that were evicted, replaced or used since are forgotten before they outnumber the pins that are kept."""
        heappush(self._sooner, (expires_at, key))
        if len(self._sooner) > 2 * len(self._by_use) + FEW_SOONER:
            kept = {each for each in self._sooner if each[1] in self._by_use}
            self._sooner = [each for each in kept if each[0] == self._by_use[each[1]].expires_at]
            heapify(self._sooner)

    def _replace(self, entry: Entry, pin: Pin, now: float) -> None:
        made_at = entry.made_at
        if entry.model != pin.model:
            self._count(entry.model, -1)
            self._count(pin.model, 1)
            made_at = now
        entry.put(*self._packing.packed(pin, made_at))
        self.changes += 1

    def _renew(self, key: str, entry: Entry, now: float, *, whole: bool) -> None:
        """Counted from the first decision, a pin keeps its place among those that expire unless its life begins anew."""
        self._by_use.move_to_end(key)
        if self._sliding or whole:
            entry.expires_at = now + self._ttl_s
            self._by_expiry.move_to_end(key)

    def _forget_an_expired(self, now: float) -> bool:
        while self._sooner and self._sooner[0][0] <= now:
            key = heappop(self._sooner)[1]
            if key in self._by_use and self._live(key, now) is None:
                return True
        key, entry = next(iter(self._by_expiry.items()), ("", None))
        if entry is None or entry.expires_at > now:
            return False
        self._expire(key, entry, now)
        return True

    def _expire(self, key: str, entry: Entry, now: float) -> None:
        """It ended when its time was over, not when somebody noticed."""
        self._drop(key, entry, RemovedReason.EXPIRED, entry.expires_at)
        self._lately.remember(key, entry.expires_at + self._ttl_s, now)

    def _drop(self, key: str, entry: Entry, why: RemovedReason, ended_at: float) -> None:
        self._take(key, entry)
        self._removed(why.value, ended_at - entry.made_at, entry.turns)

    def _take(self, key: str, entry: Entry) -> None:
        self._by_use.pop(key)
        self.changes += 1
        self._by_expiry.pop(key, None)
        self._count(entry.model, -1)

    def _count(self, model: str, by: int) -> None:
        count = self._by_model.get(model, 0) + by
        if count:
            self._by_model[model] = count
        else:
            del self._by_model[model]

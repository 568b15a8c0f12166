"""
The keys of pins that expired lately, so that a session that comes back too late can be told from one never seen.

Bounded in number and time: each is remembered for as long as it would have lived once more, and of too many the oldest
go first.
"""

from collections import OrderedDict


class Lately:
    """`capacity`: how many keys are remembered. Times are of any clock that does not run backwards."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def remember(self, key: str, until: float, now: float) -> None:
        """Remembers `key` until the time `until`, if that is yet to come."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if until > now:
            self._until.pop(key, None)
            self._until[key] = until
        if len(self._until) > self._capacity:
            self._until.popitem(last=False)

    def resize(self, capacity: int) -> None:
        """Another `capacity`; over it the oldest go."""
        self._capacity = capacity
        while len(self._until) > capacity:
            self._until.popitem(last=False)

    def knows(self, key: str, now: float) -> bool:
        return self._until.get(key, now) > now

    def forget(self, key: str) -> None:
        self._until.pop(key, None)

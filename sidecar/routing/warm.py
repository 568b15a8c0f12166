"""
Keeps warm the pins of agents that wait for others.

An agent that has started a sub-agent sends nothing until that is done, which may take longer than a pin lives. So a
sub-agent's requests count as uses of the pins that wait for it (see lanes.py): not each of them, which would be a second
round trip to the store every time, but one in a tenth of a pin's life.
"""

from collections import OrderedDict

PARTS = 10
"""So many uses fit into the life of a pin. A sub-agent that pauses for nine of them still keeps its parent's pin."""


class Warm:
    """`ttl_s`: how long a pin lives after a use. `capacity`: how many keys are remembered to be warm."""

    def __init__(self, ttl_s: float, capacity: int) -> None:
        self._apart_s = ttl_s / PARTS
        self._capacity = capacity
        self._used_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_at)

    def due(self, key: str, now: float) -> bool:
        """Whether the pin of `key` is to be used at `now`, Unix time; from then on it is not, for a while."""
        last = self._used_at.get(key)
        if last is not None and 0 <= now - last < self._apart_s:  # a clock that was set back shall stop nothing
            return False
        self._used_at[key] = now
        self._used_at.move_to_end(key)
        if len(self._used_at) > self._capacity:
            self._used_at.popitem(last=False)
        return True

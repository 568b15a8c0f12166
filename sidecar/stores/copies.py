"""
Copies of pins that stand in a Redis: sessions are answered from them, and Redis is told of it afterwards.

A copy counts the uses that Redis has not been told of. It is used like the pin itself: turns grow, a sliding time to
live begins anew. Pure: no I/O, and the time comes in as an argument, in any clock that does not run backwards.
"""

import struct
from collections import OrderedDict
from collections.abc import Callable

from attrs import define

from sidecar.routing.decision import Failover, Held, Pin

_TOLD = struct.Struct(">Id")
"""As `pins.lua` has it: uses, how long ago the last was."""


@define(eq=False)
class Copy:
    """A pin as it stands under `name`, and what became of it here since."""

    name: bytes
    packed: bytes
    """The pin's own bytes, by which Redis knows whether it still has this one."""
    pin: Pin
    failover: Failover | None
    made_at: float
    expires_at: float
    turns: int
    used_at: float
    uses: int = 0
    """So many of its turns Redis has not been told of."""

    def told(self, now: float) -> bytes:
        """What `pins.lua` is to be told of it."""
        return _TOLD.pack(self.uses, max(0.0, now - self.used_at)) + self.packed


class Copies:
    """`most`: over it, the one that was used least recently goes. `soon` is called when there is something to tell."""

    def __init__(self, most: int, soon: Callable[[], None]) -> None:
        self._most = most
        self._soon = soon
        self._by_use: OrderedDict[bytes, Copy] = OrderedDict()
        self._untold: dict[bytes, Copy] = {}
        """Those with uses to tell of; some may be copies no more."""

    def __len__(self) -> int:
        return len(self._by_use)

    def put(self, name: bytes, packed: bytes, held: Held, began: float) -> None:
        """
        What Redis said of `name`. `began`: when it was asked; it said so later, so the copy's time is over when the
        pin's own is, or before.
        """
        made_at, expires_at = began - held.age_s, began + held.expires_in_s
        self._by_use[name] = Copy(
            name, packed, held.pin, held.last_failover, made_at, expires_at, held.turns, used_at=began
        )
        self._by_use.move_to_end(name)
        if len(self._by_use) > self._most:
            self._by_use.popitem(last=False)

    def use(self, name: bytes, now: float, ttl_s: float | None) -> Held | None:
        """The live pin of `name`, which is thereby used; None when there is no copy of it. `ttl_s` if it slides."""
        copy = self._by_use.get(name)
        if copy is None or copy.expires_at <= now:
            return None
        self._by_use.move_to_end(name)
        if not copy.uses:
            if (before := self._untold.get(name)) is not None:  # one that was used, and has been replaced
                copy.uses = before.uses
            self._untold[name] = copy
            if len(self._untold) == 1:
                self._soon()
        copy.uses += 1
        copy.turns += 1
        copy.used_at = now
        if ttl_s is not None:
            copy.expires_at = now + ttl_s
        return Held(copy.pin, copy.expires_at - now, copy.turns, now - copy.made_at, copy.failover)

    def forget(self, name: bytes) -> None:
        """What it was used for is still to be told."""
        self._by_use.pop(name, None)

    def clear(self) -> None:
        self._by_use.clear()

    def has_to_tell_of(self, name: bytes) -> bool:
        return name in self._untold

    def untold(self, now: float) -> list[tuple[Copy, int, bytes]]:
        """What is to be told: each copy, its uses, what says so. They count as told from now on."""
        copies, self._untold = self._untold, {}
        told = [(copy, copy.uses, copy.told(now)) for copy in copies.values()]
        for copy, _, _ in told:
            copy.uses = 0
        return told

    def not_told(self, copy: Copy, uses: int) -> None:
        """It came to nothing: they are to be told again."""
        known = self._untold.setdefault(copy.name, copy)
        known.used_at = max(known.used_at, copy.used_at)
        known.uses += uses

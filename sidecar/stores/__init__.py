"""
Pin stores: where pins live.

A store never fails a request: one that can be down is used through one that brings a table to fall back on.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from sidecar.errors import SidecarError
from sidecar.routing.decision import Failover, Held, Moved, Pin
from sidecar.routing.pins import Decides
from sidecar.routing.session import SessionKey


class StoreDown(SidecarError):
    """
    A store outside this process was not reached, was late, or answered with an error. Whether what it was asked to do
    was done is unknown. No client sees this: the table in this process serves meanwhile.
    """

    status = 503
    code = "store_down"


class PinStore(Protocol):
    """
    session -> pin. Times to live are the store's own; what it gives says how long a pin will last.

    A store outside this process raises StoreDown from any of these.
    """

    async def get(self, key: SessionKey) -> Held | None:
        """The live pin of `key`, which is thereby used: a sliding time to live starts anew."""
        ...

    @property
    def decided(self) -> Decides | None:
        """None where another process may know better."""
        ...

    async def peek(self, key: SessionKey) -> Held | None:
        """The live pin of `key`; looking is not using."""
        ...

    async def expired(self, key: SessionKey) -> bool:
        """
        Whether `key` had a pin that expired less than one time to live ago. Asked after `get` found none; a store that
        cannot know says no.
        """
        ...

    async def lead(self, key: SessionKey) -> Held | None:
        """
        Asked when `get` found nothing, before a classification. None: the caller is to decide, for it is the first or
        has waited long enough. Held: another process pinned `key` meanwhile, and this use of the pin is counted.
        """
        ...

    async def resign(self, key: SessionKey) -> None:
        """
        Called by whoever `lead` told to decide, when nothing came of it to be pinned: those who wait need wait no
        longer. A claim says the same by itself.
        """
        ...

    async def claim(self, key: SessionKey, pin: Pin) -> Held:
        """Pins `key` to `pin` unless someone was first. Atomic; gives the pin that holds from now on."""
        ...

    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None, *, used: bool = True) -> Moved:
        """
        Pins `key` to `pin`; with `instead_of`, only if that is still its pin or it has none. Atomic; gives the pin
        that holds from now on, and the one it replaced. `used=False`: it is no request of the session that does it.
        """
        ...

    async def restore(self, key: SessionKey, held: Held, *, overwrite: bool = False) -> Moved | None:
        """
        Takes up a pin from elsewhere, with its age and turns, for what is left of its time to live. None when `key`
        has a pin and may keep it. Atomic.
        """
        ...

    async def note(self, key: SessionKey, failover: Failover) -> None:
        """Keeps the latest failover beside the pin of `key`, if it has one, for as long as it has one."""
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Forgets the pin of `key`; whether there was one."""
        ...

    def scan(self) -> AsyncIterator[tuple[SessionKey, Held]]:
        """
        Every live pin with its session, as long as it was there when the scan began and still is; looking is not
        using. Other work goes on meanwhile.
        """
        ...

    async def count(self) -> int:
        """How many live pins there are."""
        ...

    async def describe(self) -> tuple[bool, str]:
        """Whether the store is well, and one line for people about where and how it is."""
        ...


def uncounted(_operation: str) -> Callable[[], None]:
    """The counter of a store whose operations nobody counts."""
    return lambda: None

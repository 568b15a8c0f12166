"""
Pin stores: where pins live.

A store never fails a request: one that can be down brings a table to fall back on.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from sidecar.routing.decision import Held, Pin
from sidecar.routing.session import SessionKey


class PinStore(Protocol):
    """session -> pin. Times to live are the store's own; what it gives says how long a pin will last."""

    async def get(self, key: SessionKey) -> Held | None:
        """The live pin of `key`, which is thereby used: a sliding time to live starts anew."""
        ...

    async def claim(self, key: SessionKey, pin: Pin) -> Held:
        """Pins `key` to `pin` unless someone was first. Atomic; gives the pin that holds from now on."""
        ...

    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None) -> Held:
        """
        Pins `key` to `pin`; with `instead_of`, only if that is still its pin or it has none. Atomic; gives the pin
        that holds from now on.
        """
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Forgets the pin of `key`; whether there was one."""
        ...

    def scan(self) -> AsyncIterator[tuple[str, Held]]:
        """Every live pin with the encoded key of its session; looking is not using."""
        ...

    async def count(self) -> int:
        """How many live pins there are."""
        ...

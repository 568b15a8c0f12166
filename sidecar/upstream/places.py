"""
Waiting for a place: `limits.Gate` says whose turn it is, this wakes whoever it is.
"""

import asyncio
from collections.abc import Callable

from sidecar.config.models import CircuitBreakers
from sidecar.upstream.limits import Gate, Overloaded, Slot


class Places:
    """The gates of all providers. Belongs to one event loop."""

    def __init__(self, limits: CircuitBreakers) -> None:
        """`limits` hold for each provider entry by itself."""
        self._limits = limits
        self._gates: dict[str, Gate] = {}
        self._waiting: dict[Slot, asyncio.Future[None]] = {}

    async def take(self, provider: str, wait_s: float) -> Callable[[], None]:
        """
        A place with the provider, when it is this request's turn; what it gives is to be called when the request is
        over, once or more often. Raises `Overloaded` when there is no place even to wait, or its turn does not come
        within `wait_s`.
        """
        gate = self._gates.get(provider)
        if gate is None:
            gate = self._gates[provider] = Gate(provider, self._limits)
        slot = gate.enter()
        if gate.waits(slot):
            try:
                async with asyncio.timeout(wait_s):
                    await self._turn_of(slot, gate)
            except TimeoutError as exc:
                raise Overloaded(f"{provider} had no place for another request within {wait_s:g} s") from exc
        return lambda: self._leave(slot, gate)

    def load(self, provider: str) -> tuple[int, int]:
        """How many of a provider's requests are under way, and how many wait for a place."""
        gate = self._gates.get(provider)
        return (0, 0) if gate is None else (gate.running, gate.pending)

    async def _turn_of(self, slot: Slot, gate: Gate) -> None:
        woken = self._waiting[slot] = asyncio.get_running_loop().create_future()
        try:
            await woken
        except asyncio.CancelledError:
            self._leave(slot, gate)  # its turn may have come in the same moment
            raise
        finally:
            del self._waiting[slot]

    def _leave(self, slot: Slot, gate: Gate) -> None:
        following = gate.leave(slot)
        woken = None if following is None else self._waiting.get(following)
        if woken is not None and not woken.done():
            woken.set_result(None)

"""
Waiting for a place: `limits.Gate` says whose turn it is, this wakes whoever it is.
"""

import asyncio

from sidecar.config.models import CircuitBreakers
from sidecar.upstream.limits import Gate, Overloaded, Slot


class Places:
    """The gates of all providers. Belongs to one event loop."""

    def __init__(self, limits: CircuitBreakers) -> None:
        """`limits` hold for each provider entry by itself."""
        self._limits = limits
        self._gates: dict[str, Gate] = {}
        self._waiting: dict[Slot, asyncio.Future[None]] = {}

    def configure(self, limits: CircuitBreakers) -> None:
        """Other limits. Nobody is put out who is in or waits; raised ones let in at once whoever waits."""
        self._limits = limits
        for gate in self._gates.values():
            for slot in gate.configure(limits):
                self._wake(slot)
        self._gates = {name: gate for name, gate in self._gates.items() if gate.running or gate.pending}

    def enter(self, provider: str) -> Slot:
        """
        A place with the provider. One that is not `running` yet is waited for with `turn`; `leave` it when the request
        is over. Raises `Overloaded` when there is no place even to wait.
        """
        gate = self._gates.get(provider)
        if gate is None:
            gate = self._gates[provider] = Gate(provider, self._limits)
        if gate.running < gate.most_running:  # as nearly always; all else is the gate's to say
            gate.running += 1
            return Slot(gate, True)  # noqa: FBT003 - by name it takes twice as long
        return gate.enter()

    async def turn(self, slot: Slot, wait_s: float) -> None:
        """Waits until a place is running. Raises `Overloaded`, and leaves it, when it is not within `wait_s`."""
        try:
            async with asyncio.timeout(wait_s):
                await self._turn_of(slot)
        except TimeoutError as exc:
            raise Overloaded(f"{slot.gate.provider} had no place for another request within {wait_s:g} s") from exc

    def leave(self, slot: Slot) -> None:
        """Gives a place back, however its request ended; twice does nothing."""
        gate = slot.gate
        if slot.running and not gate.waiting:  # as nearly always, again
            slot.running = False
            gate.running -= 1
        elif (following := gate.leave(slot)) is not None:
            self._wake(following)

    def _wake(self, slot: Slot) -> None:
        woken = self._waiting.get(slot)
        if woken is not None and not woken.done():
            woken.set_result(None)

    def load(self, provider: str) -> tuple[int, int]:
        """How many of a provider's requests are under way, and how many wait for a place."""
        gate = self._gates.get(provider)
        return (0, 0) if gate is None else (gate.running, gate.pending)

    async def _turn_of(self, slot: Slot) -> None:
        woken = self._waiting[slot] = asyncio.get_running_loop().create_future()
        try:
            await woken
        except asyncio.CancelledError:
            self.leave(slot)  # its turn may have come in the same moment
            raise
        finally:
            del self._waiting[slot]

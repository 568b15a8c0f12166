"""
The way to a store in another process: in time, or not at all.

Whatever goes wrong there comes out as `StoreDown`, and what keeps going wrong is left alone for a while (`Circuit`), so
that no request waits for what will not come. The log has one line when the store goes and one when it is back.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from attrs import frozen

from sidecar.config.models import Breaker
from sidecar.errors import SidecarError
from sidecar.routing.breaker import Circuit, State
from sidecar.stores import StoreDown, uncounted
from sidecar.stores.patience import STALLED, Within

T = TypeVar("T")
logger = logging.getLogger("sidecar.store")

OPERATIONS = (
    "get", "peek", "expired", "lead", "resign", "claim", "move", "restore", "note", "delete", "scan", "count", "epoch",
)  # fmt: skip
LONG_S = 30.0
"""Longest that an operator waits for a count, or for the next pins of a scan."""


def untimed(_operation: str) -> Callable[[float], None]:
    """The stopwatch of a store that nobody times."""
    return lambda _seconds: None


@frozen
class StoreWatch:
    """What is told of operations on a store: each gives, for an operation's name, what to call. None may raise."""

    asked: Callable[[str], Callable[[], None]] = uncounted
    failed: Callable[[str], Callable[[], None]] = uncounted
    took: Callable[[str], Callable[[float], None]] = untimed
    """Called with seconds."""


class Reach:
    """
    `name`: the store's, for people. `timeout_s`: longest that anybody waits for one operation. `clock`: seconds, never
    backwards (`time.monotonic`).
    """

    def __init__(
        self, name: str, *, timeout_s: float, breaker: Breaker, clock: Callable[[], float], watch: StoreWatch
    ) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._circuit = Circuit(breaker)
        self._clock = clock
        self._watched = {each: (watch.asked(each), watch.failed(each), watch.took(each)) for each in OPERATIONS}
        self._down_since: float | None = None
        self._why = ""
        self._outages = 0

    @property
    def is_up(self) -> bool:
        return self._down_since is None

    @property
    def outages(self) -> int:
        """How often it went down so far."""
        return self._outages

    async def ask(self, operation: str, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """What `call` gives. Raises StoreDown when it fails or is late, and at once while the store is left alone."""
        began = self._clock()
        ticket = self._circuit.enter(began)
        if ticket is None:
            raise StoreDown(f"not asked: {self._why}")
        limit_s = timeout_s or self._timeout_s
        try:
            said = await self._timed(operation, call, limit_s)
        except StoreDown as exc:
            if self._clock() - began <= limit_s * STALLED:
                self._circuit.failed(ticket, self._clock())
                self._note_failure(exc)
            raise
        finally:
            # Does nothing for a call that has reported; one that was cut off, by whatever, gives its place back.
            self._circuit.abandoned(ticket)
        self._circuit.succeeded(ticket)
        self._note_success()
        return said

    async def ask_long(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """As `ask`, for an operator's work, so long that it says nothing about how the store is for requests."""
        if not self.is_up:
            raise StoreDown(f"not asked: {self._why}")
        return await self._timed(operation, call, LONG_S)

    async def each(self, operation: str, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """What `items` gives, one by one, each as `ask_long`. Raises StoreDown."""
        asked, failed, _ = self._watched[operation]
        if not self.is_up:
            raise StoreDown(f"not asked: {self._why}")
        asked()
        while True:
            try:
                item = await self._bounded(lambda: anext(items), LONG_S)
            except StopAsyncIteration:
                return
            except StoreDown:
                failed()
                raise
            yield item

    def describe(self) -> tuple[bool, str]:
        """Whether it is up, and a few words on that; what the log says of causes may name hosts, this does not."""
        if self._down_since is None:
            return True, f"{self._name}, up"
        state = "tried again" if self._circuit.state is State.HALF_OPEN else "left alone for now"
        return False, f"{self._name}, down for {self._clock() - self._down_since:.0f} s, {state}"

    async def _timed(self, operation: str, call: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        asked, failed, took = self._watched[operation]
        asked()
        began = self._clock()
        try:
            return await self._bounded(call, timeout_s)
        except StoreDown:
            failed()
            raise
        finally:
            took(self._clock() - began)

    async def _bounded(self, call: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        try:
            async with Within(timeout_s):
                return await call()
        except (StoreDown, StopAsyncIteration):
            raise
        except TimeoutError as exc:
            raise StoreDown(f"no answer in {timeout_s:g} s") from exc
        except Exception as exc:  # whatever a store raises, the request goes on
            raise StoreDown(exc.message if isinstance(exc, SidecarError) else type(exc).__name__) from exc

    def _note_failure(self, exc: StoreDown) -> None:
        self._why = exc.message
        if self._down_since is None and self._circuit.state is not State.CLOSED:
            self._down_since = self._clock()
            self._outages += 1
            logger.warning("the store %s is down, the pins in this process serve meanwhile: %s", self._name, self._why)

    def _note_success(self) -> None:
        if self._down_since is not None and self._circuit.state is State.CLOSED:
            logger.info("the store %s answers again, after %.1f s", self._name, self._clock() - self._down_since)
            self._down_since = None

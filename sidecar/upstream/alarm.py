"""
One timer for many waits in a row.

A wait that ends in time, as nearly all do, should not pay for a timer of its own. Here a wait only writes down when it
is due. The timer beneath stays armed from wait to wait; when it goes off too early it is set again for what is due
then, and when nothing is due it sleeps.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from math import inf

SLACK_S = 0.001
"""uvloop counts whole milliseconds, so its timers may go off so much too early."""


class Alarm:
    """
    Calls `rings` once at `due_at`, in the loop's time; `inf` is never. Setting it does not touch the clock.

    Who only puts it off writes `due_at` itself, without a call: that is nothing earlier than `armed_at`.
    """

    __slots__ = ("_handle", "_loop", "_rings", "armed_at", "due_at")

    def __init__(self, loop: AbstractEventLoop, rings: Callable[[], None]) -> None:
        self._loop = loop
        self._rings = rings
        self.due_at = inf
        self.armed_at = inf
        self._handle: TimerHandle | None = None

    def set(self, due_at: float) -> None:
        """In the place of whatever was due before."""
        self.due_at = due_at
        if due_at < self.armed_at:
            self._arm(due_at)

    def stop(self) -> None:
        """For good: nothing is left in the loop."""
        self.due_at = self.armed_at = inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self.armed_at = at
        self._handle = self._loop.call_at(at, self._went_off)

    def _went_off(self) -> None:
        self._handle = None
        self.armed_at = inf
        if self.due_at - self._loop.time() > SLACK_S:
            if self.due_at < inf:
                self._arm(self.due_at)
            return
        self.due_at = inf
        self._rings()

"""
One look at every connection, again and again, instead of a timer for each of the things that may take too long.

A request then costs no timer at all. What is late is found a moment late: a second at most, or a quarter of the
shortest limit; twice that where it is looked for twice. It goes in slices, so that ten thousand connections do not hold
the loop: 100 of them take 0.1 ms.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

SLICE = 100
EVERY_S = 1.0

Each = TypeVar("Each")


class Sweep(Generic[Each]):
    """
    `all_`: what there is; `look` is called for each of it with the loop's time. `every_s`: from the start of a round to
    that of the next. It sleeps when there is nothing to look at, until `wake`.
    """

    def __init__(
        self, all_: Callable[[], Sequence[Each]], look: Callable[[Each, float], None], every_s: Callable[[], float]
    ) -> None:
        self._all = all_
        self._look = look
        self._every_s = every_s
        self._left: list[Each] = []
        self._pause_s = 0.0
        self._awake = False

    def wake(self) -> None:
        if not self._awake:
            self._awake = True
            asyncio.get_running_loop().call_later(self._every_s(), self._begin)

    def _begin(self) -> None:
        self._left = list(self._all())
        if not self._left:
            self._awake = False
            return
        self._pause_s = self._every_s() / -(-len(self._left) // SLICE)
        self._go_on()

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        now, these = loop.time(), self._left[-SLICE:]
        del self._left[-SLICE:]
        loop.call_later(self._pause_s, self._go_on if self._left else self._begin)  # first: one look may fail
        for each in these:
            self._look(each, now)

"""
How long to wait for another process: as long as it was told, and once more when it was this one that did not run.

After a pause of this process (a pod out of its share of CPU, a long piece of work) the event loop finds the timer over
and the answer there, and the timer comes first. A session that the store knows would be taken for a new one.
"""

import asyncio
from types import TracebackType
from typing import Self

STALLED = 1.25
"""
Whoever hears so many times too late that the time is over did not run meanwhile. It is no fault of the store, and no
reason to leave it alone.
"""


class Within:
    """`async with Within(seconds)`: as `asyncio.timeout`. The time begins anew, once, when its end is noticed too late."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._waiting = asyncio.timeout(None)
        self._end: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._waiting.__aenter__()
        due = self._loop.time() + self._limit_s
        self._end = self._loop.call_at(due, self._over, due)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._end is not None:
            self._end.cancel()
        await self._waiting.__aexit__(kind, error, trace)

    def _over(self, due: float) -> None:
        now = self._loop.time()
        stalled = now - due > self._limit_s * (STALLED - 1)
        self._waiting.reschedule(now + self._limit_s if stalled else now)

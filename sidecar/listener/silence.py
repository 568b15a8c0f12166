"""
How long a body may take: all of it, and between two pieces of it.

One timer for both, set anew a few times per silence and not with each piece.
"""

import asyncio
from types import TracebackType

from aiohttp import StreamReader

from sidecar.errors import RequestTimeout

_LOOKS = 4
"""Per longest silence: one is noticed a quarter late at most."""


class BodyTimeout(RequestTimeout):
    """The client fell silent in the middle of a body."""

    code = "body_timeout"

    def __init__(self, silence_s: float) -> None:
        super().__init__(f"Nothing more of the body came for {silence_s:g} s.")


class Patience:
    """`async with`: raises TimeoutError after `whole_s`, BodyTimeout when nothing came for `silence_s`."""

    def __init__(self, content: StreamReader, whole_s: float, silence_s: float) -> None:
        self._content = content
        self._silence_s = silence_s
        self._limit = asyncio.timeout(whole_s)
        self._loop = asyncio.get_running_loop()
        self._seen = content.total_bytes
        self._heard_at = self._loop.time()
        self._is_silent = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._timer = self._loop.call_later(self._silence_s / _LOOKS, self._look)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, exc, trace)
        except TimeoutError as late:
            if self._is_silent:
                raise BodyTimeout(self._silence_s) from late
            raise

    def _look(self) -> None:
        now, seen = self._loop.time(), self._content.total_bytes
        if seen != self._seen:
            self._seen, self._heard_at = seen, now
        elif now - self._heard_at >= self._silence_s:
            self._is_silent = True
            self._limit.reschedule(now)
            return
        self._timer = self._loop.call_later(self._silence_s / _LOOKS, self._look)

"""
How late the event loop is: what every request waits for besides its own work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sidecar.loop import beside

EVERY_S = 0.5


@asynccontextmanager
async def lag_watched(
    lagged: Callable[[float], None],
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[None]:
    """While inside, `lagged` is told twice a second how late a timer was, in seconds. `clock`: that of the loop."""

    async def watch() -> None:
        while True:
            due = clock() + EVERY_S
            await sleep(EVERY_S)
            lagged(max(0.0, clock() - due))

    async with beside(watch()):
        yield

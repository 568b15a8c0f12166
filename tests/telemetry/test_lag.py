"""How late the event loop is."""

import asyncio

from sidecar.telemetry.lag import EVERY_S, lag_watched


async def test_what_a_timer_is_late_by_is_told():
    now, told, woken = [0.0], [], asyncio.Event()
    lateness = iter([0.0, 0.25, 2.0])

    async def sleep(seconds):
        late = next(lateness, None)
        if late is None:
            woken.set()
            await asyncio.Event().wait()
        now[0] += seconds + late
        await asyncio.sleep(0)

    async with lag_watched(told.append, lambda: now[0], sleep):
        await woken.wait()
    assert told == [0.0, 0.25, 2.0]
    assert now[0] == 3 * EVERY_S + 2.25


async def test_outside_nothing_watches_any_more():
    before = asyncio.all_tasks()
    async with lag_watched(lambda _seconds: None, asyncio.get_running_loop().time):
        assert len(asyncio.all_tasks()) == len(before) + 1
    assert asyncio.all_tasks() == before

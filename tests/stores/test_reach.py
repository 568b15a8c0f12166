"""The way to a store in another process: in time, or not at all. The clock is a number."""

import asyncio

import pytest

from sidecar.config.models import Breaker
from sidecar.stores import StoreDown
from sidecar.stores.reach import Reach, StoreWatch


class Refused(StoreDown): ...


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def reach(clock):
    breaker = Breaker(failures=2, cooldown_s=10)
    return Reach("redis", timeout_s=0.02, breaker=breaker, clock=lambda: clock[0], watch=StoreWatch())


async def answer():
    return 42


async def refuse():
    raise Refused("refused")


async def hang():
    await asyncio.sleep(30)


async def fail(reach, times=2):
    for _ in range(times):
        with pytest.raises(Refused):
            await reach.ask("get", refuse)


async def test_what_the_store_gives_is_given_and_what_it_raises_is_raised(reach):
    assert await reach.ask("get", answer) == 42
    await fail(reach, 1)
    assert reach.is_up


async def test_a_store_that_is_late_is_down_for_whoever_asked(reach):
    with pytest.raises(StoreDown, match=r"^no answer in "):
        await reach.ask("get", hang)


async def test_of_an_error_that_is_not_ours_only_the_kind_is_told(reach):
    async def fall_over():
        raise ZeroDivisionError("of secret things")

    with pytest.raises(StoreDown) as caught:
        await reach.ask("get", fall_over)
    assert caught.value.message == "ZeroDivisionError"


async def test_after_failures_in_a_row_it_is_not_asked_for_a_while_and_then_by_one_at_a_time(reach, clock):
    await fail(reach)
    clock[0] = 9
    with pytest.raises(StoreDown, match="not asked: refused"):
        await reach.ask("get", answer)
    clock[0] = 10
    trial = asyncio.ensure_future(reach.ask("get", asyncio.Event().wait))
    await asyncio.sleep(0)
    with pytest.raises(StoreDown, match="not asked"):
        await reach.ask("get", answer)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert await reach.ask("get", answer) == 42
    assert reach.is_up


async def test_that_this_process_stood_still_is_not_held_against_the_store(reach, clock):
    async def stand_still():
        clock[0] += 0.5
        raise Refused("no answer")

    for _ in range(5):
        with pytest.raises(Refused):
            await reach.ask("get", stand_still)
    assert reach.is_up


async def test_it_says_since_when_it_is_down_and_how_often_it_was(reach, clock):
    assert (reach.describe(), reach.outages) == ((True, "redis, up"), 0)
    await fail(reach)
    clock[0] = 7
    assert reach.describe() == (False, "redis, down for 7 s, left alone for now")
    clock[0] = 12
    trial = asyncio.ensure_future(reach.ask("get", hang))
    await asyncio.sleep(0)
    assert reach.describe() == (False, "redis, down for 12 s, tried again")
    with pytest.raises(StoreDown):
        await trial
    clock[0] = 30
    await reach.ask("get", answer)
    assert (reach.describe(), reach.outages) == ((True, "redis, up"), 1)


async def test_an_operators_work_that_fails_does_not_make_it_down_for_requests(reach):
    async def broken():
        raise Refused("refused")
        yield

    for _ in range(5):
        with pytest.raises(Refused):
            await reach.ask_long("count", refuse)
        with pytest.raises(Refused):
            [each async for each in reach.each("scan", broken())]
    assert reach.is_up


async def test_an_operator_does_not_wait_for_one_that_is_down(reach):
    await fail(reach)
    with pytest.raises(StoreDown, match="not asked"):
        await reach.ask_long("count", answer)
    with pytest.raises(StoreDown, match="not asked"):
        [each async for each in reach.each("scan", _none())]


async def _none():
    for each in ():
        yield each

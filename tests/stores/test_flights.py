"""Single flight: one works, the others wait, and nobody's end is another's."""

import asyncio

import pytest

from sidecar.routing.session import SessionKey
from sidecar.stores.flights import Flights

KEY = SessionKey("run-1")


async def test_the_first_caller_works_and_the_others_wait():
    flights, gate, worked = Flights(), asyncio.Event(), []

    async def work():
        worked.append(1)
        await gate.wait()
        return "done"

    calls = [asyncio.ensure_future(flights.lead_or_wait(KEY, work)) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    assert (await asyncio.gather(*calls), len(worked)) == (["done", None, None, None, None], 1)


async def test_nothing_is_kept_of_a_flight_that_is_over():
    flights = Flights()

    async def work():
        return 1

    await flights.lead_or_wait(KEY, work)
    assert len(flights) == 0


async def test_what_the_work_raises_reaches_the_leader_only():
    flights, gate = Flights(), asyncio.Event()

    async def work():
        await gate.wait()
        raise KeyError("mine")

    leader, follower = (asyncio.ensure_future(flights.lead_or_wait(KEY, work)) for _ in range(2))
    await asyncio.sleep(0)
    gate.set()
    assert await follower is None
    with pytest.raises(KeyError):
        await leader


async def test_the_work_goes_on_when_its_leader_is_cancelled():
    flights, gate, done = Flights(), asyncio.Event(), []

    async def work():
        await gate.wait()
        done.append(1)

    leader, follower = (asyncio.ensure_future(flights.lead_or_wait(KEY, work)) for _ in range(2))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.sleep(0)
    gate.set()
    await follower
    assert done == [1]


async def test_whoever_waits_is_counted_until_the_wait_is_over_or_given_up():
    flights, gate = Flights(), asyncio.Event()
    calls = [asyncio.ensure_future(flights.lead_or_wait(KEY, gate.wait)) for _ in range(4)]
    await asyncio.sleep(0)
    assert flights.waiting == 3
    calls[1].cancel()
    await asyncio.wait([calls[1]])
    assert flights.waiting == 2
    gate.set()
    await asyncio.wait(calls)
    assert flights.waiting == 0

"""Waiting for another process: in time, but for the time in which this one did not run."""

import asyncio
import time

import pytest

from sidecar.config.models import Breaker, SessionCache
from sidecar.routing.decision import Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores.memory import MemoryStore
from sidecar.stores.patience import Within
from sidecar.stores.redis import RedisStore
from sidecar.stores.shared import SharedStore

PIN = Pin(("openai/gpt-4o",), None, Reason.ROUTED, 1.0)
LIMIT_S = 0.05


def stall(seconds=4 * LIMIT_S):
    time.sleep(seconds)  # nothing else of this process runs meanwhile: that is what the test is about


async def test_what_is_late_is_given_up_in_time():
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Within(LIMIT_S):
            await asyncio.Event().wait()
    assert LIMIT_S <= time.monotonic() - began < 10


async def test_what_came_while_this_process_did_not_run_came_in_time():
    answer = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(stall)
    asyncio.get_running_loop().call_later(2 * LIMIT_S, answer.set_result, "here")
    async with Within(LIMIT_S):
        assert await answer == "here"


async def test_the_time_begins_anew_but_once():
    asyncio.get_running_loop().call_soon(stall)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10), Within(LIMIT_S):
            await asyncio.Event().wait()


async def test_whoever_is_cancelled_is_cancelled():
    async def wait():
        async with Within(10):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_stall_of_this_process_makes_no_session_of_another_sidecar_unknown(server, reach, prefix):
    def sidecar(settings):
        far = RedisStore(reach(server.url, settings.command_timeout_s), ttl_s=100, key_prefix=prefix)
        near = MemoryStore(PinTable(ttl_s=100, capacity=100), time.monotonic)
        return SharedStore(near, far, settings, most=100, clock=time.monotonic)

    keys = [SessionKey(f"run-{n}") for n in range(20)]
    patient = SessionCache(command_timeout_s=10, breaker=Breaker(failures=3, cooldown_s=0.1))
    hurried = SessionCache(command_timeout_s=0.5, breaker=patient.breaker)
    async with sidecar(patient) as one, sidecar(hurried) as other:
        for key in keys:
            await one.claim(key, PIN)
        await other.get(SessionKey("nobody's"))  # connected
        asking = [asyncio.create_task(other.get(key)) for key in keys]
        for _ in range(3):
            await asyncio.sleep(0)  # asked
        stall(1.0)
        assert [held is not None and held.pin == PIN for held in await asyncio.gather(*asking)] == [True] * 20
        assert other.describe_now() == (True, "memory, up")

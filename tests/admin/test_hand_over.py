"""What an old sidecar says to a new one."""

import asyncio
import os
import time

import pytest

from sidecar.admin.hand_over import HandOver
from sidecar.admin.state import State
from sidecar.routing.decision import Held, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores.memory import MemoryStore

PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 1e9)
ME = os.getpid()


@pytest.fixture
def store():
    return MemoryStore(PinTable(ttl_s=1000, capacity=10), time.monotonic)


@pytest.fixture
async def old(port, store):
    """(a client of its admin port, its state, what was begun, when it is settled)"""
    state, begun, settled = State("serving"), [], asyncio.Event()
    client = await port(HandOver(state, store, lambda: begun.append(True), settled, time.time))
    return client, state, begun, settled


async def test_the_newest_pins_are_told_when_no_request_can_come_any_more(old, store):
    client, _, begun, settled = old
    await store.restore(SessionKey("early"), Held(PIN, 900, age_s=60))
    since = time.time() - 30
    asking = asyncio.ensure_future(client.post(f"/hand_over?pid={ME}&since={since}"))
    while not begun:  # noqa: ASYNC110 - what is begun tells nobody
        await asyncio.sleep(0.01)
    await store.claim(SessionKey("late"), PIN)
    assert not asking.done()
    settled.set()
    async with await asking as answer:
        head, *pins = (await answer.read()).splitlines()
    assert (answer.status, b"sidecar-pins" in head, len(pins)) == (200, True, 1)
    assert b'"late"' in pins[0]


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), (f"pid={ME}", 400), (f"pid={ME}&since=now", 400), (f"pid={ME + 1}&since=0", 409), ("since=0", 409)],
    ids=["nothing", "no since", "since no number", "another pid", "no pid"],  # pids differ between pytest's workers
)
async def test_what_is_not_meant_for_it_begins_nothing(old, query, status):
    client, _, begun, _ = old
    async with client.post(f"/hand_over?{query}") as answer:
        assert (answer.status, begun) == (status, [])


async def test_who_stops_already_hands_nothing_over(old):
    client, state, begun, _ = old
    state.name = "draining"
    async with client.post(f"/hand_over?pid={ME}&since=0") as answer:
        assert (answer.status, begun) == (409, [])
        assert "is draining" in await answer.text()

"""The memory store: what only a table in this process does. What every store does is in test_stores.py."""

import asyncio
from collections import Counter

import pytest

from sidecar.routing.decision import Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import PinStore
from sidecar.stores.memory import SWEEP_EVERY_S, SWEPT_AT_ONCE, MemoryStore, swept

A, B = SessionKey("a"), SessionKey("b")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), None, Reason.NO_MATCH, 0.0)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def store(clock) -> PinStore:
    return MemoryStore(PinTable(ttl_s=10, capacity=100), lambda: clock[0])


async def test_a_scan_goes_on_while_pins_come_and_go_and_lets_others_run():
    store = MemoryStore(PinTable(ttl_s=10, capacity=2000), lambda: 0.0)
    keys = [SessionKey(str(n)) for n in range(1000)]
    for key in keys:
        await store.claim(key, PIN)

    async def meddle():
        await store.delete(keys[-1])
        await store.claim(A, PIN)
        await store.get(keys[0])

    meddling = asyncio.ensure_future(meddle())
    found = [key async for key, _ in store.scan()]
    assert meddling.done()
    assert found == keys[:-1]


async def test_live_pins_are_counted_by_model(store, clock):
    await store.claim(A, PIN)
    clock[0] = 5
    await store.claim(B, OTHER)
    assert dict(store.counts_now()) == {PIN.model: 1, OTHER.model: 1}
    clock[0] = 12
    assert dict(store.counts_now()) == {OTHER.model: 1}


async def test_each_operation_is_counted_under_its_name():
    counts = Counter()
    store = MemoryStore(PinTable(ttl_s=10, capacity=9), lambda: 0.0, lambda name: lambda: counts.update([name]))
    await store.claim(A, PIN)
    await store.get(A)
    await store.get(B)
    await store.move(A, OTHER)
    assert [key async for key, _ in store.scan()] == [A]
    await store.delete(A)
    await store.peek(A)
    assert counts == {"claim": 1, "get": 2, "move": 1, "scan": 1, "delete": 1}


async def expiring(count, clock):
    """A store whose pins have all expired."""
    store = MemoryStore(PinTable(ttl_s=10, capacity=count), lambda: clock[0])
    for n in range(count):
        await store.claim(SessionKey(str(n)), PIN)
    clock[0] = 10.0
    return store


async def test_whoever_counts_forgets_a_few_of_the_expired_and_holds_nobody_up(clock):
    store = await expiring(5 * SWEPT_AT_ONCE, clock)
    assert [store.counts_now()[PIN.model], store.count_now()] == [4 * SWEPT_AT_ONCE, 3 * SWEPT_AT_ONCE]


async def test_expired_pins_are_forgotten_soon_a_few_at_each_turn_of_the_loop(clock):
    store = await expiring(3 * SWEPT_AT_ONCE + 1, clock)
    slept, done = [], asyncio.Event()

    async def sleep(seconds):
        slept.append((seconds, len(store._table)))
        if len(slept) == 5:
            done.set()
            await asyncio.Event().wait()

    async with swept(store, sleep):
        await done.wait()
    kept = [3 * SWEPT_AT_ONCE + 1, 2 * SWEPT_AT_ONCE + 1, SWEPT_AT_ONCE + 1, 1, 0]
    assert slept[:5] == list(zip([SWEEP_EVERY_S, 0, 0, 0, SWEEP_EVERY_S], kept, strict=True))

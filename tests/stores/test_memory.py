"""The memory store: the pin table behind the protocol of stores, with a clock a test can turn."""

import asyncio
from collections import Counter

import pytest

from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import PinStore
from sidecar.stores.memory import MemoryStore

A, B = SessionKey("a"), SessionKey("b")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), None, Reason.NO_MATCH, 0.0)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def store(clock) -> PinStore:
    return MemoryStore(PinTable(ttl_s=10, capacity=100), lambda: clock[0])


async def test_the_first_claim_wins(store):
    assert (await store.claim(A, PIN)).pin == PIN
    assert (await store.claim(A, OTHER)).pin == PIN
    assert (await store.get(A)).pin == PIN


async def test_the_same_session_of_another_tenant_or_lane_is_another_session(store):
    await store.claim(A, PIN)
    assert await store.get(SessionKey("a", tenant="t")) is None
    assert await store.get(SessionKey("a", lane="l")) is None


async def test_the_header_that_named_a_session_does_not_matter(store):
    await store.claim(A, PIN)
    assert (await store.get(SessionKey("a", source="x-model-affinity"))).pin == PIN


async def test_a_move_replaces_only_the_pin_it_expects(store):
    await store.claim(A, PIN)
    assert (await store.move(A, OTHER, OTHER)).held.pin == PIN
    assert (await store.move(A, OTHER, PIN)).held.pin == OTHER
    assert (await store.move(B, OTHER, PIN)).held.pin == OTHER


async def test_only_live_pins_are_scanned_and_counted(store, clock):
    await store.claim(A, PIN)
    clock[0] = 5
    await store.claim(B, OTHER)
    clock[0] = 12
    assert [(key, held.expires_in_s) async for key, held in store.scan()] == [(B, 3)]
    assert await store.count() == 1


async def test_a_deleted_pin_is_gone(store):
    await store.claim(A, PIN)
    assert [await store.delete(A), await store.delete(A), await store.get(A)] == [True, False, None]


async def test_a_scan_says_who_named_each_session(store):
    key = SessionKey("a:1/b", "tenant", "lane", source="session-id")
    await store.claim(key, Pin(("m/m",), None, Reason.NO_MATCH, 0.0, source="session-id"))
    assert [(found, found.source) async for found, _ in store.scan()] == [(key, "session-id")]


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


async def test_looking_is_not_using(store, clock):
    await store.claim(A, PIN)
    clock[0] = 6
    held = await store.peek(A)
    assert (held.expires_in_s, held.turns, await store.peek(B)) == (4, 1, None)


async def test_it_knows_which_sessions_expired_lately(store, clock):
    await store.claim(A, PIN)
    clock[0] = 12
    assert [await store.expired(A), await store.expired(B)] == [True, False]


async def test_a_failover_is_kept_beside_the_pin(store):
    failover = Failover(0.0, "refused", None)
    await store.note(A, failover)
    await store.claim(A, PIN)
    assert (await store.peek(A)).last_failover is None
    await store.note(A, failover)
    assert (await store.get(A)).last_failover == failover


async def test_a_pin_from_elsewhere_is_taken_up_unless_the_session_has_one(store):
    held = Held(OTHER, 3, 7, 5)
    assert (await store.restore(A, held)).held == held
    assert await store.restore(A, held) is None
    assert (await store.restore(A, held, overwrite=True)).was == held


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

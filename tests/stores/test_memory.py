"""The memory store: the pin table behind the protocol of stores, with a clock a test can turn."""

import pytest

from sidecar.routing.decision import Pin, Reason
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
    assert (await store.claim(A, PIN)).pin is PIN
    assert (await store.claim(A, OTHER)).pin is PIN
    assert (await store.get(A)).pin is PIN


async def test_the_same_session_of_another_tenant_or_lane_is_another_session(store):
    await store.claim(A, PIN)
    assert await store.get(SessionKey("a", tenant="t")) is None
    assert await store.get(SessionKey("a", lane="l")) is None


async def test_the_header_that_named_a_session_does_not_matter(store):
    await store.claim(A, PIN)
    assert (await store.get(SessionKey("a", source="x-model-affinity"))).pin is PIN


async def test_a_move_replaces_only_the_pin_it_expects(store):
    await store.claim(A, PIN)
    assert (await store.move(A, OTHER, OTHER)).pin is PIN
    assert (await store.move(A, OTHER, PIN)).pin is OTHER
    assert (await store.move(B, OTHER, PIN)).pin is OTHER


async def test_only_live_pins_are_scanned_and_counted(store, clock):
    await store.claim(A, PIN)
    clock[0] = 5
    await store.claim(B, OTHER)
    clock[0] = 12
    assert [(key, held.expires_in_s) async for key, held in store.scan()] == [(B.encoded, 3)]
    assert await store.count() == 1


async def test_a_deleted_pin_is_gone(store):
    await store.claim(A, PIN)
    assert [await store.delete(A), await store.delete(A), await store.get(A)] == [True, False, None]

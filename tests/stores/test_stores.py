"""What every store does: one test class for the table in this process and for the Redis that sidecars share."""

import asyncio

import pytest
from attrs import evolve
from msgspec.structs import replace

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Failover, Held, Moved, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import PinStore
from sidecar.stores.memory import MemoryStore
from sidecar.stores.redis import RedisStore

A, B = SessionKey("a"), SessionKey("b")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), None, Reason.NO_MATCH, 0.0)
RICH = Pin(
    ("m/größer", "m/2"),
    "ünïcode",
    Reason.FAILOVER,
    1.7e9 + 1 / 3,
    mixed=True,
    source="session-id",
    confidence=0.1,
    scores=(("a", 0.7), ("b", 0.2)),
)
FAILOVER = Failover(3.5, "refused", None)

MEMORY = "memory"


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=[MEMORY, "redis"])
def made(request, clock, server, reach, prefix):
    """`made(policy)`: an empty store whose pins live ten seconds of `clock`."""

    def make(policy=TtlPolicy.SLIDING) -> PinStore:
        if request.param == MEMORY:
            return MemoryStore(PinTable(ttl_s=10, capacity=100, policy=policy), clock)
        return RedisStore(reach(server.url), ttl_s=10, policy=policy, key_prefix=prefix, clock=clock)

    return make


@pytest.fixture
def store(made):
    return made()


class TestStores:
    async def test_the_first_claim_wins(self, store):
        assert (await store.claim(A, PIN)).pin == PIN
        assert (await store.claim(A, OTHER)).pin == PIN
        assert (await store.get(A)).pin == PIN

    async def test_of_claims_at_once_one_wins_and_all_are_told(self, store):
        pins = [evolve(PIN, decided_at_s=float(n)) for n in range(50)]
        held = await asyncio.gather(*(store.claim(A, pin) for pin in pins))
        assert len({each.pin for each in held}) == 1
        assert sorted(each.turns for each in held) == list(range(1, 51))

    async def test_a_pin_comes_back_as_it_went_in(self, store):
        assert await store.claim(A, RICH) == Held(RICH, 10, 1, 0)
        assert (await store.peek(A)).pin == RICH

    async def test_the_same_session_of_another_tenant_or_lane_is_another_session(self, store):
        await store.claim(A, PIN)
        assert await store.get(SessionKey("a", tenant="t")) is None
        assert await store.get(SessionKey("a", lane="l")) is None

    async def test_the_header_that_named_a_session_does_not_matter(self, store):
        await store.claim(A, PIN)
        assert (await store.get(SessionKey("a", source="x-model-affinity"))).pin == PIN

    async def test_a_session_may_be_called_anything(self, store):
        keys = [SessionKey(text) for text in ("{a}", "{", "}{", "{}", "*", "[a-z]", "\\", "0:0:a", "'\"", "a{b}c")]
        keys += [SessionKey("a", tenant="{b}", lane="ä\n\0")]
        for key in keys:
            await store.claim(key, evolve(PIN, route=key.encoded))
        assert [(await store.get(key)).pin.route for key in keys] == [key.encoded for key in keys]
        assert {key async for key, _ in store.scan()} == set(keys)

    async def test_each_use_counts_a_turn_and_begins_the_time_anew(self, store, clock):
        await store.claim(A, PIN)
        clock.now += 6
        assert await store.get(A) == Held(PIN, 10, 2, 6)
        clock.now += 6
        assert await store.claim(A, OTHER) == Held(PIN, 10, 3, 12)
        clock.now += 10
        assert await store.get(A) is None

    async def test_a_fixed_time_goes_on_whatever_happens(self, made, clock):
        store = made(TtlPolicy.FIXED)
        await store.claim(A, PIN)
        clock.now += 6
        assert await store.get(A) == Held(PIN, 4, 2, 6)
        assert (await store.move(A, OTHER, PIN)).held == Held(OTHER, 4, 2, 0)
        assert (await store.move(A, PIN)).held == Held(PIN, 10, 2, 0)

    async def test_looking_is_not_using(self, store, clock):
        await store.claim(A, PIN)
        clock.now += 6
        assert await store.peek(A) == Held(PIN, 4, 1, 6)
        assert await store.peek(B) is None

    async def test_a_move_replaces_only_the_pin_it_expects(self, store):
        await store.claim(A, PIN)
        assert await store.move(A, OTHER, OTHER) == Moved(Held(PIN, 10, 1, 0))
        assert await store.move(A, OTHER, PIN) == Moved(Held(OTHER, 10, 1, 0), Held(PIN, 10, 1, 0))
        assert await store.move(B, OTHER, PIN) == Moved(Held(OTHER, 10, 1, 0))

    async def test_of_moves_at_once_from_the_same_pin_one_moves(self, store):
        await store.claim(A, PIN)
        pins = [evolve(OTHER, decided_at_s=float(n)) for n in range(20)]
        moved = await asyncio.gather(*(store.move(A, pin, PIN) for pin in pins))
        assert [each.was is not None for each in moved].count(True) == 1
        assert len({each.held.pin for each in moved}) == 1

    async def test_a_pin_is_as_old_as_its_sessions_time_with_the_model(self, store, clock):
        await store.claim(A, PIN)
        clock.now += 3
        assert (await store.move(A, evolve(PIN, mixed=True), PIN)).held.age_s == 3
        assert (await store.move(A, OTHER)).held.age_s == 0

    async def test_a_move_that_no_request_makes_changes_nothing_but_the_pin(self, store, clock):
        assert (await store.move(A, PIN, used=False)).held.turns == 0
        clock.now += 4
        assert (await store.move(A, OTHER, PIN, used=False)).held == Held(OTHER, 6, 0, 0)

    async def test_only_live_pins_are_scanned_and_counted(self, store, clock):
        await store.claim(A, PIN)
        clock.now += 5
        await store.claim(B, OTHER)
        clock.now += 7
        assert [(key, held.expires_in_s) async for key, held in store.scan()] == [(B, 3)]
        assert await store.count() == 1

    async def test_a_scan_finds_every_pin_once_and_is_no_use(self, store):
        keys = {SessionKey(str(n)) for n in range(90)}
        for key in keys:
            await store.claim(key, PIN)
        found = [(key, held.turns) async for key, held in store.scan()]
        assert sorted(found, key=str) == sorted(((key, 1) for key in keys), key=str)
        assert await store.count() == 90

    async def test_a_scan_says_who_named_each_session(self, store):
        key = SessionKey("a:1/b", "tenant", "lane", source="session-id")
        await store.claim(key, evolve(PIN, source="session-id"))
        assert [(found, found.source) async for found, _ in store.scan()] == [(key, "session-id")]

    async def test_a_deleted_pin_is_gone_and_was_not_expired(self, store):
        await store.claim(A, PIN)
        assert [await store.delete(A), await store.delete(A), await store.get(A)] == [True, False, None]
        assert not await store.expired(A)

    async def test_it_knows_which_sessions_expired_lately(self, store, clock):
        await store.claim(A, PIN)
        assert not await store.expired(A)
        clock.now += 12
        assert [await store.expired(A), await store.expired(B)] == [True, False]
        assert not await store.delete(A)
        assert await store.expired(A)
        clock.now += 8
        assert not await store.expired(A)

    async def test_a_failover_is_kept_beside_the_pin_through_moves(self, store):
        await store.note(A, FAILOVER)
        await store.claim(A, PIN)
        assert (await store.peek(A)).last_failover is None
        await store.note(A, FAILOVER)
        assert await store.get(A) == Held(PIN, 10, 2, 0, FAILOVER)
        assert (await store.move(A, OTHER)).held.last_failover == FAILOVER
        later = Failover(5.0, "late", "m/m")
        await store.note(A, later)
        assert (await store.peek(A)).last_failover == later

    async def test_a_pin_from_elsewhere_is_taken_up_unless_the_session_has_one(self, store):
        held = Held(OTHER, 3, 7, 5, FAILOVER)
        assert (await store.restore(A, held)).held == held
        assert await store.peek(A) == held
        assert await store.restore(A, held) is None
        assert (await store.restore(A, replace(held, turns=9), overwrite=True)).was == held
        assert (await store.restore(B, replace(held, expires_in_s=99))).held.expires_in_s == 10

    async def test_nobody_waits_for_a_lead_that_nobody_has(self, store):
        assert await store.lead(A) is None
        await store.resign(A)
        assert await store.lead(A) is None
        assert (await store.claim(A, PIN)).turns == 1

    async def test_it_says_that_it_is_well(self, store):
        well, line = await store.describe()
        assert (well, "\n" in line) == (True, False)

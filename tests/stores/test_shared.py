"""
A store that sidecars share, seen from two of them: what holds while it is there, while it is not, and when it is back.

Far is a table in this process that refuses, hangs or breaks when its test says so; tests/e2e/test_store_faults.py tells
the same of a real Redis.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from attrs import evolve

from sidecar.config.models import Breaker, CacheKind, SessionCache, TtlPolicy
from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import PinStore, StoreDown
from sidecar.stores.memory import MemoryStore
from sidecar.stores.reach import OPERATIONS, StoreWatch
from sidecar.stores.settling import AT_ONCE, Settled
from sidecar.stores.shared import SharedStore

A, B = SessionKey("a"), SessionKey("b")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), None, Reason.NO_MATCH, 0.0)
THIRD = Pin(("openai/gpt-4o-mini",), None, Reason.FAILOVER, 0.0, mixed=True)
FAILOVER = Failover(0.0, "refused", None)
SETTINGS = SessionCache(
    type=CacheKind.REDIS, command_timeout_s=0.03, flight_wait_s=0.05, breaker=Breaker(failures=2, cooldown_s=0.02)
)
PATIENT = evolve(SETTINGS, command_timeout_s=0.15, breaker=Breaker(failures=1000, cooldown_s=5))
"""For tests in which nobody gives up on far, on a machine that others keep waiting too."""
HANGS_S = 30


class Far:
    """What a test makes of `how`: up, refuses, hangs or breaks."""

    def __init__(self):
        self.how = "up"
        self.slow = None
        """The operation that waits for `gate`."""
        self.gate = asyncio.Event()
        self.restarted_empty()

    def restarted_empty(self, *, keeping_epoch=False):
        self.store = MemoryStore(PinTable(ttl_s=10, capacity=5000), lambda: 0.0)
        self.asked = Counter()
        self.claimed_by_another = None
        if not keeping_epoch:
            self.name = object()

    async def _be(self, operation):
        self.asked[operation] += 1
        if self.how == "refuses":
            raise StoreDown("refused")
        if self.how == "breaks":
            raise ZeroDivisionError
        await asyncio.sleep(HANGS_S if self.how == "hangs" else 0)
        if operation == self.slow:
            await self.gate.wait()

    def __getattr__(self, operation):
        async def ask(*arguments, **more):
            await self._be(operation)
            return await getattr(self.store, operation)(*arguments, **more)

        return ask

    def at_hand(self, _key):
        return None

    async def epoch(self):
        await self._be("epoch")
        return self.name

    async def lead(self, key):
        await self._be("lead")
        return None if self.claimed_by_another is None else await self.store.claim(key, self.claimed_by_another)

    async def scan(self):
        self.asked["scan"] += 1
        async for each in self.store.scan():
            await self._be("scanned")
            yield each


@pytest.fixture
def far():
    return Far()


@pytest.fixture
async def sidecar(far):
    """`await sidecar()`: the store of one more sidecar; `settled`: what it told of each session."""
    async with AsyncExitStack() as stack:

        async def begin(settings=SETTINGS, **more):
            near = MemoryStore(PinTable(ttl_s=10, capacity=1000), lambda: 0.0)
            store = SharedStore(near, far, settings, most=1000, clock=time.monotonic, **more)
            await stack.enter_async_context(store)
            await until(lambda: far.asked["epoch"])
            return store

        yield begin


async def until(condition):
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to be")


async def seconds(work):
    began = time.monotonic()
    await work
    return time.monotonic() - began


def operations(far):
    """What was asked of it, but for who looks whether it is there."""
    return Counter({name: count for name, count in far.asked.items() if name != "epoch"})


async def away(far, *stores, how="refuses"):
    """Far goes, and each of the stores has noticed."""
    far.how = how
    for store in stores:
        while store.is_up:
            await store.get(SessionKey(f"probe{far.asked.total()}"))


async def back(far, *stores):
    """Far is back, and each of the stores has settled with it."""
    far.how = "up"
    for store in stores:
        await until(lambda store=store: store.describe_now() == (True, "redis, up") and not store._settling._alone)
        await until(lambda store=store: not store._settling._wanted.is_set())


async def test_a_pin_that_one_sidecar_made_holds_for_all(sidecar):
    one, two = await sidecar(), await sidecar()
    assert (await one.claim(A, PIN)).pin == PIN
    assert (await two.claim(A, OTHER)).pin == PIN
    assert (await two.move(A, OTHER, PIN)).held.pin == OTHER
    assert (await one.get(A)).pin == OTHER


async def test_near_never_overrules_far_while_far_answers(sidecar):
    one, two = await sidecar(), await sidecar()
    await one.claim(A, PIN)
    await two.get(A)
    await two.delete(A)
    assert await one.get(A) is None
    assert (await one.claim(A, OTHER)).pin == OTHER


async def test_what_another_sidecar_deleted_does_not_come_back_with_an_outage(sidecar, far):
    one, two = await sidecar(), await sidecar()
    await one.claim(A, PIN)
    await two.delete(A)
    assert await one.get(A) is None
    await away(far, one)
    assert await one.get(A) is None
    await back(far, one)
    assert await two.get(A) is None


async def test_what_another_sidecar_pinned_while_we_waited_to_decide_is_taken(sidecar, far):
    store = await sidecar()
    assert await store.lead(A) is None
    far.claimed_by_another = PIN
    assert (await store.lead(A)).pin == PIN
    await away(far, store)
    assert (await store.get(A)).pin == PIN


@pytest.mark.parametrize("how", ["refuses", "hangs", "breaks"])
async def test_a_session_that_a_sidecar_knows_keeps_its_pin_while_far_is_away(sidecar, far, how):
    one, two = await sidecar(), await sidecar()
    await one.claim(A, PIN)
    assert (await two.get(A)).pin == PIN
    await away(far, one, two, how=how)
    assert [(await store.get(A)).pin for store in (one, two)] == [PIN, PIN]
    assert (await two.peek(A)).pin == PIN


@pytest.mark.parametrize("how", ["refuses", "hangs", "breaks"])
async def test_no_operation_fails_or_waits_long_while_far_is_away(sidecar, far, how):
    store = await sidecar(PATIENT)
    await store.claim(A, PIN)
    far.how = how
    work = [
        store.get(A), store.peek(B), store.expired(B), store.lead(B), store.resign(B), store.claim(B, PIN),
        store.move(A, OTHER), store.restore(B, Held(PIN, 3), overwrite=True), store.note(A, FAILOVER), store.delete(A),
    ]  # fmt: skip
    for each in work:
        before = operations(far).total()
        assert await seconds(each) < HANGS_S / 3
        assert operations(far).total() <= before + 1, "it waited more than once"
    assert store.is_up


async def test_a_request_waits_for_far_once_and_not_for_each_of_its_operations(sidecar, far):
    store = await sidecar(PATIENT)
    far.how = "hangs"

    async def first_turn():
        assert await store.get(A) is None
        assert not await store.expired(A)
        assert await store.lead(A) is None
        assert (await store.claim(A, PIN)).pin == PIN
        assert (await store.move(A, OTHER, PIN)).held.pin == OTHER
        await store.note(A, FAILOVER)
        assert await store.delete(A)

    assert await seconds(first_turn()) >= PATIENT.command_timeout_s
    assert operations(far) == {"get": 1}


async def test_far_is_left_alone_after_failures_in_a_row_and_then_tried_by_nobodys_request(sidecar, far):
    store = await sidecar(evolve(SETTINGS, breaker=Breaker(failures=2, cooldown_s=0.1)))
    await away(far, store)
    asked = far.asked.total()
    for n in range(100):
        await store.get(SessionKey(str(n)))
    assert far.asked.total() == asked
    await until(lambda: far.asked["epoch"] > 2)
    far.how = "up"
    await until(lambda: store.is_up)


async def test_far_that_answers_now_and_then_is_asked_on(sidecar, far):
    store = await sidecar()
    for n in range(5):
        far.how = "refuses"
        await store.get(SessionKey(str(n)))
        await back(far, store)
    assert store.is_up


async def test_pins_made_meanwhile_are_offered_when_far_is_back(sidecar, far):
    told = Counter()
    one, two = await sidecar(settled=lambda outcome: told.update([outcome])), await sidecar()
    await away(far, one)
    for n in range(AT_ONCE * 3):
        await one.claim(SessionKey(str(n)), PIN)
    await one.note(SessionKey("0"), FAILOVER)
    await back(far, one)
    assert (await two.get(SessionKey("0"))).last_failover == FAILOVER
    assert [(await two.claim(SessionKey(str(n)), OTHER)).pin for n in range(AT_ONCE * 3)] == [PIN] * AT_ONCE * 3
    assert told == {Settled.KEPT: AT_ONCE * 3}


async def test_of_two_pins_made_meanwhile_the_first_that_comes_to_far_wins_and_is_known_as_mixed(sidecar, far):
    told = Counter()
    one, two = await sidecar(settled=lambda outcome: told.update([outcome])), await sidecar()
    await away(far, one)
    await one.claim(A, PIN)
    await one.claim(B, PIN)
    await far.store.claim(A, OTHER)
    await back(far, one)
    assert [(await store.get(A)).pin for store in (one, two)] == [evolve(OTHER, mixed=True)] * 2
    assert (await two.get(B)).pin == PIN
    assert told == {Settled.KEPT: 1, Settled.CHANGED: 1}


async def test_a_move_made_meanwhile_is_made_in_far_too_unless_somebody_else_moved_it(sidecar, far):
    store = await sidecar()
    await store.claim(A, PIN)
    await store.claim(B, PIN)
    await away(far, store)
    await store.move(A, THIRD, PIN)
    await store.move(B, THIRD, PIN)
    await far.store.move(B, OTHER, PIN)
    await back(far, store)
    assert (await far.store.peek(A)).pin == THIRD
    assert (await far.store.peek(B)).pin == (await store.get(B)).pin == evolve(OTHER, mixed=True)


async def test_a_session_without_a_request_in_the_outage_follows_far_and_counts_for_nothing(sidecar, far):
    told = Counter()
    store = await sidecar(settled=lambda outcome: told.update([outcome]))
    await store.claim(A, PIN)
    await away(far, store)
    await far.store.move(A, OTHER, PIN)
    await back(far, store)
    assert (await store.get(A)).pin == (await far.store.peek(A)).pin == OTHER
    assert not told


async def test_what_happens_to_a_session_while_it_is_settled_is_settled_too(sidecar, far):
    store = await sidecar(evolve(SETTINGS, command_timeout_s=5))
    await away(far, store)
    await store.claim(A, PIN)
    far.slow, far.how = "restore", "up"
    await until(lambda: far.asked["restore"])
    await store.move(A, OTHER, PIN)
    far.gate.set()
    await back(far, store)
    assert (await far.store.peek(A)).pin == (await store.get(A)).pin == OTHER


async def test_no_more_sessions_are_remembered_as_served_alone_than_near_has_room_for(far):
    far.how = "refuses"
    near = MemoryStore(PinTable(ttl_s=10, capacity=3), lambda: 0.0)
    async with SharedStore(near, far, SETTINGS, most=3, clock=time.monotonic) as store:
        for n in range(9):
            await store.claim(SessionKey(str(n)), PIN)
        assert len(store._settling) == 3
        await back(far, store)
    assert [key.session_id async for key, _ in far.store.scan()] == ["6", "7", "8"]


async def test_a_deletion_made_meanwhile_is_made_in_far_too_unless_somebody_else_moved_it(sidecar, far):
    store = await sidecar()
    await store.claim(A, PIN)
    await store.claim(B, PIN)
    await away(far, store)
    assert [await store.delete(A), await store.delete(B)] == [True, True]
    await far.store.move(B, OTHER, PIN)
    await back(far, store)
    assert [await store.get(A), (await store.get(B)).pin] == [None, OTHER]


async def test_a_session_pinned_anew_after_its_deletion_keeps_the_new_pin(sidecar, far):
    store = await sidecar()
    await store.claim(A, PIN)
    await away(far, store)
    await store.delete(A)
    await store.claim(A, OTHER)
    await back(far, store)
    assert (await far.store.peek(A)).pin == OTHER


async def test_a_far_that_comes_back_empty_gets_every_pin_again(sidecar, far):
    one, two = await sidecar(), await sidecar()
    await one.claim(A, PIN)
    await two.get(A)
    await one.claim(B, OTHER)
    await away(far, one, two)
    far.restarted_empty(keeping_epoch=True)
    await back(far, one, two)
    assert [(await store.get(A)).pin for store in (one, two)] == [PIN, PIN]
    assert (await two.get(B)).pin == OTHER


async def test_a_far_that_lost_everything_while_nobody_looked_gets_every_pin_again(sidecar, far):
    store = await sidecar()
    keys = [SessionKey(str(n)) for n in range(AT_ONCE * 2 + 1)]
    for key in keys:
        await store.claim(key, PIN)
    far.restarted_empty()
    found = await asyncio.gather(*map(store.get, keys[:3]))
    assert [held.pin for held in found] == [PIN] * 3
    await back(far, store)
    assert await far.store.count() == len(keys)
    assert store.is_up


async def test_what_is_offered_again_keeps_its_age_and_the_rest_of_its_life(sidecar, far):
    store = await sidecar()
    held = Held(PIN, 4, 7, 5)
    await store.restore(A, held)
    far.restarted_empty()
    assert await store._settling.has_lost_all()
    await back(far, store)
    assert await far.store.peek(A) == held


async def test_a_session_used_while_far_was_away_has_a_whole_life_there_again(sidecar, far):
    now = [0.0]
    far.store = MemoryStore(PinTable(ttl_s=10, capacity=9), lambda: now[0])
    store = await sidecar()
    await store.claim(A, PIN)
    await store.claim(B, PIN)
    await away(far, store)
    now[0] = 6
    await store.get(A)
    await back(far, store)
    assert [(await far.store.peek(key)).expires_in_s for key in (A, B)] == [10, 4]


async def test_a_fixed_life_does_not_begin_anew_near(far):
    now = [0.0]
    far.store = MemoryStore(PinTable(ttl_s=10, capacity=9, policy=TtlPolicy.FIXED), lambda: now[0])
    near = MemoryStore(PinTable(ttl_s=10, capacity=9, policy=TtlPolicy.FIXED), lambda: now[0])
    async with SharedStore(near, far, SETTINGS, most=9, clock=time.monotonic) as store:
        await store.claim(A, PIN)
        now[0] = 6
        assert (await store.get(A)).expires_in_s == 4
        await away(far, store)
        assert (await store.get(A)).expires_in_s == 4


async def test_an_operator_sees_far_or_what_is_known_here(sidecar, far):
    one, two = await sidecar(), await sidecar()
    await one.claim(A, PIN)
    await two.claim(B, PIN)
    assert [[key async for key, _ in one.scan()], await one.count()] == [[A, B], 2]
    await away(far, one)
    assert [[key async for key, _ in one.scan()], await one.count()] == [[A], 1]


async def test_a_scan_that_far_breaks_off_goes_on_with_what_is_known_here(sidecar, far):
    store = await sidecar()
    await store.claim(A, PIN)
    await store.claim(B, PIN)
    found = []
    async for key, _ in store.scan():
        found.append(key)
        far.how = "refuses"
    assert found == [A, B]


async def test_far_may_be_away_at_the_start_which_is_noticed_without_a_request(sidecar, far):
    far.how = "refuses"
    store = await sidecar()
    await until(lambda: not store.is_up)
    assert await store.get(A) is None
    assert (await store.claim(A, PIN)).pin == PIN
    await back(far, store)
    assert (await far.store.peek(A)).pin == PIN


async def test_a_request_that_is_given_up_says_nothing_of_far(sidecar, far):
    store = await sidecar()
    far.how = "hangs"
    for _ in range(5):
        asking = asyncio.ensure_future(store.get(A))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert store.is_up


async def test_the_log_has_a_line_when_far_goes_and_when_it_is_back(sidecar, far, caplog):
    caplog.set_level(logging.INFO, "sidecar.store")
    store = await sidecar()
    await away(far, store)
    for n in range(50):
        await store.claim(SessionKey(str(n)), PIN)
    await asyncio.sleep(SETTINGS.breaker.cooldown_s * 3)
    await back(far, store)
    down, up, settled = (record.getMessage() for record in caplog.records)
    assert down == "the store redis is down, the pins in this process serve meanwhile: refused"
    assert up.startswith("the store redis answers again, after 0.")
    assert settled == "pins settled with the store: 50 kept, 0 took another sidecar's model"


async def test_it_says_how_far_is_and_since_when(sidecar, far):
    store = await sidecar()
    assert await store.describe() == (True, "redis, up")
    await away(far, store)
    await store.claim(A, PIN)
    well, said = store.describe_now()
    assert not well
    assert said.startswith("redis, down for 0 s, ")
    assert "; sessions to be settled with it: " in said


async def test_every_operation_is_counted_and_timed_and_every_failure(sidecar, far):
    asked, failed, took = Counter(), Counter(), Counter()
    watch = StoreWatch(
        lambda name: lambda: asked.update([name]),
        lambda name: lambda: failed.update([name]),
        lambda name: lambda seconds: took.update({name: seconds}),
    )
    store = await sidecar(watch=watch)
    await store.get(A)
    await store.claim(A, PIN)
    assert (await store.count(), [key async for key, _ in store.scan()]) == (1, [A])
    assert (asked, failed) == ({"epoch": 1, "get": 1, "claim": 1, "count": 1, "scan": 1}, {})
    far.how = "refuses"
    await store.get(A)
    await store.get(A)
    assert (asked["get"], failed["get"]) == (2, 1)
    assert all(took[operation] >= 0 for operation in took)
    assert set(asked) <= set(OPERATIONS)


async def test_it_is_a_store_like_any_other(sidecar):
    store: PinStore = await sidecar()
    await store.claim(A, PIN)
    assert await store.restore(A, Held(OTHER, 3)) is None
    assert (await store.restore(A, Held(OTHER, 3), overwrite=True)).was.pin == PIN
    assert (await store.peek(A)).pin == OTHER
    await store.note(A, FAILOVER)
    await store.resign(A)
    assert (await store.get(A)).last_failover == FAILOVER
    assert [await store.delete(A), await store.delete(A), await store.expired(A)] == [True, False, False]

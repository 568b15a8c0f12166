"""Over random operations and times, every store does what a dictionary in a few lines says."""

import asyncio
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.config.models import Secret, SessionCache, TtlPolicy
from sidecar.routing.decision import Failover, Held, Moved, Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores.connect import connect
from sidecar.stores.memory import MemoryStore
from sidecar.stores.redis import RedisStore

TTL_S = 10
KEYS = [SessionKey(text) for text in ("a", "{b}")]
PINS = [
    Pin(("m/one",), "code", Reason.ROUTED, 1.0),
    Pin(("m/one", "m/two"), "code", Reason.FAILOVER, 2.0, mixed=True),
    Pin(("m/two",), None, Reason.NO_MATCH, 3.0, confidence=0.5, scores=(("code", 0.25),)),
]
FAILOVERS = [Failover(1.0, "refused", None), Failover(2.0, "late", "m/two")]


class Reference:
    """What a store is, told as shortly as possible. A pin is kept as (when it expires, when it was made, the rest)."""

    def __init__(self, *, sliding):
        self.pins, self.sliding = {}, sliding

    def peek(self, key, now):
        expires_at, made_at, held = self.pins.get(key, (0, 0, None))
        return replace(held, expires_in_s=expires_at - now, age_s=now - made_at) if expires_at > now else None

    def put(self, key, now, held):
        self.pins[key] = (now + held.expires_in_s, now - held.age_s, held)
        return held

    def expired(self, key, now):
        return self.peek(key, now) is None and key in self.pins and self.pins[key][0] + TTL_S > now

    def get(self, key, now):
        held = self.peek(key, now)
        life_s = TTL_S if self.sliding else held and held.expires_in_s
        return held and self.put(key, now, replace(held, expires_in_s=life_s, turns=held.turns + 1))

    def claim(self, key, now, pin):
        return self.get(key, now) or self.put(key, now, Held(pin, TTL_S, 1))

    def move(self, key, now, pin, instead_of, used):
        was = self.peek(key, now)
        if was is None:
            return Moved(self.put(key, now, Held(pin, TTL_S, int(used))))
        if instead_of not in (None, was.pin):
            return Moved(was)
        anew = instead_of is None or (used and self.sliding)
        age_s = was.age_s if pin.model == was.pin.model else 0
        life_s = TTL_S if anew else was.expires_in_s
        return Moved(self.put(key, now, replace(was, pin=pin, expires_in_s=life_s, age_s=age_s)), was)

    def restore(self, key, now, held, overwrite):
        was = self.peek(key, now)
        life_s = min(held.expires_in_s, TTL_S)
        return None if was and not overwrite else Moved(self.put(key, now, replace(held, expires_in_s=life_s)), was)

    def note(self, key, now, failover):
        if held := self.peek(key, now):
            self.put(key, now, replace(held, last_failover=failover))

    def delete(self, key, now):
        return self.peek(key, now) is not None and bool(self.pins.pop(key))

    def count(self, _key, now):
        return sum(self.peek(key, now) is not None for key in self.pins)

    def scan(self, _key, now):
        return {(key, self.peek(key, now)) for key in self.pins if self.peek(key, now)}


async def ask(store, operation, key, arguments):
    """Of a store what the reference gives."""
    if operation == "scan":
        return {found async for found in store.scan()}
    if operation == "count":
        return await store.count()
    if operation in ("move", "restore"):
        *first, last = arguments
        return await getattr(store, operation)(
            key, *first, **{"move": {"used": last}, "restore": {"overwrite": last}}[operation]
        )
    return await getattr(store, operation)(key, *arguments)


pins, failovers, yes_no = st.sampled_from(PINS), st.sampled_from(FAILOVERS), st.booleans()
some_held = st.builds(Held, pins, st.integers(1, 15), st.integers(0, 9), st.integers(0, 99), st.none() | failovers)
operations = st.one_of(
    *(st.tuples(st.just(name), st.tuples()) for name in ("get", "peek", "expired", "delete", "count", "scan")),
    st.tuples(st.just("claim"), st.tuples(pins)),
    st.tuples(st.just("note"), st.tuples(failovers)),
    st.tuples(st.just("move"), st.tuples(pins, st.none() | pins, yes_no)),
    st.tuples(st.just("restore"), st.tuples(some_held, yes_no)),
)
stories = st.lists(st.tuples(st.integers(0, 11), st.sampled_from(KEYS), operations), max_size=30)


async def _made(copying):
    """Until copies are."""
    for _ in range(10_000):
        if copying._copies.began() is not None:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("no copies are made")


def test_memory_and_redis_do_what_the_reference_says(server, prefix):
    numbers = count()

    async def live_through(redis, story, policy):
        now = [1_000_000.0]
        table = PinTable(ttl_s=TTL_S, capacity=100, policy=policy)
        memory = MemoryStore(table, lambda: now[0])
        own = f"{prefix}{next(numbers)}:"
        far = RedisStore(redis, ttl_s=TTL_S, policy=policy, key_prefix=own, clock=lambda: now[0])
        client = connect(cache)
        copying = RedisStore(client, ttl_s=TTL_S, policy=policy, key_prefix=f"{own}c:", clock=lambda: now[0], copies=2)
        await copying.get(KEYS[0])
        await _made(copying)
        reference = Reference(sliding=policy is TtlPolicy.SLIDING)
        for later_s, key, (operation, arguments) in story:
            now[0] += later_s
            expected = getattr(reference, operation)(key, now[0], *arguments)
            assert await ask(memory, operation, key, arguments) == expected
            assert await ask(far, operation, key, arguments) == expected
            assert await ask(copying, operation, key, arguments) == expected
        await copying.aclose()
        await client.aclose()

    with asyncio.Runner() as runner:
        cache = SessionCache(url=Secret(server.url), command_timeout_s=10.0)

        async def begin():
            return connect(cache)

        redis = runner.run(begin())

        @settings(max_examples=120)
        @given(stories, st.sampled_from(TtlPolicy))
        def live(story, policy):
            runner.run(live_through(redis, story, policy))

        try:
            live()
        finally:
            runner.run(redis.aclose())

"""The shared store: what only a Redis can do to us, and what several sidecars are to each other."""

import asyncio
import time
from collections import Counter

import msgspec
import pytest
from redis_servers import redis_server

from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.routing.session import SessionKey
from sidecar.stores import StoreDown
from sidecar.stores.redis import RedisStore
from sidecar.stores.values import HEAD, pin_bytes

A = SessionKey("run-1/{secret}")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), None, Reason.NO_MATCH, 0.0)


async def scripts_run(store):
    """How often a script was called over the network, since the server began."""
    stats = await store._redis.client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "eval"))


async def test_each_operation_is_one_round_trip(a_store):
    store = a_store()
    await store.get(A)  # which makes the script known
    operations = [
        ("get", lambda: store.get(A)),
        ("lead", lambda: store.lead(A)),
        ("claim", lambda: store.claim(A, PIN)),
        ("hit", lambda: store.get(A)),
        ("claim of the loser", lambda: store.claim(A, OTHER)),
        ("lead of the late", lambda: store.lead(A)),
        ("move", lambda: store.move(A, OTHER, PIN)),
        ("move in vain", lambda: store.move(A, OTHER, PIN)),
        ("note", lambda: store.note(A, Failover(0.0, "late", None))),
        ("restore", lambda: store.restore(A, Held(PIN, 5))),
        ("delete", lambda: store.delete(A)),
    ]
    for name, operation in operations:
        before = await scripts_run(store)
        await operation()
        assert (name, await scripts_run(store) - before) == (name, 1)


async def test_a_server_that_forgot_the_script_is_told_again(a_store):
    store = a_store()
    await store.claim(A, PIN)
    await store._redis.ask("SCRIPT", "FLUSH")
    assert (await store.get(A)).turns == 2


async def test_the_servers_clock_counts_and_redis_tidies_up_later(a_store):
    store = a_store(ttl_s=1.0)
    await store.claim(A, PIN)
    assert 1000 < await store._redis.ask("PTTL", store._name_of(A)) <= 2001
    await asyncio.sleep(1.05)
    assert [await store.get(A), await store.expired(A), await store.count()] == [None, True, 0]
    await asyncio.sleep(1.05)
    assert [await store.expired(A), await store._redis.ask("EXISTS", store._name_of(A))] == [False, 0]


BENT = HEAD.pack(1, ord("P"), 9e9, 0.0, 3, 4, 0) + b"\xc1bad"
UNREADABLE = {
    "rubbish": b"rubbish",
    "nothing": b"",
    "another version": HEAD.pack(2, ord("P"), 9e9, 0.0, 3, 4, 0) + b"\xc1bad",
    "cut off": HEAD.pack(1, ord("P"), 9e9, 0.0, 3, 40, 0) + b"short",
    "a short lease": b"\x01L",
    "a head that is well and a body that is not": BENT,
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("operation", ["claim", "move", "restore", "lead"])
async def test_what_cannot_be_read_is_a_miss_is_counted_and_is_written_over(a_store, kind, operation):
    unreadable = []
    store = a_store(unreadable=lambda: unreadable.append(1))
    await store._redis.ask("SET", store._name_of(A), UNREADABLE[kind])
    assert [await store.get(A), await store.peek(A), await store.count() <= 1] == [None, None, True]
    assert len(unreadable) == 2
    assert [found async for found in store.scan()] == []
    if operation == "move":
        assert (await store.move(A, PIN, OTHER)).held.pin == PIN
    elif operation == "restore":
        assert (await store.restore(A, Held(PIN, 5))).held.pin == PIN
    elif operation == "claim" or await store.lead(A) is None:
        await store.claim(A, PIN)
    held = await store.peek(A)
    assert (held.pin, held.turns <= 1) == (PIN, True)


async def test_a_value_of_another_kind_is_unreadable_too(a_store):
    store = a_store()
    await store._redis.ask("RPUSH", store._name_of(A), "a")
    assert [await store.get(A), await store.count(), [found async for found in store.scan()]] == [None, 0, []]
    assert (await store.claim(A, PIN)).pin == PIN


async def test_a_pin_that_is_over_when_it_comes_is_no_pin_and_nothing_unreadable(a_store):
    unreadable = []
    store = a_store(unreadable=lambda: unreadable.append(1))
    assert (await store.restore(A, Held(PIN, -1.0))).held.expires_in_s == -1
    assert [await store.get(A), await store.expired(A), unreadable] == [None, True, []]


async def test_keys_of_others_under_our_prefix_are_left_alone(a_store):
    store = a_store()
    await store.claim(A, PIN)
    await store._redis.ask("COPY", store._name_of(A), store._prefix + b"somebody's")
    assert [key async for key, _ in store.scan()] == [A]


async def test_what_is_no_pin_of_ours_is_neither_counted_nor_called_unreadable(a_store, prefix):
    unreadable = []
    store, other = a_store(unreadable=lambda: unreadable.append(1)), a_store(key_prefix=f"{prefix}staging:")
    await asyncio.gather(store.epoch(), other.epoch(), store.claim(A, PIN), other.claim(A, PIN))
    assert (await store.count(), [key async for key, _ in store.scan()], unreadable) == (1, [A], [])


async def test_a_prefix_is_no_pattern(a_store):
    starred, plain = a_store(key_prefix="x*[a]?:"), a_store(key_prefix="xyz[a]b:")
    await plain.claim(A, PIN)
    assert [await starred.count(), await plain.count()] == [0, 1]


async def test_a_pin_of_another_release_is_moved_by_what_it_says_not_by_its_bytes(a_store):
    store = a_store()
    await store.claim(A, PIN)
    name = store._name_of(A)
    record = await store._redis.ask("GET", name)
    later = msgspec.msgpack.encode([*msgspec.msgpack.decode(pin_bytes(PIN)), "new"])
    head = HEAD.unpack_from(record)
    await store._redis.ask("SET", name, HEAD.pack(*head[:5], len(later), 0) + later)
    held = await store.get(A)
    assert (await store.move(A, OTHER, held.pin)).held.pin == OTHER


async def test_of_sidecars_that_ask_at_once_one_leads_and_the_others_get_its_pin(a_store):
    stores = [a_store(flight_wait_s=20.0) for _ in range(8)]
    decided = Counter()

    async def first_turn(store, pin):
        held = await store.lead(A)
        if held is not None:
            return held.pin
        decided["times"] += 1
        await asyncio.sleep(0.05)
        return (await store.claim(A, pin)).pin

    pins = [Pin((f"m/{n}",), None, Reason.ROUTED, 0.0) for n in range(8)]
    got = await asyncio.gather(*map(first_turn, stores, pins))
    assert (decided["times"], len(set(got))) == (1, 1)
    assert (await stores[0].peek(A)).turns == 8


async def test_nobody_waits_longer_than_the_bound_for_one_that_never_claims(a_store):
    leader, other = a_store(flight_wait_s=0.3), a_store(flight_wait_s=0.3)
    assert await leader.lead(A) is None
    started = time.monotonic()
    assert await other.lead(A) is None
    assert 0.2 < time.monotonic() - started < 5


async def test_whoever_leads_already_need_not_wait(a_store):
    store = a_store(flight_wait_s=60.0)
    assert [await store.lead(A), await store.lead(A)] == [None, None]


async def test_one_who_resigns_lets_the_next_lead(a_store):
    leader, other, third = (a_store(flight_wait_s=60.0) for _ in range(3))
    await leader.lead(A)
    waiting = asyncio.ensure_future(other.lead(A))
    await asyncio.sleep(0.02)
    await third.resign(A)  # which is not third's to do
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await leader.resign(A)
    assert await waiting is None


async def test_a_lead_does_not_forget_that_the_session_expired_lately(a_store):
    now = [1_000_000.0]
    store = a_store(clock=lambda: now[0])
    await store.claim(A, PIN)
    now[0] += 12
    await store.lead(A)
    assert await store.expired(A)
    await store.resign(A)
    assert [await store.expired(A), await store.count()] == [True, 0]


async def test_a_full_redis_still_gives_the_pins_it_has(reach, tmp_path):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url), ttl_s=10)
        await store.claim(A, PIN)
        server.cli("CONFIG", "SET", "maxmemory", "1")
        assert (await store.get(A)).pin == PIN
        with pytest.raises(StoreDown, match="OutOfMemoryError"):
            await store.claim(SessionKey("b"), PIN)
        server.cli("CONFIG", "SET", "maxmemory", "0")
        assert (await store.get(A)).turns == 2


async def test_a_replica_is_down_for_us_for_it_takes_no_pins(reach, tmp_path):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url), ttl_s=10)
        await store.claim(A, PIN)
        server.cli("REPLICAOF", "127.0.0.1", "1")
        for operation in (store.get(A), store.claim(SessionKey("b"), PIN)):
            with pytest.raises(StoreDown):
                await operation


async def test_a_restart_that_lost_everything_is_another_epoch_and_one_that_did_not_is_the_same(reach, tmp_path):
    with redis_server(tmp_path, "--save", "", "--appendonly", "yes", "--appendfsync", "always") as server:
        store = RedisStore(reach(server.url), ttl_s=10)
        epoch = await store.epoch()
        server.kill()
        server.start()
        assert await store.epoch() == epoch
        server.cli("FLUSHALL")
        assert await store.epoch() != epoch


async def test_every_operation_on_a_frozen_server_ends_in_time_and_names_no_session(reach, tmp_path):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url, command_timeout_s=0.1), ttl_s=10, flight_wait_s=0.1)
        server.freeze()
        operations = [
            store.get(A), store.peek(A), store.expired(A), store.lead(A), store.resign(A), store.claim(A, PIN),
            store.move(A, PIN), store.restore(A, Held(PIN, 5)), store.note(A, Failover(0.0, "late", None)),
            store.delete(A), store.epoch(),
        ]  # fmt: skip
        for operation in operations:
            started = time.monotonic()
            with pytest.raises(StoreDown) as raised:
                await operation
            assert time.monotonic() - started < 5
            assert "secret" not in str(raised.value)
        assert (await store.describe())[0] is False


async def test_each_operation_is_counted_under_its_name(a_store):
    counts = Counter()
    store = a_store(counter=lambda name: lambda: counts.update([name]))
    await store.claim(A, PIN)
    await store.get(A)
    await store.move(A, OTHER)
    assert [key async for key, _ in store.scan()] == [A]
    await store.delete(A)
    await store.peek(A)
    assert counts == {"claim": 1, "get": 1, "move": 1, "scan": 1, "delete": 1}

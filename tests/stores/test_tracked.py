"""Answers from copies of pins in a real Redis: what ends a copy, and that Redis hears of every use."""

import asyncio
import logging
import random
import time

import pytest
from redis_servers import redis_server

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.routing.session import SessionKey
from sidecar.stores import StoreDown
from sidecar.stores.redis import RedisStore
from sidecar.stores.tracked import MAX_AGE_S

A, B = SessionKey("run-1/{secret}"), SessionKey("b")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), None, Reason.NO_MATCH, 0.0)
TRACKING = b"*4\r\n$6\r\nCLIENT\r\n$8\r\nTRACKING\r\n$2\r\nON\r\n$6\r\nNOLOOP\r\n"
HELLO = b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to be")


def copies_are_made(store):
    return store._copies.began() is not None


def has_to_tell(store, key=A):
    return store._copies._copies.has_to_tell_of(store._name_of(key))


@pytest.fixture
def copying(a_store):
    """`await copying(…)`: one more sidecar's store, which answers from copies as soon as it is given."""

    async def make(**more):
        store = a_store(copies=100, **more)
        await store.get(SessionKey("whoever comes first"))
        await until(lambda: copies_are_made(store))
        return store

    return make


async def at_hand(store, key=A):
    """What a copy says, once there is one."""
    while (held := store.at_hand(key)) is None:
        assert await store.get(key) is not None
    return held


async def has_a_copy(store):
    """Of PIN, which is made for it."""
    await store.claim(A, PIN)
    await until(lambda: copies_are_made(store))
    await at_hand(store)


async def _renamed(store, server):
    await store.claim(B, OTHER)
    await asyncio.to_thread(server.cli, "RENAME", store._name_of(B), store._name_of(A))


CHANGES = {
    "moves it": lambda store, _server: store.move(A, OTHER),
    "moves it unless it has moved": lambda store, _server: store.move(A, OTHER, PIN),
    "moves it for no request": lambda store, _server: store.move(A, OTHER, PIN, used=False),
    "deletes it": lambda store, _server: store.delete(A),
    "writes another over it": lambda store, _server: store.restore(A, Held(OTHER, 5), overwrite=True),
    "notes a failover": lambda store, _server: store.note(A, Failover(1.0, "late", None)),
    "uses it": lambda store, _server: store.get(A),
    "claims it in vain": lambda store, _server: store.claim(A, OTHER),
    "leads in vain": lambda store, _server: store.lead(A),
    "removes the key": lambda store, server: asyncio.to_thread(server.cli, "DEL", store._name_of(A).decode()),
    "lets the key expire": lambda store, server: asyncio.to_thread(server.cli, "PEXPIREAT", store._name_of(A), "1"),
    "writes rubbish": lambda store, server: asyncio.to_thread(server.cli, "SET", store._name_of(A), "rubbish"),
    "renames a key over it": _renamed,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_another_does_to_a_pin_ends_the_copy(copying, a_store, server, change):
    mine, other = await copying(), a_store()
    await mine.claim(A, PIN)
    assert (await at_hand(mine)).pin == PIN
    await CHANGES[change](other, server)
    await until(lambda: mine.at_hand(A) is None)
    now = await other.peek(A)
    held = await mine.get(A)
    assert (held and (held.pin, held.last_failover)) == (now and (now.pin, now.last_failover))
    assert held is None or held.turns > now.turns


@pytest.mark.parametrize("words", [("FLUSHALL",), ("FLUSHDB", "ASYNC")])
async def test_what_is_flushed_is_in_no_copy(reach, tmp_path, words):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url), ttl_s=10, copies=10)
        await has_a_copy(store)
        server.cli(*words)
        await until(lambda: store.at_hand(A) is None)
        assert await store.get(A) is None


OWN = {
    "move": lambda store: store.move(A, OTHER, PIN),
    "restore": lambda store: store.restore(A, Held(OTHER, 5), overwrite=True),
    "note": lambda store: store.note(A, Failover(1.0, "late", None)),
    "delete": lambda store: store.delete(A),
}


@pytest.mark.parametrize("operation", OWN)
async def test_what_it_does_to_a_pin_itself_it_sees_at_once(copying, operation):
    store = await copying()
    await store.claim(A, PIN)
    await at_hand(store)
    await OWN[operation](store)
    assert store.at_hand(A) is None
    held = await store.get(A)
    assert (held and held.pin) == {"delete": None, "note": PIN}.get(operation, OTHER)


async def test_after_its_own_use_it_still_hears_of_others(copying, a_store):
    mine, other = await copying(), a_store()
    await mine.claim(A, PIN)
    for pin in (OTHER, PIN, OTHER):
        await at_hand(mine)
        await mine._copies.tell()
        assert mine.at_hand(A) is not None
        await other.move(A, pin)
        await until(lambda: mine.at_hand(A) is None)
        assert (await mine.get(A)).pin == pin


async def test_redis_is_told_of_every_use_soon_and_of_many_in_one_command(copying, a_store):
    mine, other = await copying(), a_store()
    keys = [SessionKey(str(n)) for n in range(50)]
    for key in keys:
        await mine.claim(key, PIN)
        await mine.get(key)
    before = (await mine._redis.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await asyncio.sleep(0.05)
    assert all(mine.at_hand(key).turns for key in keys for _ in range(3))
    await until(lambda: not has_to_tell(mine, keys[0]))
    await mine._copies.tell()
    after = (await mine._redis.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    assert [(await other.peek(key)).turns for key in keys] == [5] * 50
    assert after - before <= 2
    assert [(await mine.get(key)).turns for key in keys] == [6] * 50


async def test_a_session_that_is_answered_from_its_copy_keeps_its_pin_in_redis(copying, a_store):
    now = [1_000_000.0]
    mine, other = await copying(clock=lambda: now[0]), a_store(clock=lambda: now[0])
    await mine.claim(A, PIN)
    for _ in range(5):
        held = await at_hand(mine)
        await mine._copies.tell()
        now[0] += 6
        assert (held.expires_in_s, (await other.peek(A)).expires_in_s) == (10, 4)
    now[0] += 4
    assert [mine.at_hand(A), await mine.get(A), await other.peek(A)] == [None, None, None]


async def test_a_use_counts_from_when_it_was_not_from_when_it_was_told(copying, a_store):
    now = [1_000_000.0]
    mine, other = await copying(clock=lambda: now[0]), a_store(clock=lambda: now[0])
    await mine.claim(A, PIN)
    now[0] += 8
    await at_hand(mine)
    now[0] += 5
    assert (await mine.peek(A)).expires_in_s == 5
    assert (await other.get(A)).turns == 4


async def test_a_fixed_time_to_live_is_over_for_the_copy_as_well(copying):
    now = [1_000_000.0]
    store = await copying(clock=lambda: now[0], policy=TtlPolicy.FIXED)
    await store.claim(A, PIN)
    now[0] += 6
    assert (await at_hand(store)).expires_in_s == 4
    now[0] += 4
    assert [store.at_hand(A), await store.get(A)] == [None, None]


async def test_another_time_to_live_is_in_force_at_once(copying):
    store = await copying()
    await store.claim(A, PIN)
    await at_hand(store)
    store.configure(100, TtlPolicy.SLIDING)
    assert [store.at_hand(A), (await store.get(A)).expires_in_s, (await at_hand(store)).expires_in_s] == [
        None,
        100,
        100,
    ]


async def test_who_has_not_heard_of_redis_for_a_moment_asks(copying):
    store = await copying()
    await store.claim(A, PIN)
    await at_hand(store)
    await store._copies.tell()
    await asyncio.sleep(MAX_AGE_S + 0.01)
    assert store.at_hand(A) is None
    assert (await store.get(A)).turns == 4
    assert store.at_hand(A).turns == 5


async def test_closing_tells_what_is_still_to_be_told(copying, a_store):
    mine, other = await copying(), a_store()
    await mine.claim(A, PIN)
    await at_hand(mine)
    await mine.aclose()
    assert (await other.peek(A)).turns == 3


@pytest.mark.parametrize("how", ["frozen", "paused"])
async def test_no_copy_answers_for_longer_than_the_bound_while_redis_is_silent(reach, tmp_path, how):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url, command_timeout_s=0.2), ttl_s=10, copies=10)
        await store._redis.ask("PING", within_s=10)
        await has_a_copy(store)
        if how == "frozen":
            server.freeze()
        else:
            await asyncio.to_thread(server.cli, "CLIENT", "PAUSE", "1500", "ALL")
        began = time.monotonic()
        await until(lambda: store.at_hand(A) is None)
        assert time.monotonic() - began < MAX_AGE_S + 1
        with pytest.raises(StoreDown):
            await store.get(A)
        server.thaw()
        other = RedisStore(reach(server.url), ttl_s=10)
        uses = (await other.peek(A)).turns
        await until(lambda: not has_to_tell(store))
        assert (await store.get(A)).turns > uses


async def test_a_silence_of_this_process_counts_as_one_of_redis(copying, a_store):
    mine, other = await copying(), a_store()
    await mine.claim(A, PIN)
    await at_hand(mine)
    time.sleep(MAX_AGE_S + 0.01)  # noqa: ASYNC251 - that is the point
    assert mine.at_hand(A) is None
    await other.peek(A)


async def test_with_its_connection_all_copies_go_and_what_was_not_told_is_told_over_the_next(copying, a_store, server):
    mine, other = await copying(), a_store()
    await mine.claim(A, PIN)
    await other.claim(B, PIN)
    await at_hand(mine)
    was = mine._copies._trial
    server.cli("CLIENT", "KILL", "TYPE", "normal")
    await until(lambda: mine._copies._trial != was)
    assert mine.at_hand(A) is None
    await until(lambda: not has_to_tell(mine))
    assert (await mine.get(A)).turns >= 4
    await until(lambda: copies_are_made(mine))
    await other.move(A, OTHER)
    await until(lambda: (held := mine.at_hand(A)) is None or held.pin == OTHER)  # Redis tells us in its own time
    assert (await at_hand(mine)).pin == OTHER


async def test_uses_are_told_of_when_a_redis_that_was_away_is_back(reach, tmp_path):
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        store, other = RedisStore(reach(server.url), ttl_s=60, copies=10), RedisStore(reach(server.url), ttl_s=60)
        await has_a_copy(store)
        await store._copies.tell()
        used = store.at_hand(A)
        server.kill()
        await until(lambda: not copies_are_made(store))
        await asyncio.sleep(0.05)
        server.start()
        for _ in range(500):
            if (await other.peek(A)).turns == used.turns:
                break
            await asyncio.sleep(0.01)
        assert (await other.peek(A)).turns == used.turns == 4


async def test_uses_of_a_copy_that_has_ended_come_before_the_next(copying, a_store):
    mine, other = await copying(), a_store()
    await mine.claim(A, PIN)
    for _ in range(10):
        turns = (await at_hand(mine)).turns
        await other.note(A, Failover(1.0, "late", None))
        while mine.at_hand(A) is not None:
            turns += 1
            await asyncio.sleep(0)
        assert (await mine.get(A)).turns == turns + 1


async def test_a_server_that_comes_back_empty_is_believed(reach, tmp_path):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url), ttl_s=10, copies=10)
        await has_a_copy(store)
        server.kill()
        server.start()
        await until(lambda: store.at_hand(A) is None)
        assert await store.get(A) is None
        await until(lambda: copies_are_made(store))


async def test_a_full_redis_is_asked_each_time_for_it_takes_no_uses(reach, tmp_path):
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url), ttl_s=10, copies=10)
        await has_a_copy(store)
        server.cli("CONFIG", "SET", "maxmemory", "1")
        store.at_hand(A)
        await store._copies.tell()
        assert [store.at_hand(A), (await store.get(A)).pin] == [None, PIN]


async def test_a_copy_that_redis_no_longer_has_goes_even_if_nobody_tells(reach, tmp_path):
    """Databases that are swapped change every key of both, and Redis tells nobody."""
    with redis_server(tmp_path) as server:
        store = RedisStore(reach(server.url), ttl_s=10, copies=10)
        await has_a_copy(store)
        server.cli("SWAPDB", "0", "1")
        store.at_hand(A)
        await until(lambda: store.at_hand(A) is None)
        assert await store.get(A) is None


async def test_over_many_changes_at_once_no_copy_is_left_that_is_not_true(copying, a_store):
    chance = random.Random(7)  # noqa: S311 - chance that comes again
    mine, other = await copying(), a_store()
    keys = [SessionKey(str(n)) for n in range(5)]
    pins = [Pin((f"m/{n}",), None, Reason.ROUTED, 0.0) for n in range(50)]

    async def use(key):
        for _ in range(8):
            if mine.at_hand(key) is None:
                await mine.get(key)

    async def change(store, key):
        match chance.randrange(3):
            case 0:
                await store.move(key, chance.choice(pins))
            case 1:
                await store.delete(key)
            case _:
                await store.claim(key, chance.choice(pins))

    for _ in range(60):
        works = [use(key) for key in keys] + [change(chance.choice([mine, other]), key) for key in keys * 2]
        chance.shuffle(works)
        await asyncio.gather(*works)
        await mine._copies.tell()
        await mine._redis.ask("PING")
        for key in keys:
            held, truth = mine.at_hand(key), await other.peek(key)
            assert held is None or held.pin == truth.pin


@pytest.fixture
async def between(server):
    """`await between(found, instead)`: the port of a proxy to the server that puts `instead` for what is `found`."""
    serving = []

    async def carry(reader, writer, found, instead):
        while data := await reader.read(65536):
            if found in data and instead is None:
                break
            writer.write(data.replace(found, instead or b""))
        writer.close()

    async def begin(found, instead):
        async def serve(reader, writer):
            serving.append(asyncio.current_task())
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
            try:
                ways = carry(reader, far_writer, found, instead), carry(far_reader, writer, b"\0no such", b"")
                await asyncio.wait([asyncio.ensure_future(way) for way in ways])
            finally:
                for each in (writer, far_writer):
                    each.close()

        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        serving.append(asyncio.create_task(listening.serve_forever()))
        return listening.sockets[0].getsockname()[1]

    yield begin
    for each in serving:
        each.cancel()
    await asyncio.wait(serving)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("found", "instead", "why"),
    [
        (HELLO, b"*1\r\n$7\r\nNOTHING\r\n", "ResponseError ERR"),
        (TRACKING, b"*1\r\n$7\r\nNOTHING\r\n", "ResponseError ERR"),
        (TRACKING, b"*1\r\n$4\r\nPING\r\n", "it does not tell of changes"),
        (HELLO, None, "it ended the connection that asked for it"),
    ],
    ids=["no RESP3", "no tracking", "tracking in name only", "hangs up"],
)
async def test_where_redis_does_not_tell_each_pin_is_asked_for(between, reach, prefix, caplog, found, instead, why):
    port = await between(found, instead)
    with caplog.at_level(logging.WARNING, "sidecar.store"):
        store = RedisStore(reach(f"redis://127.0.0.1:{port}"), ttl_s=10, key_prefix=prefix, copies=10)
        store._copies._tried_for_s = 0.2
        if instead is None:
            with pytest.raises(StoreDown):
                await store.claim(A, PIN)
        await store.claim(A, PIN)
        await until(lambda: caplog.messages)
    assert [(await store.get(A)).turns, store.at_hand(A), (await store.get(A)).turns] == [2, None, 3]
    (message,) = caplog.messages
    assert message == f"routing.session_cache.copies: every pin is asked for, redis at 127.0.0.1:{port}: {why}"


async def test_a_user_who_may_not_track_asks_for_each_pin(reach, tmp_path, caplog):
    with redis_server(tmp_path) as server, caplog.at_level(logging.WARNING, "sidecar.store"):
        server.cli("ACL", "SETUSER", "pins", "on", ">secret", "~*", "&*", "+@all", "-client")
        store = RedisStore(reach(f"redis://pins:secret@127.0.0.1:{server.port}"), ttl_s=10, copies=10)
        await store.claim(A, PIN)
        assert [(await store.get(A)).turns, store.at_hand(A)] == [2, None]
    assert ["secret" in message for message in caplog.messages] == [False]


async def test_a_cluster_is_asked_for_each_pin(reach, caplog):
    with caplog.at_level(logging.WARNING, "sidecar.store"):
        RedisStore(reach("redis+cluster://127.0.0.1:1"), ttl_s=10, copies=10)
    assert caplog.messages == [
        "routing.session_cache.copies: every pin is asked for, redis cluster at 127.0.0.1:1: no copies in a Cluster"
    ]

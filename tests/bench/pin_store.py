"""
What a shared pin store costs: time for each request, bytes for each pin.

    PYTHONPATH=tests python tests/bench/pin_store.py

Starts a redis-server of its own on the loopback, keeps 10,000 sessions that are named as agents name them (UUIDs), and
prints how long a hit takes in the memory store, in Redis, and in Redis with copies of pins here, in turns; what Redis
needs for a pin; how long a walk over all pins takes. And, for the choice that `line` made: what a hit costs when each of
64 at once has one of redis-py's connections to itself, and when all share one of ours.
"""

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable

from redis_servers import Server, redis_server

from sidecar.config.models import Secret, SessionCache
from sidecar.routing.decision import Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey
from sidecar.stores import PinStore
from sidecar.stores.connect import connect
from sidecar.stores.memory import MemoryStore
from sidecar.stores.redis import RedisStore

PINS = 10_000
HITS = 3_000
AT_ONCE = 64
ROUNDS = 3
TTL_S = 600.0
PATIENT_S = 10.0
SCORES = (("code_generation", 0.91), ("writing", 0.05), ("web_search", 0.04))
PIN = Pin(
    ("openai/gpt-4o", "anthropic/claude-sonnet-4"),
    "code_generation",
    Reason.ROUTED,
    1.7e9,
    source="x-session-id",
    confidence=0.91,
    scores=SCORES,
)
KEYS = [SessionKey(str(uuid.uuid4())) for _ in range(PINS)]


async def alone_s(ask: Callable[[SessionKey], Awaitable[object]]) -> list[float]:
    """How long each of `HITS` takes, one after another."""
    took = []
    for n in range(HITS):
        started = time.perf_counter()
        await ask(KEYS[n % PINS])
        took.append(time.perf_counter() - started)
    return took


async def at_once_s(ask: Callable[[SessionKey], Awaitable[object]]) -> float:
    """How long one takes of those that come `AT_ONCE`: the time of all by their number, the median of rounds."""
    rounds = []
    for _ in range(HITS // AT_ONCE):
        started = time.perf_counter()
        await asyncio.gather(*map(ask, KEYS[:AT_ONCE]))
        rounds.append((time.perf_counter() - started) / AT_ONCE)
    return statistics.median(rounds)


async def fill(store: PinStore) -> float:
    started = time.perf_counter()
    for at in range(0, PINS, AT_ONCE):
        await asyncio.gather(*(store.claim(key, PIN) for key in KEYS[at : at + AT_ONCE]))
    return time.perf_counter() - started


def shown(took: list[float]) -> str:
    cuts = statistics.quantiles(took, n=100)
    return f"p50 {cuts[49] * 1e6:6.0f} us   p99 {cuts[98] * 1e6:6.0f} us"


async def main(server: Server) -> None:
    memory = MemoryStore(PinTable(ttl_s=TTL_S, capacity=PINS), time.monotonic)
    await fill(memory)
    redis = connect(SessionCache(url=Secret(server.url), command_timeout_s=PATIENT_S))
    store = RedisStore(redis, ttl_s=TTL_S)
    before = await redis.client.info("memory")
    filled_s = await fill(store)
    after = await redis.client.info("memory")

    print(f"{PINS:,} pins claimed in Redis, {AT_ONCE} at a time: {filled_s:.2f} s")
    near_by = connect(SessionCache(url=Secret(server.url), command_timeout_s=PATIENT_S))
    copying = RedisStore(near_by, ttl_s=TTL_S, key_prefix="copied:", copies=PINS)  # what `store` uses ends its copies
    await fill(copying)
    for at in range(0, PINS, AT_ONCE):
        await asyncio.gather(*map(copying.get, KEYS[at : at + AT_ONCE]))
    asks: dict[str, Callable[[SessionKey], Awaitable[object]]] = {
        "a hit, memory store:": memory.get,
        "a hit, Redis, loopback:": store.get,
        "a hit, with copies:": copying.get,
    }
    for _ in range(ROUNDS):
        for name, ask in asks.items():
            print(
                f"{name:24} {shown(await alone_s(ask))}   {AT_ONCE} at once {await at_once_s(ask) * 1e6:4.0f} us each"
            )

    bare = await alone_s(lambda key: redis.client.execute_command("GET", key.encoded))
    print(f"{'a bare GET, redis-py:':24} {shown(bare)}")

    script = [store._script.digest, 1]
    more = [b"use", *store._words(), b"0", b""]

    async def by_itself(key: SessionKey) -> object:
        name = store._name_of(key)
        return store._used(name, await pool.client.execute_command("EVALSHA", *script, name, *more), None)

    pool = connect(SessionCache(url=Secret(server.url), command_timeout_s=PATIENT_S))
    pool.client.connection_pool.max_connections = AT_ONCE
    print(f"{AT_ONCE} hits at once, each:  {await at_once_s(store.get) * 1e6:.0f} us over one line")
    print(f"                         {await at_once_s(by_itself) * 1e6:.0f} us with a connection for each")

    name = store._name_of(KEYS[0])
    length = len(await redis.ask("GET", name))
    print(
        f"a pin in Redis: {await redis.ask('MEMORY', 'USAGE', name)} bytes by MEMORY USAGE, key {len(name)}, value {length}"
    )
    print(f"                {(after['used_memory'] - before['used_memory']) / PINS:.0f} bytes by used_memory, all told")
    started = time.perf_counter()
    count = await store.count()
    counted_s = time.perf_counter() - started
    scanned = len([key async for key, _ in store.scan()])
    print(
        f"count of {count:,}: {counted_s:.2f} s; scan of {scanned:,}: {time.perf_counter() - started - counted_s:.2f} s"
    )
    await copying.aclose()
    await near_by.aclose()
    await pool.aclose()
    await redis.aclose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, redis_server(folder) as started_server:
        asyncio.run(main(started_server))

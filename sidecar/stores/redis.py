"""
The shared store: pins in a Redis or Valkey, so that several sidecars are one.

All that is known of a session stands under one key, `key_prefix` + `SessionKey.encoded`: whatever a session is called,
in a Cluster it is in one slot. Each operation is one script, thus one round trip and one atomic step; the scripts are
in `pins.lua`, the layout of what they keep in `values`. With `copies` a hit needs no round trip (`tracked`).

Time is the Redis server's own, read by the script: sidecars whose clocks differ agree on what has expired, and only a
failover to a server with another clock can shift the end of a pin, by the difference. Redis's own expiry only tidies
up, one time to live after the pin is over: so long an expired session can be told from a new one.

What this does not do: keep within a number of pins (Redis's `maxmemory` is for that), tell a `removed` of pins that
expire (nobody is there to see it), fall back on anything when Redis is down (`shared` does).
"""

import asyncio
import secrets
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Failover, Held, Moved, Pin
from sidecar.routing.session import SessionKey
from sidecar.stores import StoreDown, uncounted
from sidecar.stores.pipelined import Pipelined
from sidecar.stores.scripts import Script
from sidecar.stores.tracked import Tracked
from sidecar.stores.values import Unreadable, failover_bytes, held_of, is_live, pin_bytes, pin_part
from sidecar.stores.walk import Walk

FIRST_POLL_S, LONGEST_POLL_S, POLL_GROWTH = 0.005, 0.05, 1.5
"""How often one that waits for another sidecar's claim asks for it."""

LOOKS = (b"peek", b"expired")
"""Operations that change nothing."""

MOST_TRIES = 3
"""A pin that is written otherwise than we write it is compared once more, by its own bytes."""


class _Reply(NamedTuple):
    """What `pins.lua` answers."""

    now: float
    record: bytes | None
    was: bytes | None
    word: str


class RedisStore:
    """
    `ttl_s`, `policy`: as of `PinTable`. `flight_wait_s`: the longest that `lead` waits, and that a lead lasts.
    `clock`: Unix time in place of the server's own; for tests. `counter`: as of `MemoryStore`; `unreadable` is called
    for each record that was none of ours, or of another version. `copies`: most pins that are answered from copies.

    Every method raises StoreDown, after `command_timeout_s` of `redis` at the latest for each round trip.
    """

    decided = None
    """Another process may have moved the pin."""

    def __init__(
        self,
        redis: Pipelined,
        *,
        ttl_s: float,
        policy: TtlPolicy = TtlPolicy.SLIDING,
        key_prefix: str = "sidecar:",
        flight_wait_s: float = 1.0,
        counter: Callable[[str], Callable[[], None]] = uncounted,
        unreadable: Callable[[], None] = lambda: None,
        clock: Callable[[], float] | None = None,
        copies: int = 0,
    ) -> None:
        self._redis = redis
        self._prefix = key_prefix.encode()
        self._walk = Walk(redis, self._prefix, clock)
        self._flight_wait_s = flight_wait_s
        self._unreadable = unreadable
        self._clock = clock
        self._script = Script.named("pins.lua")
        self._me = secrets.token_bytes(8)
        self._count_get = counter("get")
        self._count_claim = counter("claim")
        self._count_move = counter("move")
        self._count_delete = counter("delete")
        self._count_scan = counter("scan")
        self._copies = Tracked(redis, self._script, self._prefix, most=copies, settings=self._words, clock=clock)
        self.configure(ttl_s, policy)

    def configure(self, ttl_s: float, policy: TtlPolicy) -> None:
        """Another time to live, for pins from their next use on."""
        self._ttl_s = ttl_s
        self._settings = (_double(ttl_s), b"1" if policy is TtlPolicy.SLIDING else b"0")
        self._sliding_s = ttl_s if policy is TtlPolicy.SLIDING else None
        self._copies.forget_all()

    def at_hand(self, key: SessionKey) -> Held | None:
        """As `get`, of a pin that Redis need not be asked for: see `tracked`."""
        return self._copies.use(self._name_of(key), self._sliding_s)

    async def get(self, key: SessionKey) -> Held | None:
        held = self.at_hand(key)
        if held is not None:
            return held
        self._count_get()
        name = self._name_of(key)
        await self._copies.tell_of(name)
        began = self._copies.began()
        words = (b"use", *self._words(), b"0" if began is None else b"1", b"")
        used: Held | None = await self._script.run(
            self._redis, (name,), *words, read=lambda answer: self._used(name, answer, began)
        )
        return used

    async def peek(self, key: SessionKey) -> Held | None:
        return self._held(await self._run(key, b"peek"))

    async def expired(self, key: SessionKey) -> bool:
        return (await self._run(key, b"expired")).word == "expired"

    async def lead(self, key: SessionKey) -> Held | None:
        """
        Of all sidecars that ask at once, one is told to decide and holds the lead until its claim, its `resign`, or
        `flight_wait_s` from now. The others ask again after 5 ms, then ever less often up to every 50 ms; when they
        have waited `flight_wait_s` they are told to decide themselves.

        So, while Redis answers, at most one classification of a session is under way for as long as it takes no longer
        than `flight_wait_s`; beyond that several may be, and the first claim wins. Nobody waits longer than
        `flight_wait_s` and one round trip. One round trip for the one that leads.
        """
        started = asyncio.get_running_loop().time()
        pause_s = FIRST_POLL_S
        while True:
            reply = await self._run(key, b"lead", self._me, _double(self._flight_wait_s))
            left_s = started + self._flight_wait_s - asyncio.get_running_loop().time()
            if reply.word != "leased" or left_s <= 0:
                return self._held(reply)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * POLL_GROWTH, LONGEST_POLL_S)

    async def resign(self, key: SessionKey) -> None:
        await self._run(key, b"resign", self._me)

    async def claim(self, key: SessionKey, pin: Pin) -> Held:
        self._count_claim()
        return self._surely_held(await self._write(key, b"claim", pin_bytes(pin)))

    async def move(self, key: SessionKey, pin: Pin, instead_of: Pin | None = None, *, used: bool = True) -> Moved:
        self._count_move()
        expected = b"" if instead_of is None else pin_bytes(instead_of)
        for _ in range(MOST_TRIES):
            reply = await self._write(key, b"move", pin_bytes(pin), expected, b"1" if used else b"0")
            moved = Moved(self._surely_held(reply), self._held_then(reply))
            if reply.word != "kept" or moved.held.pin != instead_of or reply.record is None:
                break
            expected = pin_part(reply.record)  # equal, but another release wrote it
        return moved

    async def restore(self, key: SessionKey, held: Held, *, overwrite: bool = False) -> Moved | None:
        self._count_claim()
        numbers = (_double(held.expires_in_s), _double(held.turns), _double(held.age_s))
        rest = (failover_bytes(held.last_failover), b"1" if overwrite else b"0")
        reply = await self._write(key, b"restore", pin_bytes(held.pin), *numbers, *rest)
        if reply.word == "kept" or reply.record is None:
            return None
        life_s = min(held.expires_in_s, self._ttl_s)
        return Moved(Held(held.pin, life_s, held.turns, held.age_s, held.last_failover), self._held_then(reply))

    async def note(self, key: SessionKey, failover: Failover) -> None:
        await self._run(key, b"note", failover_bytes(failover))

    async def delete(self, key: SessionKey) -> bool:
        self._count_delete()
        return (await self._run(key, b"delete")).record is not None

    async def scan(self) -> AsyncIterator[tuple[SessionKey, Held]]:
        """Asks for every key of the database, some hundred at a time. Remembers the keys it gave: none comes twice."""
        self._count_scan()
        await self._copies.tell()
        async for name, record, now in self._walk.records():
            held = self._held(_Reply(now, record, None, ""))
            if held is not None and (key := self._walk.key_of(name, held.pin.source)) is not None:
                yield key, held

    async def count(self) -> int:
        """Exact for pins that neither come nor go meanwhile. Costs a walk over all keys, 10,000 in 0.2 s."""
        live = 0
        async for _, record, now in self._walk.records():
            live += is_live(record, now)
        return live

    async def describe(self) -> tuple[bool, str]:
        try:
            await self._redis.ask("PING")
        except StoreDown as exc:
            return False, exc.message
        return True, f"{self._redis.where} answers"

    async def aclose(self) -> None:
        """Tells what Redis is still to be told. The client is closed by whoever made it, after this."""
        await self._copies.aclose()

    async def epoch(self) -> str:
        """What changes when the store has lost everything, and only then: a word it is given once."""
        names = self._redis.spread(self._prefix + b"epoch")
        mine = secrets.token_hex(8).encode()
        answers = await asyncio.gather(*(self._script.run(self._redis, (name,), b"epoch", mine) for name in names))
        return b" ".join(answers).decode("ascii", "replace")

    async def _run(self, key: SessionKey, operation: bytes, *more: bytes, unread: bytes = b"") -> _Reply:
        name = self._name_of(key)
        await self._copies.tell_of(name)

        def read(answer: list[Any]) -> _Reply:
            if operation not in LOOKS:
                self._copies.forget(name)
            return _reply(answer)

        words = (operation, *self._words(), unread, *more)
        reply: _Reply = await self._script.run(self._redis, (name,), *words, read=read)
        if reply.word == "unreadable":
            self._unreadable()
        return reply

    def _words(self) -> tuple[bytes, ...]:
        """The time and the times to live, as all scripts want them."""
        return (b"" if self._clock is None else _double(self._clock()), *self._settings)

    def _used(self, name: bytes, answer: list[Any], began: float | None) -> Held | None:
        """What `pins.lua` answers to a use. `began`: of `Tracked.began`."""
        now, record = answer
        if record is None:
            return None
        if not isinstance(record, bytes):
            self._unreadable()
            return None
        held = self._read(record, struct.unpack(">d", now)[0])
        if held is not None and began is not None:
            self._copies.put(name, pin_part(record), held, began)
        return held

    async def _write(self, key: SessionKey, operation: bytes, *more: bytes) -> _Reply:
        """Once more over a pin that takes its place under a head that is well, and cannot be read."""
        reply = await self._run(key, operation, *more)
        for record in (reply.was, reply.record):
            if record is not None and not _is_readable(record, reply.now):
                return await self._run(key, operation, *more, unread=pin_part(record))
        return reply

    def _held(self, reply: _Reply) -> Held | None:
        return None if reply.record is None else self._read(reply.record, reply.now)

    def _held_then(self, reply: _Reply) -> Held | None:
        return None if reply.was is None or reply.word == "kept" else self._read(reply.was, reply.now)

    def _surely_held(self, reply: _Reply) -> Held:
        held = self._held(reply)
        if held is None:
            raise StoreDown(f"{self._redis.where} does not keep what it is given")
        return held

    def _read(self, record: bytes, now: float) -> Held | None:
        try:
            return held_of(record, now)
        except Unreadable:
            self._unreadable()
            return None

    def _name_of(self, key: SessionKey) -> bytes:
        return self._prefix + key.encoded.encode("utf-8", "surrogatepass")


def _is_readable(record: bytes, now: float) -> bool:
    try:
        held_of(record, now)
    except Unreadable:
        return False
    return True


def _double(number: float) -> bytes:
    return struct.pack(">d", number)


def _reply(answer: list[Any]) -> _Reply:
    now, record, was, word = answer
    return _Reply(struct.unpack(">d", now)[0], record, was, word.decode())

"""
Answers from copies, and why they are true.

Redis tells a connection of every key it has read that somebody else changes ("client-side caching" with RESP3, since
Redis 6: redis.io/docs/latest/develop/reference/client-side-caching). So, on the one connection that carries everything
(`line`):

  A copy is made of what the script read, where its answer stands in the stream: whatever Redis says of the key after
  that comes after it, and ends the copy. Its own operations on a session end this sidecar's copy likewise.

  A copy answers only while Redis is heard: while a command that was sent less than `MAX_AGE_S` ago has been answered.
  All that Redis had to say before it answered has come by then. So no answer is older than that, whatever happens to
  Redis, the network or this process; while all is well it is as old as the way from Redis to here takes. Who has not
  asked anything for so long asks.

  With the connection all copies go.

  That Redis tells is not believed but tried, on each connection, by a key of its own that another connection removes.
  No copy is made before: behind a proxy, or on a server that only says that it tracks keys, there never is one.

Every use of a copy is told to Redis within `TOLD_WITHIN_S`, many in one command, for the pin's time to begin anew there
and its turns to grow; and it says whether that was still its pin. What was not answered is told again, over the next
connection too. Only a process that is killed leaves the last of them untold.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sidecar.routing.decision import Held
from sidecar.stores import StoreDown
from sidecar.stores.connection import Command
from sidecar.stores.copies import Copies, Copy
from sidecar.stores.pipelined import Pipelined
from sidecar.stores.scripts import Script

logger = logging.getLogger("sidecar.store")

MAX_AGE_S = 0.1
"""The longest that a copy may be older than the pin, while Redis says nothing; as the configuration says too."""
TOLD_WITHIN_S = 0.01
"""How long uses are gathered: at 2,000 a second, 20 in one command."""
TELL_AGAIN_S = 1.0
TRIED_FOR_S = 5.0
TOLD_AT_ONCE = 200
"""Copies in one command: a millisecond of Redis's."""

_TRIAL = b"redis.call('SET', KEYS[1], '', 'PX', 60000) redis.call('GET', KEYS[1])"
"""As `pins.lua` does: what is written is read again."""


class Tracked:
    """
    The copies of one store. `script`: `pins.lua`. `prefix`: of all its keys. `most`: copies that are kept; 0 for none.
    `settings` gives the words that `script` begins with. `clock` as of `RedisStore`.
    """

    def __init__(
        self,
        redis: Pipelined,
        script: Script,
        prefix: bytes,
        *,
        most: int,
        settings: Callable[[], tuple[bytes, ...]],
        clock: Callable[[], float] | None,
        tried_for_s: float = TRIED_FOR_S,
    ) -> None:
        self.asks: Sequence[Command] = (("HELLO", 3), ("CLIENT", "TRACKING", "ON", "NOLOOP"))
        self._redis = redis
        self._line = redis.line
        self._script = script
        self._prefix = prefix
        self._settings = settings
        self._tried_for_s = tried_for_s
        self._clock = clock or time.monotonic
        self._copies = Copies(most, self._soon)
        self._is_on = False
        self._trial = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._has_said_why = False
        if most and self._line is not None:
            self._line.track(self)
        elif most:
            self.refused("no copies in a Cluster")

    def __len__(self) -> int:
        return len(self._copies)

    def use(self, name: bytes, ttl_s: float | None) -> Held | None:
        """As of `Copies`, by a copy that is young enough."""
        if not self._copies or self._line is None or time.monotonic() - self._line.heard_at > MAX_AGE_S:
            return None
        return self._copies.use(name, self._clock(), ttl_s)

    def began(self) -> float | None:
        """The time, for whoever is about to read a pin that a copy may be made of; None while none is made."""
        return self._clock() if self._is_on else None

    def put(self, name: bytes, packed: bytes, held: Held, began: float) -> None:
        """As of `Copies`. To be called where the answer stands in the stream, of a read that the connection tracks."""
        if self._is_on:
            self._copies.put(name, packed, held, began)

    def forget(self, name: bytes) -> None:
        self._copies.forget(name)

    def forget_all(self) -> None:
        """The settings are others."""
        self._copies.clear()

    async def tell_of(self, name: bytes) -> None:
        """To be called before Redis is asked about `name`."""
        if self._copies.has_to_tell_of(name):
            await self.tell()

    async def tell(self) -> None:
        """Redis knows of all uses then, or will be told later."""
        self._stop_timer()
        await asyncio.shield(self._begin(self._tell()))

    async def aclose(self) -> None:
        await self.tell()
        self._stop_timer()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def granted(self) -> None:
        self._trial = self._prefix + b"tried:" + secrets.token_hex(8).encode()
        self._begin(self._try(self._trial))

    def refused(self, why: str) -> None:
        if not self._has_said_why:
            self._has_said_why = True
            logger.warning("routing.session_cache.copies: every pin is asked for, %s: %s", self._redis.where, why)

    def told(self, message: Sequence[Any]) -> None:
        if message[0] != b"invalidate":
            return
        names = message[1]
        if names is None:  # all keys are gone
            self._copies.clear()
            return
        for name in names:
            self._copies.forget(name)
            if name == self._trial:
                self._is_on = True

    def lost(self) -> None:
        self._is_on = False
        self._trial = b""
        self._copies.clear()

    async def _try(self, name: bytes) -> None:
        """Whether the connection is told of what another changes."""
        try:
            await self._redis.ask("EVAL", _TRIAL, 1, name)
            await self._redis.ask_beside("DEL", name, within_s=TRIED_FOR_S)
            await asyncio.sleep(self._tried_for_s)
        except StoreDown as exc:
            why = exc.message
        else:
            why = "it does not tell of changes"
        if name == self._trial and not self._is_on:
            self.refused(why)

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOLD_WITHIN_S, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._begin(self._tell())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _tell(self) -> None:
        told = self._copies.untold(self._clock())
        for at in range(0, len(told), TOLD_AT_ONCE):
            await self._tell_some(told[at : at + TOLD_AT_ONCE])

    async def _tell_some(self, told: list[tuple[Copy, int, bytes]]) -> None:
        names = [copy.name for copy, _, _ in told]
        words = [said for _, _, said in told]
        try:
            _, *are_right = await self._script.run(self._redis, names, b"use", *self._settings(), b"1", *words)
        except StoreDown:
            for copy, uses, _ in told:
                self._copies.not_told(copy, uses)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(TELL_AGAIN_S, self._on_time)
            return
        for name, is_right in zip(names, are_right, strict=True):
            if not is_right:
                self._copies.forget(name)

"""
Commands to a Redis, many at once over few connections: over one `line`, or, in a Cluster, in rounds.

A Cluster's commands go to several servers, which redis-py knows. Those that come while the event loop is busy go out
together in one round, as one pipeline: 64 at once then need a connection or two to each server and not 64. One that
comes alone goes out alone, at once.

Whoever asked waits for its own answer and nothing else. It may give up at any time: the round it is in goes on in a task
of its own, to its end or until the connection is closed with it, so no connection is ever used again with a reply that
nobody read. A connection that is being made outlives the patience of whoever needed it first, and is there for the next.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ResponseError

from sidecar.stores import StoreDown
from sidecar.stores.connection import Command, Read, said
from sidecar.stores.line import MOST_WAITING, Line
from sidecar.stores.patience import Within

Client = Redis | RedisCluster
ROUNDS = 4
"""So many rounds are under way at most, each with a connection of its own: a slow one does not hold up all others."""
MOST_IN_A_ROUND = 128
"""A pipeline of these occupies the event loop for some milliseconds."""
SPREAD = 32
"""Keys for a Cluster of a few masters: of three, one in 100,000 times one gets none."""


@frozen(eq=False)
class _Asked:
    command: Command
    limit_s: float
    answer: asyncio.Future[Any]


class Pipelined:
    """
    `helpers`: clients that `client` itself uses, closed with it. `command_timeout_s`: the longest that anybody waits.
    `connect_timeout_s`: so much longer a round may take that may have to make a connection first. `line`: of anything but
    a Cluster; `client` is then for what is long, or must come from somebody else. Belongs to one event loop.
    """

    def __init__(
        self,
        client: Client,
        helpers: Sequence[Client],
        where: str,
        command_timeout_s: float,
        connect_timeout_s: float,
        *,
        line: Line | None = None,
    ) -> None:
        self.client = client
        self.line = line
        self._helpers = helpers
        self.where = where
        """For people: scheme, hosts, database. No secret."""
        self.command_timeout_s = command_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._is_well = False  # whether the last round that ended was answered
        self._waiting: deque[_Asked] = deque()
        self._rounds: set[asyncio.Task[None]] = set()
        self._starting = False
        self._scanning = asyncio.Lock()

    async def ask(self, *command: Any, within_s: float | None = None, read: Read | None = None) -> Any:
        """
        The answer to a command, or what `read` makes of it, within `within_s` or `command_timeout_s`. Raises StoreDown.
        """
        limit_s = self.command_timeout_s if within_s is None else within_s
        if self.line is not None:
            return await self.line.ask(command, limit_s, read)
        asked = _Asked(command, limit_s, asyncio.get_running_loop().create_future())
        self._enqueue(asked)
        async with self._bounded(limit_s):
            answer = await asked.answer
        return answer if read is None else read(answer)

    async def ask_beside(self, *command: Any, within_s: float) -> Any:
        """As `ask`, over another connection: for what takes long, and for what must come from somebody else."""
        async with self._bounded(within_s), self._scanning:
            return await self.client.execute_command(*command)

    async def values(self, names: Sequence[bytes], within_s: float) -> list[bytes | None]:
        """What stands under each name; None where nothing does, or no string. Raises StoreDown."""
        if not names:
            return []
        if not isinstance(self.client, RedisCluster):
            found: list[bytes | None] = await self.ask_beside("MGET", *names, within_s=within_s)
            return found
        asked = (self.ask("GET", name, within_s=within_s) for name in names)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not str(answer.__cause__).startswith("WRONGTYPE"):
                raise answer
        return [answer if isinstance(answer, bytes) else None for answer in answers]

    def spread(self, name: bytes) -> list[bytes]:
        """Keys such that each server has some: in a Cluster several, which in all likelihood fall on all masters."""
        if not isinstance(self.client, RedisCluster):
            return [name]
        return [b"%s:{%d}" % (name, n) for n in range(SPREAD)]

    async def names(self, prefix: bytes, at_once: int, within_s: float) -> AsyncIterator[list[bytes]]:
        """
        The names of all keys that begin with `prefix`, some at a time, of every master; a name may come twice. Each
        batch takes `within_s` at most. Raises StoreDown. Those who ask this at once wait for each other: it has one
        connection to a server, beside those of the rounds.
        """
        pattern = re.sub(rb"([*?\[\]\\^])", rb"\\\1", prefix) + b"*"
        async with self._bounded(within_s):
            masters = await self._masters()
        for where in masters:
            cursor = 0
            while True:
                async with self._bounded(within_s), self._scanning:
                    words = ("SCAN", cursor, "MATCH", pattern, "COUNT", at_once)
                    cursor, found = await self.client.execute_command(*words, **where)
                if isinstance(cursor, dict):  # a cluster's comes by the name of who gave it
                    (cursor,) = cursor.values()
                yield found
                if not int(cursor):
                    break

    async def _masters(self) -> list[dict[str, Any]]:
        """For each master, what tells the client to ask that one."""
        if not isinstance(self.client, RedisCluster):
            return [{}]
        await self.client.initialize()
        return [{"target_nodes": [node]} for node in self.client.get_primaries()]

    @asynccontextmanager
    async def _bounded(self, limit_s: float) -> AsyncIterator[None]:
        try:
            async with Within(limit_s):
                yield
        except TimeoutError as exc:
            raise StoreDown(f"{self.where} gave no answer within {limit_s:g} s") from exc
        except Exception as exc:
            # The client's own errors, the system's, and what a client raises whose connection ends at a bad moment.
            raise StoreDown(f"{self.where}: {said(exc)}") from exc

    async def aclose(self) -> None:
        """Ends every round and closes every connection. Whoever waits gets StoreDown."""
        _fail(self._waiting, ConnectionError("closed"))
        self._waiting.clear()
        rounds = list(self._rounds)
        for under_way in rounds:
            under_way.cancel()
        await asyncio.gather(*rounds, return_exceptions=True)
        if self.line is not None:
            await self.line.aclose()
        for client in (self.client, *self._helpers):
            await client.aclose()

    def _enqueue(self, asked: _Asked) -> None:
        if len(self._waiting) >= MOST_WAITING:
            raise StoreDown(f"{self.where}: {MOST_WAITING} commands wait for it already")
        self._waiting.append(asked)
        if not self._starting:
            # After whatever else is ready to run now: it may have commands too.
            self._starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._starting = False
        while self._waiting and len(self._rounds) < ROUNDS:
            batch = self._next_batch()
            if batch:
                under_way = asyncio.get_running_loop().create_task(self._round(batch))
                self._rounds.add(under_way)
                under_way.add_done_callback(self._ended)

    def _next_batch(self) -> list[_Asked]:
        batch: list[_Asked] = []
        while self._waiting and len(batch) < MOST_IN_A_ROUND:
            asked = self._waiting.popleft()
            if not asked.answer.done():  # else its asker has given up
                batch.append(asked)
        return batch

    def _ended(self, under_way: asyncio.Task[None]) -> None:
        self._rounds.discard(under_way)
        self._start()

    async def _round(self, batch: list[_Asked]) -> None:
        try:
            async with Within(self._limit_s(batch)):
                answers = await self._answers([asked.command for asked in batch])
            self._is_well = True
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._is_well = isinstance(exc, ResponseError)
            _fail(batch, exc)
        except BaseException:
            _fail(batch, ConnectionError("given up"))
            raise
        else:
            for asked, answer in zip(batch, answers, strict=True):
                _give(asked, answer)

    def _limit_s(self, batch: list[_Asked]) -> float:
        """
        A connection that no longer answers is to be given up as soon as those who wait have given up; one that is being
        made is not, or a server that is far away would never be reached.
        """
        return max(asked.limit_s for asked in batch) + (0 if self._is_well else self._connect_timeout_s)

    async def _answers(self, commands: list[Command]) -> list[Any]:
        """Of each command its answer, or the error that it is."""
        if len(commands) == 1:
            return [await self.client.execute_command(*commands[0])]
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute(raise_on_error=False))


def _give(asked: _Asked, answer: Any) -> None:
    if asked.answer.done():
        return
    if isinstance(answer, Exception):
        asked.answer.set_exception(answer)
    else:
        asked.answer.set_result(answer)


def _fail(batch: Sequence[_Asked] | deque[_Asked], exc: Exception) -> None:
    for asked in batch:
        _give(asked, exc)

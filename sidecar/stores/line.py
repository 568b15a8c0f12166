"""
One connection to one Redis that carries everything: commands that come while the event loop is busy go out together in
one write, and the answers come back in their order. So 64 at once need one connection and not 64, and a command costs
a third of what redis-py takes for it (tests/bench/pin_store.py prints both).

The connection is made when it is first needed and again whenever it was lost. What it had not answered by then is asked
once more over the next one: what is done twice thereby is harmless, a claim finds its own pin, a move that it is made.
One that leaves anything unanswered for longer than it may take is given up with all that waits on it: the answers come
in order, so the others' would be later still.

Because answers and what Redis tells unasked (`Tracking`) come in one stream, whatever was answered proves that all that
Redis had to tell before it is here: `heard_at`. Nothing else is needed to know how old a copy can be.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol

from hiredis import PushNotification, pack_command
from redis.exceptions import ResponseError

from sidecar.stores import StoreDown
from sidecar.stores.connection import Asked, Command, Connection, Read, said
from sidecar.stores.patience import Within

MOST_WAITING = 10_000
"""Commands that were asked and have no answer yet."""

Dial = Callable[[Callable[[], asyncio.Protocol]], Awaitable[Any]]
"""Makes a connection with the protocol that it is given. Raises OSError or an error of redis-py's."""


class Tracking(Protocol):
    """Who wants to hear what happens to keys that were read over the line (redis.io, "client-side caching")."""

    asks: Sequence[Command]
    """Told to each new connection."""

    def granted(self) -> None:
        """The new connection tells."""

    def refused(self, why: str) -> None:
        """It does not, or nobody could tell whether it would."""

    def told(self, message: Sequence[Any]) -> None:
        """A message that answers nothing."""

    def lost(self) -> None:
        """Whatever was read over the line until now, nobody tells about any more."""


class Line:
    """
    `dial` makes connections, `greeting` is said first on each, such as a password. `where`: for people.
    `connect_timeout_s`: the longest that a connection may take, its greeting included. Belongs to one event loop.
    """

    def __init__(self, dial: Dial, greeting: Sequence[Command], where: str, connect_timeout_s: float) -> None:
        self._dial = dial
        self._greeting = greeting
        self._where = where
        self._connect_timeout_s = connect_timeout_s
        self._connection: Connection | None = None
        self._waiting: deque[Asked] = deque()  # not sent yet
        self._dialling: asyncio.Task[None] | None = None
        self._sends_soon = False
        self._timer: asyncio.TimerHandle | None = None
        self._tracking: Tracking | None = None
        self._is_closed = False
        self._was_cut_off = False  # by a server that was asked to track

    @property
    def heard_at(self) -> float:
        """When the latest command that was answered was sent, by `time.monotonic`; -inf while not connected."""
        return float("-inf") if self._connection is None else self._connection.heard_at

    def track(self, tracking: Tracking) -> None:
        """To be called before anything is asked."""
        self._tracking = tracking

    def ask(self, command: Command, limit_s: float, read: Read | None = None) -> asyncio.Future[Any]:
        """
        The answer to a command, or StoreDown after `limit_s`. `read` is given the answer where it stands in the stream,
        before anything that Redis says after it, and gives what is given to the one who awaits it, which comes later.
        """
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise StoreDown(f"{self._where}: closed")
        connection = self._connection
        if len(self._waiting) + (0 if connection is None else len(connection.sent)) >= MOST_WAITING:
            raise StoreDown(f"{self._where}: {MOST_WAITING} commands wait for it already")
        asked = Asked(pack_command(command), limit_s, loop.time() + limit_s, loop.create_future(), read)
        self._waiting.append(asked)
        if not self._sends_soon:
            # After whatever else is ready to run now: it may have commands too.
            self._sends_soon = True
            loop.call_soon(self._send)
        self._watch(asked.due)
        return asked.answer

    async def aclose(self) -> None:
        """Whoever waits gets StoreDown, and so does whoever asks after that."""
        self._is_closed = True
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.cancel()
            await asyncio.wait([dialling])
        self._fail(self._take_waiting(), ConnectionError("closed"))
        self._hang_up(ConnectionError("closed"), again=False)
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # in which the socket is closed

    def _send(self) -> None:
        self._sends_soon = False
        if not self._waiting:
            return
        if self._connection is not None:
            self._connection.send([asked for asked in self._take_waiting() if not asked.answer.done()])
        elif self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._connect())

    def _take_waiting(self) -> deque[Asked]:
        waiting, self._waiting = self._waiting, deque()
        return waiting

    async def _connect(self) -> None:
        """For everybody who waits. Whose patience ends meanwhile is told so; the connection is there for the next."""
        connection = Connection(self._where, self._told, self._lost)
        try:
            async with Within(self._connect_timeout_s):
                await self._dial(lambda: connection)
                await connection.say(self._greeting)
                await self._begin_tracking(connection)
            if connection.is_over:
                raise ConnectionError("closed by the server")  # noqa: TRY301 - as any other that came to nothing
        except BaseException as exc:
            connection.abort()
            self._dialling = None
            self._fail(self._take_waiting(), exc if isinstance(exc, Exception) else ConnectionError("given up"))
            if not isinstance(exc, Exception):
                raise
        else:
            self._connection, self._dialling = connection, None
            self._send()

    async def _begin_tracking(self, connection: Connection) -> None:
        if self._tracking is None:
            return
        if self._was_cut_off:  # is there a connection to be had if we do not ask for it?
            self._was_cut_off = False
            self._tracking.refused("it ended the connection that asked for it")
            return
        try:
            await connection.say(self._tracking.asks)
        except ResponseError as exc:
            self._tracking.refused(said(exc))
        except BaseException:
            self._was_cut_off = True
            raise
        else:
            self._tracking.granted()

    def _told(self, message: PushNotification) -> None:
        if self._tracking is not None:
            self._tracking.told(message)

    def _lost(self, connection: Connection, why: Exception) -> None:
        if connection is self._connection:
            self._hang_up(why)
        else:  # it was not ready yet
            self._fail(connection.sent, why)

    def _hang_up(self, why: Exception, *, again: bool = True) -> None:
        """What was not answered is asked once more, if it has time left and was not before."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.abort()
        if self._tracking is not None:
            self._tracking.lost()
        now = asyncio.get_running_loop().time()
        for asked in reversed(connection.sent):
            if again and not asked.is_repeated and asked.due > now:
                asked.is_repeated = True
                self._waiting.appendleft(asked)
            else:
                asked.fail(self._where, why)
        self._send()

    def _fail(self, unanswered: Iterable[Asked], why: Exception) -> None:
        for asked in unanswered:
            asked.fail(self._where, why)

    def _watch(self, due: float) -> None:
        """One timer for all that wait: one for each would cost as much as the rest of it."""
        if self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._look_for_late, due)

    def _look_for_late(self, due: float) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        unsent = [asked for asked in self._waiting if asked.is_late(due, now)]
        unanswered = [asked for asked in self._sent if asked.is_late(due, now)]
        for asked in (*unsent, *unanswered):
            asked.be_late(self._where)
        self._waiting = deque(asked for asked in self._waiting if not asked.answer.done())
        if unanswered:
            self._hang_up(TimeoutError("no answer"))
        left = [asked.due for asked in (*self._waiting, *self._sent)]
        if left:
            self._watch(min(left))

    @property
    def _sent(self) -> Iterable[Asked]:
        return () if self._connection is None else self._connection.sent

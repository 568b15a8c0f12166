"""
One connection to a provider: a request out, its answer back, then the next.

    ask ─▶ its head ─▶ more … more          the answer is pulled: what is not is held, and at 128 KiB reading stops
                   └─▶ pour(take)           or pushed: each piece goes on in the callback that received it
                             └─▶ give_back  to the pool when it is good for another request, else it is closed

No task, no time-out context and no timer belong to a request: whoever waits has one future, and the one alarm of the
connection says when it waited too long.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from math import inf
from os import strerror
from ssl import SSLError
from typing import Protocol, cast

from httptools import HttpParserError

from sidecar.upstream.alarm import Alarm
from sidecar.upstream.answer import Answer, Malformed
from sidecar.upstream.origin import Origin
from sidecar.upstream.outgoing import APART_BYTES, Outgoing
from sidecar.upstream.shape import BLANK

READ_AHEAD_BYTES = 128 * 1024
"""What an answer may be ahead of whoever reads it, and what one reading of the socket brings."""


class Broken(Exception):
    """The connection ended before the answer did, or what came is no answer."""

    def __init__(self, words: str, *, untouched: bool) -> None:
        super().__init__(words)
        self.untouched = untouched
        """Whether nothing at all had come."""

    def again(self) -> "Broken":
        """
        For whoever is told: who raises it puts a traceback into it, with frames that have the connection, which would
        keep it, and the request's body with it, until the collector comes.
        """
        return Broken(str(self), untouched=self.untouched)


class Keeper(Protocol):
    """Who keeps connections between requests."""

    def made(self, connection: "Connection") -> None: ...
    def put(self, connection: "Connection") -> None: ...
    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """Serves one request at a time. Made by `connecting`, kept by its `keeper`."""

    def __init__(self, origin: Origin, keeper: Keeper, loop: AbstractEventLoop) -> None:
        self.origin = origin
        self.idle_since = 0.0
        """The keeper's to write and to read."""
        self._keeper = keeper
        self._loop = loop
        self._time = loop.time
        self._transport: asyncio.Transport  # all three from `connection_made` on, before which nobody has it
        self.outgoing: Outgoing
        self._alarm: Alarm
        self._answer: Answer | None = None
        self._broken: Broken | None = None
        self._heard: Future[Answer] | None = None  # of whoever waits for the head
        self._waiter: Future[bool] | None = None  # of whoever waits for what follows it
        self._take: Callable[[bytes], bool] | None = None
        self._took_badly: Exception | None = None
        self._idle_s = inf
        self._paused = False
        self._shape = BLANK  # of the last answer's head
        self.holds = False
        """Whether what comes is not read for now."""

    # Asking

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def ask(self, head: bytes, body: bytes = b"", due_at: float = inf, *, bare: bool = False) -> Future[Answer]:
        """
        Sends a request. What comes of it: the answer as soon as its head is here, or Broken, or TimeoutError when
        `due_at` comes first. `bare`: the answer has no body, whatever it says.
        """
        self._answer = Answer(bare=bare, guess=self._shape)
        self._broken = None
        self._heard = heard = self._loop.create_future()
        if self._transport.is_closing():
            self._unheard(self._break("it closed the connection"))
            return heard
        if len(body) < APART_BYTES:
            self._transport.write(head + body)  # in one packet, where two would wake the provider twice
        else:
            self.outgoing.send(head, body)
        if due_at < self._alarm.armed_at:
            self._alarm.set(due_at)
        else:
            self._alarm.due_at = due_at
        return heard

    def postpone(self, due_at: float) -> None:
        """Another `due_at` for whoever waits for the head."""
        if self._heard is not None:
            self._alarm.set(due_at)

    # Reading the answer

    async def more(self, due_at: float) -> None:
        """Until something of the body is there or it ended. Raises Broken, and TimeoutError when `due_at` comes first."""
        if self._broken is not None:
            raise self._broken.again()
        await self._change(due_at)

    def make_room(self) -> None:
        """What had come was taken: read on."""
        if self.holds and not self._paused:
            self.holds = False
            self._transport.resume_reading()

    async def pour(self, answer: Answer, take: Callable[[bytes], bool], due_at: float, idle_s: float) -> None:
        """
        Hands the body to `take` until it ends, or `take` says no more by False. Raises as `more`, and what `take`
        raises. The first piece is due at `due_at`, each other one `idle_s` after the last, or after `resume`.
        """
        if answer.ended and not answer.pieces:
            return
        self._take, self._idle_s, self._took_badly = take, idle_s, None
        try:
            self._hand_on(answer)
            while self._take is not None and (answer.pieces or not answer.ended):
                if self._broken is not None and not answer.pieces:
                    raise self._broken.again()
                due_at = self._loop.time() + idle_s if answer.begun else due_at
                await self._change(inf if self._paused else due_at)
        finally:
            self._take = None
        if self._took_badly is not None:
            raise self._took_badly

    def pause(self) -> None:
        self._paused = True
        self._alarm.set(inf)
        self._hold()

    def resume(self) -> None:
        if not self._paused:
            return
        self._paused = False
        if self._take is not None and self._answer is not None:
            self._alarm.set(self._loop.time() + self._idle_s)
            self._hand_on(self._answer)
        else:
            self._wake()
        self.make_room()

    async def resumed(self) -> None:
        """Until it is not paused."""
        while self._paused:
            await self._change(inf)

    # The end

    def give_back(self, answer: Answer) -> None:
        """To the pool, when `answer` is here to its end and the connection may be used again; else it is closed."""
        if self._answer is not answer:
            return  # it was given back before
        if self._paused:
            self.resume()
        transport = self._transport
        is_good = answer.ended and answer.keeps_alive and not transport.is_closing()
        if is_good and not self.outgoing.sending and not transport.get_write_buffer_size():
            self._answer = None
            if self.holds:
                self.make_room()
            self._keeper.put(self)
        else:
            self.abort()

    def abort(self) -> None:
        """Closes it at once. Whoever waits for more hears of it."""
        self._break("it was closed")
        self._transport.abort()

    def _break(self, words: str) -> Broken | None:
        """What its answer broke off with, if it did: the first word counts."""
        answer = self._answer
        if answer is not None and not answer.ended and self._broken is None:
            self._broken = Broken(words, untouched=answer.untouched)
        return self._broken

    def _over(self, words: str, *, clean: bool) -> None:
        """The provider has ended the connection."""
        answer = self._answer
        if answer is not None and not (clean and self._broken is None and answer.close()):
            self._break(words)
        if answer is not None and self._take is not None:
            self._hand_on(answer)
        elif self._heard is not None:
            self._unheard(self._broken)
        else:
            self._wake()

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.outgoing = Outgoing(self._loop, self._transport)
        self._alarm = Alarm(self._loop, self._late)
        self._keeper.made(self)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.ended:
            self._transport.abort()  # nobody asked for it
            return
        if self._take is not None:
            try:
                answer.parse(data)
            except HttpParserError:
                self._break(answer.spoilt())
                self._transport.abort()
            self._hand_on(answer)
            return
        try:
            answer.feed(data)
        except Malformed as exc:
            self._break(str(exc))
            self._transport.abort()
        heard = self._heard
        if heard is None:
            self._wake()
        elif answer.status:
            self._heard, self._alarm.due_at, self._shape = None, inf, answer.shape
            if not heard.done():  # whoever waited may have given up
                heard.set_result(answer)
        elif self._broken is not None:
            self._unheard(self._broken)
        if answer.held_bytes > READ_AHEAD_BYTES:
            self._hold()

    def eof_received(self) -> None:
        self._over("it closed the connection", clean=True)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over(described(exc) if exc else "it closed the connection", clean=exc is None)
        self._let_go()
        self._keeper.lost(self)
        self.outgoing.has_room()  # whoever waits for some need not any longer

    def _let_go(self) -> None:
        """Of all that knows us: so that we go with our last user, without the collector. Nobody waits for a time any more."""
        self._alarm.stop()
        self._alarm = Alarm(self._loop, _nobody)
        if self._answer is not None:
            self._answer.let_go()

    def pause_writing(self) -> None:
        self.outgoing.full()

    def resume_writing(self) -> None:
        self.outgoing.has_room()

    def _hand_on(self, answer: Answer) -> None:
        pieces = answer.pieces
        if pieces and not self._paused and self._take is not None:
            due_at = self._time() + self._idle_s
            if due_at < self._alarm.armed_at:
                self._alarm.set(due_at)
            else:
                self._alarm.due_at = due_at
            # `taken` in its own words, where there is one piece, as of nearly every chunk of a stream.
            answer.begun, answer.held_bytes = True, 0
            try:
                wanted = self._take(pieces.pop() if len(pieces) == 1 else answer.taken())
            except Exception as exc:  # noqa: BLE001 - it comes out of `pour`, where somebody can hear it
                self._took_badly, wanted = exc, False
            if self.holds:
                self.make_room()
            if not wanted:
                self._take = None
                self._wake()
        if not pieces and (answer.ended or self._broken is not None):
            self._wake()

    def _hold(self) -> None:
        if not self.holds and self.is_open:
            self.holds = True
            self._transport.pause_reading()

    # Waiting

    async def _change(self, due_at: float) -> None:
        """Until there is something to look at. Raises TimeoutError when `due_at` comes first."""
        self._waiter = waiter = self._loop.create_future()
        self._alarm.set(due_at)
        try:
            if not await waiter:
                raise TimeoutError
        finally:
            self._waiter = None
            self._alarm.due_at = inf

    def _late(self) -> None:
        if self._heard is not None:
            self._unheard(TimeoutError())
        else:
            self._wake(in_time=False)

    def _unheard(self, why: Exception | None) -> None:
        """There will be no head."""
        heard, self._heard, self._alarm.due_at = self._heard, None, inf
        if why is not None and heard is not None and not heard.done():
            heard.set_exception(why.again() if isinstance(why, Broken) else why)

    def _wake(self, *, in_time: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(in_time)


def _nobody() -> None:
    """Who is to be told that it is late."""


def described(exc: Exception) -> str:
    """What happened to a connection, in the system's words and without addresses."""
    if isinstance(exc, OSError) and not isinstance(exc, SSLError) and exc.errno is not None and exc.errno > 0:
        return strerror(exc.errno)
    return type(exc).__name__

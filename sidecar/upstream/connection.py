"""
One connection to a provider: a request out, its answer back, then the next.

    ask ─▶ its head ─▶ more … more          the answer is pulled: what is not is held, and at 128 KiB reading stops
                   └─▶ pour(take)           or pushed: each piece goes on in the callback that received it
                             └─▶ give_back  to the pool when it is good for another request, else it is closed

No task, no time-out context and no timer belong to a request: whoever waits has one future, and the one alarm of the
connection says when it waited too long.

Of a stream, a chunk that is here whole goes past the parser, which is between two then: `chunks`, `Sink.pass_on`.
"""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from math import inf
from os import strerror
from ssl import SSLError
from typing import Protocol, cast

from httptools import HttpParserError

from sidecar.upstream.alarm import SLACK_S, Alarm
from sidecar.upstream.answer import Answer, Malformed
from sidecar.upstream.chunks import BLANK_LINE, GAP, SIZE_LINES
from sidecar.upstream.form import NO_FORM
from sidecar.upstream.origin import Origin
from sidecar.upstream.outgoing import APART_BYTES, Outgoing

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


class Sink(Protocol):
    """Where a body is poured."""

    passed_at: float
    """When `pass_on` last took something, in the loop's time."""

    def take(self, piece: bytes) -> bool:
        """Whether more is wanted. Must not block."""

    def pass_on(self, piece: bytes, chunk: bytes) -> bool:
        """
        `take`, of what ends with an empty line and came as one whole `chunk`, in its frame, which may go on as it is.
        Whether it was taken, and more is wanted; if not, nothing has happened.
        """


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
        self._sink: Sink | None = None
        self._pass_on: Callable[[bytes, bytes], bool] | None = None  # the sink's, while llhttp is between two chunks
        self._took_badly: Exception | None = None
        self._idle_s = inf
        self._paused = False
        self._form = NO_FORM  # of the last answer's head
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
        self._answer = Answer(self._form, bare=bare)
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

    async def pour(self, answer: Answer, sink: Sink, due_at: float, idle_s: float) -> None:
        """
        Hands the body to `sink` until it ends, or no more is wanted. Raises as `more`, and what `sink` raises. The first
        piece is due at `due_at`, each other one `idle_s` after the last, or after `resume`.
        """
        if answer.ended and not answer.pieces:
            return
        self._sink, self._idle_s, self._took_badly = sink, idle_s, None
        try:
            self._hand_on(answer)
            while self._sink is not None and (answer.pieces or not answer.ended):
                if self._broken is not None and not answer.pieces:
                    raise self._broken.again()
                due_at = self._loop.time() + idle_s if answer.begun else due_at
                await self._change(inf if self._paused else due_at)
        finally:
            self._sink = self._pass_on = None
        if self._took_badly is not None:
            raise self._took_badly

    def pause(self) -> None:
        self._paused, self._pass_on = True, None
        self._alarm.set(inf)
        self._hold()

    def resume(self) -> None:
        if not self._paused:
            return
        self._paused = False
        if self._sink is not None and self._answer is not None:
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
        if answer is not None and self._sink is not None:
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
        if self._sink is not None:
            if self._pass_on is None or not self._passed(answer, data, self._pass_on):
                self._poured(answer, data, self._sink)
            return
        heard = self._heard
        if heard is not None and answer.is_all(data):  # as nearly always, if it is no stream
            self._heard, self._alarm.due_at = None, inf
            if not heard.done():  # whoever waited may have given up
                heard.set_result(answer)
        else:
            self._feed(answer, heard, data)

    def _feed(self, answer: Answer, heard: Future[Answer] | None, data: bytes) -> None:
        try:
            answer.feed(data)
        except Malformed as exc:
            self._break(str(exc))
            self._transport.abort()
        if heard is None:
            self._wake()
        elif answer.status:
            self._heard, self._alarm.due_at, self._form = None, inf, answer.form
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

    def _passed(self, answer: Answer, data: bytes, pass_on: Callable[[bytes, bytes], bool]) -> bool:
        """Whether `data` was one whole chunk, as nearly always. llhttp, between two, misses nothing without it."""
        line = SIZE_LINES[len(data)]
        if not (data.startswith(line) and data.endswith(GAP)):
            return False
        piece = data[len(line) : -2]
        try:
            if pass_on(piece, data):
                return True
        except Exception as exc:  # noqa: BLE001 - as in `_hand_on`
            self._took_badly, self._sink, self._pass_on = exc, None, None
            self._wake()
            return True
        answer.pieces.append(piece)
        self._hand_on(answer)
        return True

    def _poured(self, answer: Answer, data: bytes, sink: Sink) -> None:
        try:
            answer.parse(data)
        except HttpParserError:
            self._break(answer.spoilt())
            self._transport.abort()
        # What came ends with an empty line and one more end of a line. If that was none of the body, it ends a chunk.
        pieces = answer.pieces
        gap = data.endswith(GAP) and bool(pieces) and pieces[-1].endswith(BLANK_LINE) and self._broken is None
        self._pass_on = None
        self._hand_on(answer)
        if gap and self._sink is not None and not self._paused:
            self._pass_on = sink.pass_on

    def _hand_on(self, answer: Answer) -> None:
        pieces, sink = answer.pieces, self._sink
        if pieces and not self._paused and sink is not None:
            due_at = self._time() + self._idle_s
            if due_at < self._alarm.armed_at:
                self._alarm.set(due_at)
            else:
                self._alarm.due_at = due_at
            # `taken` in its own words, where there is one piece, as of nearly every chunk of a stream.
            answer.begun, answer.held_bytes = True, 0
            try:
                wanted = sink.take(pieces.pop() if len(pieces) == 1 else answer.taken())
            except Exception as exc:  # noqa: BLE001 - it comes out of `pour`, where somebody can hear it
                self._took_badly, wanted = exc, False
            if self.holds:
                self.make_room()
            if not wanted:
                self._sink = self._pass_on = None
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
        elif self._sink is not None and (due_at := self._sink.passed_at + self._idle_s) - self._time() > SLACK_S:
            self._alarm.set(due_at)  # what is passed on puts it off without touching it
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

"""
A connection to a Redis, once it is made: commands out, answers in, each to who asked for it.

RESP2 or RESP3 (redis.io/docs/latest/develop/reference/protocol-spec), read and written by hiredis.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from attrs import define
from hiredis import ProtocolError, PushNotification, Reader, pack_command
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as NoConnection

from sidecar.stores import StoreDown
from sidecar.stores.patience import STALLED

Command = tuple[Any, ...]
"""A command's words: text, bytes or numbers."""
Read = Callable[[Any], Any]
"""Makes of an answer what the one who asked is given."""

MOST_SAID = 200
"""Characters of what an error says."""

_MORE_IS_TO_COME = object()
_ERRORS: dict[str, type[Exception]] = {
    "LOADING": BusyLoadingError,
    "NOAUTH": AuthenticationError,
    "NOPERM": NoPermissionError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "WRONGPASS": AuthenticationError,
}
"""By the first word of an error; any other is a ResponseError."""


@define(eq=False)
class Asked:
    """A command that waits for its answer."""

    packed: bytes
    limit_s: float
    due: float
    """When it is late, in the event loop's time."""
    answer: asyncio.Future[Any]
    read: Read | None = None
    sent_at: float = 0.0
    is_repeated: bool = False
    is_pardoned: bool = False

    def fail(self, where: str, why: Exception) -> None:
        if not self.answer.done():
            down = StoreDown(f"{where}: {said(why)}")
            down.__cause__ = why
            self.answer.set_exception(down)

    def is_late(self, due: float, now: float) -> bool:
        """
        Looked at when somebody was late at `due`. As of `Within`, its time begins anew, once, when that was noticed so
        late that it was this process that did not run.
        """
        if not self.is_pardoned and now - due > self.limit_s * (STALLED - 1):
            self.is_pardoned = True
            self.due = now + self.limit_s
        return self.due <= now

    def be_late(self, where: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(StoreDown(f"{where} gave no answer within {self.limit_s:g} s"))


class Connection(asyncio.Protocol):
    """`told` gets what Redis says unasked; `lost` this connection and why, when it ends by itself."""

    def __init__(
        self,
        where: str,
        told: Callable[[PushNotification], None],
        lost: Callable[["Connection", Exception], None],
    ) -> None:
        self._where = where
        self._told = told
        self._lost = lost
        self._reader = Reader(replyError=_error, notEnoughData=_MORE_IS_TO_COME)
        self._transport: asyncio.WriteTransport | None = None
        self.sent: deque[Asked] = deque()
        """What has no answer yet, in the order of sending, which is that of the answers."""
        self.heard_at = float("-inf")
        """When the latest command that was answered was sent, by `time.monotonic`."""
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # as any connection's is

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while not self.is_over and (answer := self._reader.gets()) is not _MORE_IS_TO_COME:
                if type(answer) is PushNotification:
                    self._told(answer)
                else:
                    self._take(answer)
        except (ProtocolError, IndexError) as exc:  # something else than a Redis, or an answer to nothing
            self._end(ConnectionError(f"no Redis: {type(exc).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionError("closed by the server"))

    def send(self, commands: Sequence[Asked]) -> None:
        if self._transport is None or not commands:
            return
        now = time.monotonic()
        for asked in commands:
            asked.sent_at = now
        self.sent.extend(commands)
        self._transport.write(b"".join([asked.packed for asked in commands]))

    async def say(self, commands: Sequence[Command]) -> None:
        """Before anybody else uses it. Raises what the first of them is refused with, or ConnectionError."""
        loop = asyncio.get_running_loop()
        asked = [Asked(pack_command(words), 0.0, 0.0, loop.create_future()) for words in commands]
        self.send(asked)
        answers = await asyncio.gather(*(each.answer for each in asked), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer.__cause__ or answer

    def abort(self) -> None:
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()

    def _take(self, answer: Any) -> None:
        if type(answer) is ReadOnlyError:
            # No master any more. Whoever asked is still among the unanswered, and may be asked for elsewhere.
            self._end(answer)
            return
        asked = self.sent.popleft()
        self.heard_at = asked.sent_at
        if isinstance(answer, Exception):
            asked.fail(self._where, answer)
            return
        if asked.read is not None:
            try:
                answer = asked.read(answer)
            except Exception as exc:  # noqa: BLE001 - an answer to something else; the asker is to hear of it
                asked.fail(self._where, exc)
                return
        if not asked.answer.done():
            asked.answer.set_result(answer)

    def _end(self, why: Exception) -> None:
        if not self.is_over:
            self.abort()
            self._lost(self, why)


def said(exc: BaseException) -> str:
    """
    What kind of error; of a connection also what the system or the server said of it. Of any other answer only the
    code that it begins with: the rest may repeat what was asked, and that names sessions.
    """
    text = str(exc)
    if isinstance(exc, NoConnection | OSError) and " of pipeline " not in text:
        return f"{type(exc).__name__}: {text[:MOST_SAID]}"
    code = text.partition(" ")[0]
    return f"{type(exc).__name__} {code}" if isinstance(exc, ResponseError) and code.isupper() else type(exc).__name__


def _error(text: str) -> Exception:
    return _ERRORS.get(text.partition(" ")[0], ResponseError)(text)

"""
What a passing stream says about itself, where it is relayed as it is: usage, how it ended, whether it ended, its model.

Almost every chunk is one whole event with nothing of interest, and costs about a microsecond. Of messages and responses
a search for two words tells, and nothing is parsed; in text the quotes are escaped, so that words with quotes are found
in keys and values only. Of chat completions six words would be needed: there decoding the event takes no longer.
"""

import msgspec
from msgspec import Raw, Struct

from sidecar.wire.account import Account, word
from sidecar.wire.alike import CHAT_TEXTS, Alike
from sidecar.wire.formats import Format
from sidecar.wire.sse import BLANK_LINES, BrokenStream, Event, EventParser
from sidecar.wire.translate.neutral import Usage
from sidecar.wire.translate.streams.usage import NOTHING, read_usage

CHAT_WORDS = (b'"usage":{', b'"usage": {', b"[DONE]", b'"error"', b'"finish_reason":"', b'"finish_reason": "')
"""Every event of interest has one of these."""
WORDS = {Format.MESSAGES: (b"message_", b'"error"'), Format.RESPONSES: (b'"response"', b'"error"')}
"""Likewise, of the other formats."""
MAX_EVENT_BYTES = 8 * 1024 * 1024
"""What is longer is not looked at, and neither is what follows."""
SMALL_BYTES = 4096
"""Up to here an event is decoded as fast as it is searched."""
DATA = b"data: "
ENDS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


class _Choice(Struct):
    finish_reason: str | None = None
    usage: Raw = NOTHING
    """Moonshot puts it here."""


class _Inner(Struct):
    usage: Raw = NOTHING
    status: str | None = None
    model: object = None


class _Delta(Struct):
    stop_reason: str | None = None


class _Data(Struct):
    """All formats at once: no two use one name for two things."""

    type: str = ""
    usage: Raw = NOTHING
    error: object = None
    model: object = None
    choices: list[_Choice] | None = None
    delta: _Delta | str | None = None
    message: _Inner | str | None = None
    response: _Inner | None = None


class _Glimpse(Struct, gc=False):
    finish_reason: object = None
    usage: object = None


class _Glance(Struct, gc=False):
    """An event of chat completions, as far as it takes to see that there is nothing in it."""

    usage: object = None
    error: object = None
    choices: list[_Glimpse] | None = None


_decoder = msgspec.json.Decoder(_Data)
_glance = msgspec.json.Decoder(_Glance)

# Whether there is nothing of interest in whole events, one or several. `count` and not `in`: that would first ask
# whether the word is a number, which takes as long again.


def _dull_chat(events: bytes) -> bool:
    seen = _glanced(events)
    if seen is None:  # several events, or none of these
        return _wordless_chat(events)
    if seen.usage or seen.error:
        return False
    first = seen.choices[0] if seen.choices else None
    return first is None or not (first.finish_reason or first.usage)


def _glanced(event: bytes) -> _Glance | None:
    length = len(event)
    if length > SMALL_BYTES or not event.startswith(DATA) or event.find(b"\n") < length - 2:
        return None
    try:
        return _glance.decode(event[len(DATA) :])
    except (ValueError, RecursionError):
        return None


def _wordless_chat(data: bytes) -> bool:
    return not any(map(data.count, CHAT_WORDS))


class UsageTap:
    """Give `feed` every chunk that passes. Never raises: what cannot be read is none of its business."""

    def __init__(self, form: Format) -> None:
        self._format = form
        self._words = WORDS.get(form)
        self._events: EventParser | None = EventParser(MAX_EVENT_BYTES)
        self._alike = Alike(*CHAT_TEXTS)
        self._unread = form is Format.CHAT  # its first event is read whatever it holds: for the model
        self._between = not self._unread  # whether whole events that come now can be told at sight
        self.usage: Usage | None = None
        self.complete = False
        """Whether the event came that ends every whole stream: `[DONE]`, `message_stop`, `response.completed` …"""
        self.failed = False
        """Whether the provider itself said that something went wrong."""
        self.finished_reason: str | None = None
        """Why the model stopped, in the provider's word: `finish_reason`, `stop_reason`, a Response's `status`."""
        self.model: str | None = None
        """As the first event that names one has it."""

    @property
    def account(self) -> Account:
        return Account(self.usage, word(self.finished_reason), self.model, self.complete)

    def passes(self, chunk: bytes) -> bool:
        """
        Whether `chunk` is exactly one event of chat completions with a choice in it and nothing of interest. Then it
        counts as fed; if not, nothing has happened.
        """
        if not self._between or self._words is not None:
            return False
        return self._alike.read(chunk) is not None or self._passes(chunk)

    def pass_over(self, chunk: bytes) -> int:
        """
        How many bytes at the beginning of `chunk` are events as in `passes`, as far as it is quickly told: they count as
        fed.
        """
        if not self._between or self._words is not None:
            return 0
        if self._alike.read(chunk) is not None:
            return len(chunk)
        if (run := self._alike.run(chunk)) is not None:
            return run[2]
        end = chunk.find(b"\n\n") + 2
        if not self._passes(chunk if end == len(chunk) else chunk[:end]):
            return 0
        run = None if end == len(chunk) else self._alike.run(chunk, end)
        return end if run is None else run[2]

    def _passes(self, chunk: bytes) -> bool:
        length = len(chunk)
        if (
            not (chunk.endswith(b"\n\n") and chunk.startswith(DATA))
            or length > SMALL_BYTES
            or chunk.find(b"\n") < length - 2
        ):
            return False
        try:
            seen = _glance.decode(chunk[len(DATA) :])
        except (ValueError, RecursionError):
            return False
        if not seen.choices or seen.usage or seen.error:
            return False
        first = seen.choices[0]
        if first.finish_reason or first.usage:
            return False
        self._alike.learn(chunk)
        return True

    def feed(self, chunk: bytes) -> None:
        passed = self.pass_over(chunk)
        if passed < len(chunk):
            self.read(chunk[passed:])

    def read(self, chunk: bytes) -> None:
        """Instead of `feed`, for what `pass_over` has left."""
        if self._between and chunk.endswith(BLANK_LINES):
            if (words := self._words) is None:
                if _dull_chat(chunk):
                    return
            elif not (chunk.count(words[0]) or chunk.count(words[1])):
                return
        events = self._events
        if events is None:
            return
        try:
            for event in events.whole(chunk) or events.feed(chunk):
                self.see(event)
        except BrokenStream:
            self._events, self._between = None, False
        else:
            self._between = events.idle and not self._unread

    def see(self, event: Event) -> None:
        """Likewise, for whoever has the events already."""
        words = self._words
        if words is None:
            if self._unread or not _dull_chat(event.data):
                self._look(event)
        elif event.data.count(words[0]) or event.data.count(words[1]):
            self._look(event)

    def _look(self, event: Event) -> None:
        self._unread = False
        if event.data.startswith(b"[DONE]"):
            self.complete = True
            return
        try:
            data = _decoder.decode(event.data)
        except (ValueError, RecursionError):
            return
        inner = data.response or (data.message if isinstance(data.message, _Inner) else None)
        self.usage = read_usage(self._format, inner.usage if inner else _usage(data), self.usage)
        self.model = self.model or word(inner.model if inner else data.model)
        self.finished_reason = _reason(data) or self.finished_reason
        kind = data.type or event.event
        self.complete = self.complete or kind in ENDS
        self.failed = self.failed or bool(data.error) or kind in ("error", "response.failed")


def _usage(data: _Data) -> Raw:
    return data.choices[0].usage if data.choices and data.usage == NOTHING else data.usage


def _reason(data: _Data) -> str | None:
    if data.choices:
        return data.choices[0].finish_reason
    if isinstance(data.delta, _Delta):
        return data.delta.stop_reason
    return data.response.status if data.response and data.type in ENDS else None

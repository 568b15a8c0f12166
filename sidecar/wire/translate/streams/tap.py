"""
What a passing stream says about itself, where it is relayed as it is: usage, how it ended, whether it ended.

Almost every chunk is one whole event, or several, with nothing of interest: a search for a few words tells, and nothing
is parsed. In text the quotes are escaped, so that the words are found in keys and values only.
"""

import msgspec
from msgspec import Raw, Struct

from sidecar.wire.formats import Format
from sidecar.wire.sse import BLANK_LINES, BrokenStream, Event, EventParser
from sidecar.wire.translate.neutral import Usage
from sidecar.wire.translate.streams.usage import NOTHING, read_usage

WORDS = {
    Format.CHAT: (b'"usage":{', b'"usage": {', b"[DONE]", b'"error"', b'"finish_reason":"', b'"finish_reason": "'),
    Format.MESSAGES: (b'"usage"', b'"stop_reason"', b"message_stop", b'"error"'),
    Format.RESPONSES: (b'"response"', b'"error"'),
}
"""Every event of interest has one of these; what has one of these and is of none costs a parse."""
MAX_EVENT_BYTES = 8 * 1024 * 1024
"""What is longer is not looked at, and neither is what follows."""
ENDS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


class _Choice(Struct):
    finish_reason: str | None = None


class _Inner(Struct):
    usage: Raw = NOTHING
    status: str | None = None


class _Delta(Struct):
    stop_reason: str | None = None


class _Data(Struct):
    """All formats at once: no two use one name for two things."""

    type: str = ""
    usage: Raw = NOTHING
    error: object = None
    choices: list[_Choice] | None = None
    delta: _Delta | str | None = None
    message: _Inner | str | None = None
    response: _Inner | None = None


_decoder = msgspec.json.Decoder(_Data)


class UsageTap:
    """Give `feed` every chunk that passes. Never raises: what cannot be read is none of its business."""

    def __init__(self, form: Format) -> None:
        self._format = form
        self._words = WORDS[form]
        self._events: EventParser | None = EventParser(MAX_EVENT_BYTES)
        self.usage: Usage | None = None
        self.complete = False
        """Whether the event came that ends every whole stream: `[DONE]`, `message_stop`, `response.completed` …"""
        self.failed = False
        """Whether the provider itself said that something went wrong."""
        self.finished_reason: str | None = None
        """Why the model stopped, in the provider's word: `finish_reason`, `stop_reason`, a Response's `status`."""

    def feed(self, chunk: bytes) -> None:
        events = self._events
        if events is None or (events.idle and chunk.endswith(BLANK_LINES) and not self._interesting(chunk)):
            return
        try:
            for event in events.feed(chunk):
                if self._interesting(event.data):
                    self._look(event)
        except BrokenStream:
            self._events = None

    def _interesting(self, data: bytes) -> bool:
        for word in self._words:  # noqa: SIM110 - half the time of any()
            if word in data:
                return True
        return False

    def _look(self, event: Event) -> None:
        if event.data.startswith(b"[DONE]"):
            self.complete = True
            return
        try:
            data = _decoder.decode(event.data)
        except (ValueError, RecursionError):
            return
        inner = data.response or (data.message if isinstance(data.message, _Inner) else None)
        self.usage = read_usage(self._format, inner.usage if inner else data.usage, self.usage)
        self.finished_reason = _reason(data) or self.finished_reason
        kind = data.type or event.event
        self.complete = self.complete or kind in ENDS
        self.failed = self.failed or bool(data.error) or kind in ("error", "response.failed")


def _reason(data: _Data) -> str | None:
    if data.choices:
        return data.choices[0].finish_reason
    if isinstance(data.delta, _Delta):
        return data.delta.stop_reason
    return data.response.status if data.response and data.type in ENDS else None

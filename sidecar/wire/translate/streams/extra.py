"""
Takes out of a passing chat completions stream the usage chunk that only we asked for.

Set `stream_options.include_usage` for a client that did not, and one more event comes before `[DONE]`:

    data: {"id": …, "choices": [], "usage": {"prompt_tokens": …}}

It goes, with its blank line; every other byte passes unchanged, and as soon as it is clear that its event is not this
one: in the middle of it, if need be, as when `"choices": [{` has come. (The `"usage": null` in the other chunks stays: to
take it out would mean to write them anew.)

https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options
"""

import re

import msgspec
from msgspec import Struct

from sidecar.wire.sse import BLANK_LINES, EventParser

MAX_EVENT_BYTES = 64 * 1024
"""No usage chunk is this long: a longer event passes while it comes."""
BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*[^\s\]]')
LOOK_BACK_BYTES = 32
"""No more of what was searched already is searched again: a cut through longer white space only delays an event."""


class _Chunk(Struct):
    choices: list[object] | None = None
    usage: object = None


_decoder = msgspec.json.Decoder(_Chunk)


class UsageFilter:
    """
    What `feed` gives may be relayed. What is held back then comes from `close` when the provider is through, from
    `broken` when it broke off.
    """

    def __init__(self) -> None:
        self._held = bytearray()  # an unfinished event, of which nothing has gone
        self._looked = 0  # up to here, nothing that is held ends an event
        self._tail: bytes | None = None  # the last bytes of an unfinished event that is going already
        self._after_cr: bytes | None = None  # what becomes of a LF now: it belongs to the event before, cut at its CR

    @property
    def idle(self) -> bool:
        """Whether everything that was fed has gone or will never go, in whole events: `feed` begins anew."""
        return not self._held and self._tail is None and self._after_cr is None

    def feed(self, chunk: bytes) -> bytes:
        lead = b""
        if self._after_cr is not None and chunk:
            if chunk[:1] == b"\n":
                lead, chunk = self._after_cr, chunk[1:]
            self._after_cr = None
        if self._tail is not None:
            rest, chunk = self._rest(self._tail, chunk)
            lead += rest
        if not self._held and chunk.endswith(BLANK_LINES) and NO_CHOICES.search(chunk) is None:
            self._after_cr = b"\n" if chunk.endswith(b"\r") else None
            return lead + chunk
        self._held += chunk
        return b"".join((lead, *self._whole_events(), self._beginning()))

    def close(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return b"" if _is_extra(held) else held

    def broken(self) -> bytes:
        """Half an event passes as it would without us, unless it can only be of the one that goes."""
        held, self._held = bytes(self._held), bytearray()
        return b"" if NO_CHOICES.search(held) else held

    def _rest(self, tail: bytes, chunk: bytes) -> tuple[bytes, bytes]:
        """What belongs to the event that is going, and what follows it."""
        found = BLANK_LINE.search(tail + chunk)
        if found is None:
            self._tail = (tail + chunk)[-3:]
            return chunk, b""
        self._tail = None
        end = found.end() - len(tail)
        if end == len(chunk) and chunk.endswith(b"\r"):
            self._after_cr = b"\n"
        return chunk[:end], chunk[end:]

    def _whole_events(self) -> list[bytes]:
        events: list[bytes] = []
        start = 0
        while (found := BLANK_LINE.search(self._held, max(start, self._looked - 3))) is not None:
            event = bytes(self._held[start : found.end()])
            start = found.end()
            extra = _is_extra(event)
            if not extra:
                events.append(event)
            if start == len(self._held) and event.endswith(b"\r"):
                self._after_cr = b"" if extra else b"\n"
        if start:
            del self._held[:start]
            self._looked = 0
        return events

    def _beginning(self) -> bytes:
        """Of an unfinished event, all that is here, once it is clear that it may go."""
        known = CHOICES.search(self._held, max(0, self._looked - LOOK_BACK_BYTES)) is not None
        self._looked = len(self._held)
        if not known and len(self._held) <= MAX_EVENT_BYTES:
            return b""
        gone, self._held, self._looked = bytes(self._held), bytearray(), 0
        self._tail = gone[-3:]
        return gone


def _is_extra(event: bytes) -> bool:
    """Whether the usage chunk is all that `event`, with its blank line or without, holds."""
    if len(event) > MAX_EVENT_BYTES or NO_CHOICES.search(event) is None:
        return False
    events = EventParser()
    found = [*events.feed(event), *events.close()]
    try:
        chunk = _decoder.decode(found[0].data) if len(found) == 1 else _Chunk()
    except (ValueError, RecursionError):
        return False
    return chunk.choices == [] and isinstance(chunk.usage, dict)

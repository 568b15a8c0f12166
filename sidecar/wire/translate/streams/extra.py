"""
Takes out of a passing chat completions stream the usage chunk that only we asked for.

Set `stream_options.include_usage` for a client that did not, and one more event comes before `[DONE]`:

    data: {"id": …, "choices": [], "usage": {"prompt_tokens": …}}

It goes, with its blank line; every other byte passes unchanged. (The `"usage": null` in the other chunks stays: to
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


class _Chunk(Struct):
    choices: list[object] | None = None
    usage: object = None


_decoder = msgspec.json.Decoder(_Chunk)


class UsageFilter:
    """What `feed` gives may be relayed; `close` gives what was held back when the provider is through."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._looked = 0  # up to here, nothing that is held ends an event
        self._passing = False  # whether the beginning of the held event has gone already
        self._after_cr: bytes | None = None  # what becomes of a LF now: it belongs to the event before, cut at its CR

    def feed(self, chunk: bytes) -> bytes:
        lead = b""
        if self._after_cr is not None and chunk:
            if chunk[:1] == b"\n":
                lead, chunk = self._after_cr, chunk[1:]
            self._after_cr = None
        if not self._held and chunk.endswith(BLANK_LINES) and NO_CHOICES.search(chunk) is None:
            self._after_cr = b"\n" if chunk.endswith(b"\r") else None
            return lead + chunk
        self._held += chunk
        return b"".join((lead, *self._whole_events(), self._overlong()))

    def close(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return b"" if not self._passing and _is_extra(held) else held

    def _whole_events(self) -> list[bytes]:
        events: list[bytes] = []
        start = 0
        while (found := BLANK_LINE.search(self._held, max(start, self._looked))) is not None:
            event = bytes(self._held[start : found.end()])
            start = found.end()
            extra = not self._passing and _is_extra(event)
            self._passing = False
            if not extra:
                events.append(event)
            if start == len(self._held) and event.endswith(b"\r"):
                self._after_cr = b"" if extra else b"\n"
        del self._held[:start]
        self._looked = max(0, len(self._held) - 3)
        return events

    def _overlong(self) -> bytes:
        """All but the last bytes, which may be the first of a blank line."""
        if not self._passing and len(self._held) <= MAX_EVENT_BYTES:
            return b""
        self._passing = True
        gone = bytes(self._held[: self._looked])
        del self._held[: self._looked]
        self._looked = 0
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

"""
Events that are like the last one but for their text, as nearly all of an answer's are: told by comparing bytes.

    data: {"id":"c","choices":[{"index":0,"delta":{"content":" there"},"finish_reason":null}],"obfuscation":"xK3"}
    └──────────────── begin ──────────────────────────────┘└ text ┘└───────────────── mid ────────────────┘   └ end

One event is read as JSON; of those that follow, all that is looked at is whether they begin and end as it did, and
whether what stands between is one JSON string. Such a string can change nothing around it, so they mean what the one
that was read meant, with another text. A fifth of the time that reading each takes.

The filling that some providers put into each event, to hide how long its text is, may change too: OpenAI's
`obfuscation`, and the blanks of Anthropic.
"""

import re
from functools import lru_cache

import msgspec

CHAT_TEXTS = ("content", "reasoning_content", "reasoning", "arguments", "refusal")
"""Of a chunk of chat completions, whatever can change from one to the next and has no meaning for its cost."""
MOST_LESSONS = 64
"""Of one stream: where no two events are alike, learning is wasted."""
_MARK_BYTES = 16
_UNLIKE = b"\0"
"""What no event begins with."""
_FILLED = re.compile(rb'(".*"obfuscation": ?")[0-9A-Za-z]*("\}\n\n)', re.DOTALL)
_PADDED = re.compile(rb'("\}) +(\}\n\n)')
_FILLING = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_text = msgspec.json.Decoder(str).decode
_texts = msgspec.json.Decoder(list[str]).decode


class Alike:
    """`keys`: which the text may have, within the JSON."""

    __slots__ = ("_begin", "_end", "_filling", "_from", "_joint", "_key", "_lessons", "_mid", "_till")

    def __init__(self, *keys: str) -> None:
        self._key = _key(keys)
        self._lessons = MOST_LESSONS
        self._mid = self._filling = b""
        self.forget()

    def forget(self) -> None:
        """No event is alike from here on."""
        self._begin = self._end = _UNLIKE
        self._joint = b""  # where there is none, there is no run: garbage may well begin and end as `_UNLIKE` does
        self._from, self._till = 1, 0

    def learn(self, event: bytes) -> None:
        """`event`, with the blank line that ends it: whole, its lines ended by LF, and read as JSON to have the text."""
        if self._lessons <= 0:
            return
        self._lessons -= 1
        self.forget()
        found = self._key.search(event)
        if found is None or event.count(found[1]) > 1:
            return
        begin, end, self._mid = event[: found.start(2)], event[found.end(2) :], b""
        if b"\\" in begin or b"\\" in end or not end.endswith(b"}\n\n"):
            return  # a key may be spelt with escapes
        for pattern, filling in ((_FILLED, _FILLING), (_PADDED, b" ")):
            if (parts := pattern.fullmatch(end)) is not None:
                self._mid, end, self._filling = parts[1], parts[2], filling
        self._begin, self._end, self._joint = begin, end, end + begin
        self._from, self._till = len(begin) - 1, 1 - len(end)

    def read(self, event: bytes) -> tuple[str, bytes] | None:
        """The text of `event`, and its JSON as it came; None where that is not like the one learnt."""
        if not (event.startswith(self._begin) and event.endswith(self._end)):
            return None
        raw = event[self._from : self._till] if not self._mid else self._unfilled(event)
        try:
            return _text(raw), raw
        except ValueError:
            return None

    def _unfilled(self, event: bytes) -> bytes:
        at = event.rfind(self._mid, self._from)
        filling = event[at + len(self._mid) : -len(self._end)]
        return b"" if at < 0 or filling.strip(self._filling) else event[self._from : at + 1]

    def run(self, events: bytes, at: int = 0) -> tuple[list[str], list[bytes], int] | None:
        """
        Of several events in a row, from `at` on: the texts of all that are alike, their JSON without quotes, and where
        the next event begins. None where the first is not alike, or something else stands between two that are.
        """
        if self._mid or not self._joint or not events.startswith(self._begin, at):
            return None
        at += len(self._begin)
        end, joint = events.rfind(self._end, at), self._joint
        if end < 0:
            return None
        body = events[at:end]
        # To search for all of what stands between two texts takes four times as long as for its beginning.
        first, *others = body.split(joint[:_MARK_BYTES])
        skipped = len(joint) - _MARK_BYTES
        raws = [first, *[other[skipped:] for other in others]]
        if joint.join(raws) != body:
            return None
        try:
            # A line's end cannot be within a string: so where there are as many strings, each of these is one.
            texts = _texts(b'["%b"]' % b'",\n"'.join(raws))
        except ValueError:
            return None
        return (texts, raws, end + len(self._end)) if len(texts) == len(raws) else None


@lru_cache(8)
def _key(keys: tuple[str, ...]) -> re.Pattern[bytes]:
    """Finds the first of `keys` that has a text which is not empty."""
    return re.compile(rb'("(?:%b)"): ?"([^"\\]+(?:\\.[^"\\]*)*|(?:\\.[^"\\]*)+)"' % "|".join(keys).encode(), re.DOTALL)

"""
A conversation grows at its end: what was read of it once is not read again.

A session's next request says byte for byte what its last one said, and a little more. So the messages that are known by
now are left out of what is decoded, and a mark stands in their place. To compare 100 KB takes 3 µs; to decode them 60,
and four times as long when they are many short messages or no ASCII.

    {"model":"m","messages":[{...},{...},{...},{...}],"stream":true}      a body
                             at          end
    {"model":"m","messages":[MARK ,      {...},{...}],"stream":true}      what is read of it the next time

It is right because JSON is read from left to right. From `at` to `end` there are whole messages, a comma behind each,
and the mark is such a one. What is decoded has the mark as the first of its messages, so `at` is where they begin; so it
is in order exactly where the body is, and says the same. A body that is not plainly so is read as a whole.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from attrs import frozen
from msgspec import Struct

LONG_BYTES = 16 * 1024
"""A shorter body is read as fast as its beginning is looked up."""
MOST_BYTES = 4 * 1024 * 1024
"""Of the bodies that are kept, all together: those of the conversations that were carried on last."""
HEAD_BYTES = 512
"""One session may be several conversations, with sub-agents say, which begin differently."""
MOST_ENDS = 4
"""Some clients change a few of their last messages: Claude Code moves its marks of what is to be cached."""
MARK = "\x7f"
"""A role that nobody has."""
USER = "user"

_MARKED = b'{"role":"%b"},' % MARK.encode()
_OPENS_LIST = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*")
_FIRST_KEY = re.compile(rb'\{[ \t\n\r]*"[a-z_]+"')
_Items = list[Any]


@frozen
class Grammar:
    """How the bodies of one format are read."""

    key: str
    """What the list of messages is called."""
    items: Callable[[bytes], _Items]
    """Decodes such a list. Raises ValueError, as msgspec.DecodeError is one, or RecursionError."""


class Known(Struct, frozen=True):
    """Up to where a text is known to be in order."""

    end: int
    """Behind the comma after a message."""
    first: _Items
    """The messages before it, to the first of the user, as they were decoded."""


class Text(Struct, frozen=True):
    """What is known of a conversation: the body that said it last."""

    body: bytes
    at: int
    """Where the list of its messages begins."""
    between: bytes
    """How one message ends and the next begins, as this client writes them."""
    known: tuple[Known, ...]
    """Ascending. The first is `at` itself, until enough others are known."""

    @property
    def first(self) -> _Items:
        return self.known[-1].first

    def unread(self) -> bytes:
        """The body with `MARK` in the place of the messages that are known."""
        whole = memoryview(self.body)
        return b"".join((whole[: self.at], _MARKED, whole[self.known[-1].end :]))

    def carried_on(self, body: bytes) -> "Text | None":
        """`body`, and what it has in common with this one; None when that is nothing."""
        mine = memoryview(self.body)
        for place in range(len(self.known), 0, -1):
            end = self.known[place - 1].end
            if body.startswith(mine[:end]):
                return Text(body, self.at, self.between, self.known[:place])
        return None

    def grown(self, items: Callable[[bytes], _Items]) -> "Text":
        """The same, with all known but its last message, if it is in order."""
        known = self.known[-1]
        end = self.body.rfind(self.between, known.end) + 2  # a brace and a comma
        if end <= known.end:
            return self
        more = b"".join((b"[", memoryview(self.body)[known.end : end - 1], b"]"))
        try:
            if not more.isascii():  # the decoder checks only the strings it keeps
                more.decode()
            first = _to_the_user(known.first, items(more))
        except (ValueError, RecursionError):
            return self
        return Text(self.body, self.at, self.between, (*self.known[1 - MOST_ENDS :], Known(end, first)))


def begun(body: bytes, key: str) -> Text | None:
    """A body of which nothing is known. None when it is not plain where its messages begin."""
    name = b'"%b"' % key.encode()
    found = body.find(name)
    opened = _OPENS_LIST.match(body, found + len(name)) if found > 0 else None
    first_key = _FIRST_KEY.match(body, opened.end()) if opened is not None else None
    if opened is None or first_key is None:
        return None
    for comma in (b"},", b"}, "):
        between = comma + first_key.group()
        if body.find(between, opened.end()) > 0:
            return Text(body, opened.end(), between, (Known(opened.end(), []),))
    return None


def _to_the_user(first: _Items, more: _Items) -> _Items:
    if first and first[-1].role == USER:
        return first
    users = (place for place, item in enumerate(more, 1) if item.role == USER)
    return first + more[: next(users, len(more))]


class Texts:
    """
    The conversations that were carried on last, by session. They hold what users wrote: in memory, until others push
    them out.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str, bytes], Text] = OrderedDict()

    def of(self, session: str, grammar: Grammar, body: bytes) -> Text | None:
        """A body and what is known of it; None when that is nothing."""
        kept = self._kept.get((session, grammar.key, body[:HEAD_BYTES]))
        text = (kept and kept.carried_on(body)) or begun(body, grammar.key)
        text = text and text.grown(grammar.items)
        return text if text is not None and text.known[-1].end > text.at else None

    def keep(self, session: str, grammar: Grammar, text: Text) -> None:
        """To be called when all of its body turned out to be in order."""
        key = (session, grammar.key, text.body[:HEAD_BYTES])
        before = self._kept.pop(key, None)
        self._bytes += len(text.body) - (0 if before is None else len(before.body))
        self._kept[key] = text
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1].body)

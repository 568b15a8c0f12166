"""
Heads of requests that were seen before: their bytes are not parsed a second time.

A client on a kept connection sends the same head again and again, but for the length of its body and the session it is
in. What aiohttp's parser let through once, and `strict` too, it would let through again: so a head is looked up by its
bytes, those two values cut out, and what was worked out of it the first time holds. 33 of the 82 µs that a pinned
decision took went into finding that out anew.

    bytes ──cut──▶ key, session, length ──Table.get──▶ Seen ─▶ Known: a request, without a parser
                                             └─ not there: the parser; on its second coming the head is learnt

Only what is plain is kept (`_PLAIN_NOT`), in a table of bounded size. A head that came once only, as one that is signed
or carries a trace does, never gets in. Heads hold their clients' keys, as the requests themselves do; nothing here is
shown or told to anybody.
"""

import struct
from functools import cached_property
from typing import Any, Final

from aiohttp import HttpVersion11
from aiohttp.http import RawRequestMessage
from msgspec import Struct
from multidict import CIMultiDictProxy

from sidecar.routing.session import LONGEST_ID

DECIDES: Final = "/routing/v1/"
"""How the paths begin where a decision alone is asked for."""
MOST_HEADS: Final = 256
MOST_ONCE: Final = 1024
"""So many heads that came once are remembered to have come, by a hash."""
LONGEST_HEAD: Final = 4096
"""In bytes. Coding agents send 500 to 1,500."""
MOST_MEASURES: Final = 8
"""So many widths of its two values are remembered of one head, each with a copy of the head."""
_DIGITS: Final = 12

_LENGTH = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
_SESSION = (b"\r\nX-Session-Id: ", b"\r\nx-session-id: ")
"""As clients write them; the first is tried first."""
_LENGTH_WIDTH, _SESSION_WIDTH = len(_LENGTH[0]), len(_SESSION[0])
_VISIBLE = bytes(range(0x21, 0x7F))

_PLAIN_NOT = (
    # what changes the framing, or the way through the listener
    "transfer-encoding", "content-encoding", "expect", "upgrade", "origin",
    # what is different each time: it would be kept for nothing
    "traceparent", "x-request-id",
    # what a session is told beside its name
    "x-sidecar-pin", "x-parent-session-id", "x-model-affinity",
)  # fmt: skip


class Cut(Struct, frozen=True, gc=False):
    """The head that some bytes begin with, taken apart: what is the same each time, and what is not."""

    key: bytes
    session: bytes
    """Empty where there is none."""
    length: int
    """Of its body, in bytes."""
    body_at: int
    places: tuple[int, int, int, int]
    """Where the length begins and ends, and the session; that is empty and behind the length where there is none."""


class Seen:
    """One head, but for its two values. Each is its own; what follows from it may be remembered by it."""

    def __init__(self, message: RawRequestMessage, path: str) -> None:
        self.method: str = message.method
        self.path = path
        self.raw_path: str = message.path
        self.decides = path.startswith(DECIDES)
        """Whether a decision alone is asked for."""
        self.headers: CIMultiDictProxy[str] = message.headers
        """Those of the request that it was learnt from, its session and its length among them."""
        self.user_agent: str = message.headers.get("user-agent", "")
        self._measured: dict[tuple[int, int, int, int], Measured] = {}

    def measured(self, data: bytes, found: Cut) -> "Measured":
        """The places in `data`, which begins with this head, as `found` says."""
        measured = self._measured.get(found.places)
        if measured is None:
            _bounded(self._measured, MOST_MEASURES)
            measured = self._measured[found.places] = Measured(self, data, found)
        return measured

    @cached_property
    def product(self) -> str:
        """The client, by the name before the version in its `user-agent`."""
        return self.user_agent.partition("/")[0]


class Measured:
    """
    One head with values of certain widths. The next one on a connection most often has them too, so it is looked for at
    its known places first, before anything is searched: 11,000 instructions less of 150,000.
    """

    __slots__ = ("after", "before", "between", "head", "length_first", "parts", "size")

    def __init__(self, head: Seen, data: bytes, found: Cut) -> None:
        length, session = found.places[:2], found.places[2:]
        self.head = head
        self.length_first = length < session
        (first, first_end), (second, second_end) = sorted((length, session))
        self.size = found.body_at
        """Of the head, in bytes."""
        self.before, self.between, self.after = data[:first], data[first_end:second], data[second_end : self.size]
        widths = (first, first_end - first, second - first_end, second_end - second, self.size - second_end)
        self.parts = struct.Struct("{}s{}s{}s{}s{}s".format(*widths)).unpack_from
        """Of bytes that are no fewer: `before`, a value, `between`, the other value, `after`."""


class Table:
    """The heads of one listener, under one set of limits."""

    def __init__(self) -> None:
        self._seen: dict[bytes, Seen] = {}
        self.get = self._seen.get
        self._once: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def learn(self, key: bytes, message: RawRequestMessage, path: str) -> None:
        """A plain head that is here for the second time is kept. It was found to be sound."""
        once = hash(key)
        if once not in self._once:
            _bounded(self._once, MOST_ONCE)
            self._once[once] = None
            return
        _bounded(self._seen, MOST_HEADS)
        self._seen[key] = Seen(message, path)


def cut(data: bytes) -> Cut | None:
    """None where there is no whole head, or none that could be in the table."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD)
    if end < 0:
        return None
    length_at = data.find(_LENGTH[0], 0, end)
    if length_at < 0 and (length_at := data.find(_LENGTH[1], 0, end)) < 0:
        return None
    length_at += _LENGTH_WIDTH
    length_end = data.find(b"\r\n", length_at)
    length = data[length_at:length_end]
    if not length.isdigit() or len(length) > _DIGITS or (length[:1] == b"0" and length != b"0"):
        return None
    session_at = data.find(_SESSION[0], 0, end)
    if session_at < 0 and (session_at := data.find(_SESSION[1], 0, end)) < 0:
        places = (length_at, length_end, length_end, length_end)
        return Cut(data[:length_at] + data[length_end:end], b"", int(length), end + 4, places)
    session_at += _SESSION_WIDTH
    session_end = data.find(b"\r\n", session_at)
    session = data[session_at:session_end]
    if not is_visible(session):
        return None  # whatever it is, it is for the parser, and for whoever says what a session id is
    if session_at < length_at:
        key = data[:session_at] + data[session_end:length_at] + data[length_end:end]
    else:
        key = data[:length_at] + data[length_end:session_at] + data[session_end:end]
    return Cut(key, session, int(length), end + 4, (length_at, length_end, session_at, session_end))


def is_visible(session: bytes) -> bool:
    """Whether it is what a session may be called, `sidecar.routing.session.is_session_id`, in bytes."""
    return 0 < len(session) <= LONGEST_ID and not session.translate(None, _VISIBLE)


def is_plain(message: RawRequestMessage) -> bool:
    """Whether nothing in the head asks for more than an answer, and each of the two values is there once at most."""
    headers = message.headers
    return (
        message.method == "POST"
        and message.version is HttpVersion11
        and not (message.should_close or message.upgrade)
        and message.path[:1] == "/"
        and len(headers.getall("content-length")) == 1
        and len(headers.getall("x-session-id", ())) <= 1
        and not any(name in headers for name in _PLAIN_NOT)
    )


def _bounded(table: dict[Any, Any], most: int) -> None:
    """The oldest makes room."""
    if len(table) >= most:
        del table[next(iter(table))]


def lines_of(head: bytes) -> int:
    """How many header lines are in a head, which is cut before its blank line; -1 where not all end as they should."""
    ends = head.count(b"\r\n")
    return ends if head.count(b"\n") == ends and head.count(b"\r") == ends else -1

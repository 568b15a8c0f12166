"""
Where in a provider's head each header stands: found once for all heads with the same names on the same lines.

From answer to answer the values change (dates, ids, rate limits), and the names hardly ever do. So a head is split into
its lines, and all that is looked at is whether each begins as it did the last time: 1 µs, where to take a head apart by
its names took 4 to 12.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

_MOST = 256
_MOST_VALUES = 64
_LONG_BYTES = 4096
"""Names longer than this in all are looked at each time."""


class Shape:
    """
    The names on the lines of a head, the first line and an empty last one counted. Where a header stands is the number
    of its first line, 0 for nowhere.
    """

    __slots__ = (
        "begins", "connection", "content_encoding", "content_length", "content_type", "dated", "forms", "found",
        "height", "is_counted", "marked", "marks_of", "names", "transfer_encoding",
    )  # fmt: skip

    def __init__(self, names: Sequence[bytes]) -> None:
        lowered = [name.lower() for name in names]
        self.names = tuple(name.decode("utf-8", "surrogateescape") for name in names)
        """Those of the headers, as they are spelt."""
        self.begins = (b"", *(name + b":" for name in names), b"")
        """What each line of such a head begins with."""
        self.height = len(self.begins)
        """How many lines it has."""
        self.content_type = _line_of(b"content-type", lowered)
        self.content_encoding = _line_of(b"content-encoding", lowered)
        self.content_length = _line_of(b"content-length", lowered)
        self.connection = _only_line_of(b"connection", lowered)
        self.transfer_encoding = _only_line_of(b"transfer-encoding", lowered)
        """As the one before it, -1 for more than one: the empty line, on which there is no word that is looked for."""
        self.dated = b"date" in lowered
        self.is_counted = bool(self.content_length) and not self.transfer_encoding
        """Whether a length says where the body ends."""
        self.found: dict[Hashable, tuple[bool, ...]] = {}
        """What others have made of the names: which lines cross, by what for."""
        self.marked = (0, self.content_type, self.content_encoding, self.connection, self.transfer_encoding)
        """The lines that mean something to us, and the first one."""
        self.marks_of = itemgetter(*self.marked)
        """What stands there, out of such a head."""
        self.forms: dict[Hashable, Any] = {}
        """What others have made of such heads, by what stands on these lines."""


def shape_of(lines: list[bytes]) -> Shape:
    """Of a head in lines."""
    names = tuple([line.partition(b":")[0] for line in lines[1:-1]])
    return _kept(names) if sum(map(len, names)) <= _LONG_BYTES else Shape(names)


def _line_of(name: bytes, lowered: list[bytes]) -> int:
    return lowered.index(name) + 1 if name in lowered else 0


def _only_line_of(name: bytes, lowered: list[bytes]) -> int:
    return _line_of(name, lowered) if lowered.count(name) <= 1 else -1


_kept = lru_cache(_MOST)(Shape)
BLANK = Shape(())
"""Of a head without headers."""


@lru_cache(_MOST_VALUES)
def told(line: bytes) -> str:
    """The value on a header's line, in lower case."""
    return line.partition(b":")[2].strip(b" \t").lower().decode("utf-8", "surrogateescape")

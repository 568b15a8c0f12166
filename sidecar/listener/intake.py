"""
The bytes that come in on one connection, and which of them aiohttp's parser is asked about.

    between two requests ──the head is known──▶ a request, its body counted off here
                         └─ it is not ────────▶ the parser, until it is between two requests again

The head that came last is looked for first (`Measured`): a connection most often has one client, and one session.

Both read one stream of bytes, so at each moment it must be certain where in it they are. What the parser was given is
counted too: a head ends at its first blank line, which is certain where all of its lines end alike and are as many as
the parser found, and then comes a body of the length that is told. Where that cannot be said (chunks, requests behind
each other), the parser has this connection for good.
"""

from typing import Any

from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage

from sidecar.listener.incoming import Carrier, Known
from sidecar.listener.seen import LONGEST_HEAD, Measured, Table, cut, is_plain, is_visible, lines_of


class Intake:
    """Of one connection. `table`: the heads that are known where it was made."""

    __slots__ = ("_begun", "_body", "_key", "_left", "_name", "_session", "_table", "_usual", "remote", "wanted")

    def __init__(self, table: Table) -> None:
        self.remote: str | None = None
        self._table = table
        self._begun = b""
        """The beginning of a head, as the parser has it."""
        self._left: int | None = 0
        """Of the body that the parser reads; None: nobody knows where it is."""
        self._key: bytes | None = None
        """Of the head that the parser has just read, and that may be learnt."""
        self.wanted = 0
        """How much is to come of a body that is counted off here: it is for `more`."""
        self._body: StreamReader | None = None
        self._usual: Measured | None = None
        """The head that was known last."""
        self._session = b""
        self._name: str | None = None
        """The session in it, as it came and as text; empty and None without one."""

    @property
    def counts_off(self) -> bool:
        """Whether a body is being read here, and not by the parser."""
        return self._body is not None

    def known(self, data: bytes, carrier: Carrier) -> tuple[Known | None, bytes]:
        """
        The request that `data` begins with, if its head is known and no other waits; and what is for the parser.
        `carrier` has us and is not kept: a connection that is lost would wait for the collector.
        """
        if self._left != 0 or self._begun:
            return None, data
        if (usual := self._usual) is not None and (length := self._measured(data, usual)) >= 0:
            return self._read(usual, length, data, carrier)
        found = cut(data)
        if found is None:
            self._key = None
            return None, data
        head = self._table.get(found.key)
        if head is None:
            self._key = found.key
            return None, data
        self._usual = usual = head.measured(data, found)
        self._session, self._name = found.session, found.session.decode() or None
        return self._read(usual, found.length, data, carrier)

    def _measured(self, data: bytes, usual: Measured) -> int:
        """How long the body is behind `usual`, which `data` begins with; -1 where it does not, or not plainly."""
        if len(data) < usual.size:
            return -1
        before, one, between, other, after = usual.parts(data)
        if before != usual.before or between != usual.between or after != usual.after:
            return -1
        length, session = (one, other) if usual.length_first else (other, one)
        if not length.isdigit() or length < b"1":  # a zero in front is for `cut`
            return -1
        if session != self._session:
            if session and not is_visible(session):
                return -1
            self._session, self._name = session, session.decode() or None
        return int(length)

    def _read(self, usual: Measured, length: int, data: bytes, carrier: Carrier) -> tuple[Known, bytes]:
        """The request whose head, of `usual`'s form, `data` begins with; and what comes behind it."""
        head, begin = usual.head, usual.size
        end = begin + length
        request = Known(
            head.method,
            head.path,
            head.raw_path,
            head,
            self._name,
            length,
            data[begin:end] if end <= len(data) else None,
            self.remote,
            carrier,
        )
        if request.whole is None:
            request.read = self._body = carrier.body()
            self.wanted = length
            return request, self.more(data[begin:])
        return request, data[end:] if end < len(data) else b""

    def more(self, data: bytes) -> bytes:
        """More of the body that is counted off here; what comes after it."""
        body, rest = self._body, b""
        if len(data) > self.wanted:
            data, rest = data[: self.wanted], data[self.wanted :]
        self.wanted -= len(data)
        if body is not None:
            body.feed_data(data)
            if not self.wanted:
                self._body = None
                body.feed_eof()
        return rest

    def over(self) -> None:
        """Nothing more comes. The body, which has the connection, is let go of."""
        self._body = None

    def parsed(self, data: bytes, messages: list[tuple[Any, Any]]) -> None:
        """The parser was given `data`, and made so many requests of it."""
        if self._left is None:
            return
        if self._left:
            self._left = self._left - len(data) if not messages and len(data) <= self._left else None
        elif messages:
            self._left = _left(self._begun + data, messages)
            self._begun = b""
        elif len(self._begun) + len(data) <= LONGEST_HEAD:
            self._begun += data
        else:
            self._left, self._begun = None, b""
        if self._left is None:
            self._key = None

    def lose_track(self) -> None:
        """The parser may hold more than it has read."""
        self._left = self._key = None

    def pass_over(self) -> None:
        """The request that was parsed last was refused. What its head is found by must not name the next one's."""
        self._key = None

    def learn(self, message: RawRequestMessage, path: str) -> None:
        """The request that was parsed last is sound: its head may be known the next time."""
        key, self._key = self._key, None
        if key is not None and is_plain(message):
            self._table.learn(key, message, path)


def _left(data: bytes, messages: list[tuple[Any, Any]]) -> int | None:
    """How much of its body is to come after `data`, of which the parser has made `messages`; None: that is not known."""
    message = messages[0][0]
    end = data.find(b"\r\n\r\n")
    if len(messages) > 1 or end < 0 or not isinstance(message, RawRequestMessage) or not data[:1].isalpha():
        return None
    headers = message.headers
    if message.upgrade or message.chunked or "transfer-encoding" in headers or lines_of(data[:end]) != len(headers):
        return None
    left = end + 4 + int(headers.get("content-length", "0")) - len(data)
    return left if left >= 0 else None

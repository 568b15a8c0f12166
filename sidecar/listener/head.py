"""
The head of an answer as bytes, and how its body is framed: RFC 9112, 4, 5 and 6.

Headers that come as `Lines` are known already by whoever made them, and are sent as they are. Others are made into one
string and looked at as one: to lower-case all of it and to search it takes a microsecond, however many there are.
"""

import re
import time
from collections.abc import Callable, Collection
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct

from sidecar.upstream.relaying import Lines

_CONTROLS = bytes((*range(0x09), *range(0x0A, 0x20), 0x7F))
"""What a header may not hold, RFC 9110, 5.5: a line of its own could be made of it."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"^content-length:([^\r]*)\r\n", re.IGNORECASE | re.MULTILINE)
_NO_LENGTH = frozenset((*range(100, 200), 204))
"""RFC 9110, 8.6: an answer that has no body by its status tells no length of one."""
_EMPTY = _NO_LENGTH | {304}
"""Without a body; but 304 may tell how long it would be."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}

Headers = Collection[tuple[str, str]] | Lines


class Head(Struct):
    """The bytes, and what they promise of the body."""

    sent: bytes
    length: int | None
    """Of the body, where it is told."""
    chunked: bool
    empty: bool
    """Whether there is no body, whatever the head says of one."""
    keeps_alive: bool


@lru_cache(256)
def status_line(status: int, reason: str | None, http_10: bool) -> bytes:  # noqa: FBT001 - the key of a cache
    """`reason`: None for the one that belongs to the status, if any does."""
    reason = _PHRASES.get(status, "") if reason is None else clean(reason)
    return f"HTTP/1.{0 if http_10 else 1} {status} {reason}\r\n".encode(errors="surrogateescape")


def clean(text: str) -> str:
    """With a space for whatever may not be in a header, as RFC 9110, 5.5 has it."""
    return _CONTROL.sub(" ", text)


def cleaned(headers: Headers) -> list[tuple[str, str]]:
    """One by one."""
    if isinstance(headers, Lines):
        lines = headers.sent.decode(errors="surrogateescape").split("\r\n")[:-1]
        headers = [(name, value.strip(" \t")) for name, _, value in [line.partition(":") for line in lines]]
    return [(clean(name), clean(value)) for name, value in headers]


class Heads:
    """Makes heads. `clock`: Unix time, seconds."""

    __slots__ = ("_clock", "_date", "_second")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._date = b""

    def made(
        self,
        method: str,
        status: int,
        reason: str | None,
        headers: Headers,
        *,
        body: int | None,
        http_10: bool,
        keeps_alive: bool,
    ) -> Head:
        """
        The head of an answer to a request by `method`. `body`: how long its body is, when all of it is here; else it
        is as long as `headers` say, or chunked, or for HTTP/1.0 ended by the end of the connection.

        What `headers` hold is kept but for a length that is not true. `date` is added, and how the body is framed.
        """
        lines = headers if isinstance(headers, Lines) else _lines(headers)
        sent, length = lines.sent, lines.length
        empty = method == "HEAD" or status in _EMPTY
        chunked, more = False, b""
        if length is not None:
            if empty or length != body:
                sent, length = _corrected(sent, length, status, body, empty=empty)
        elif body is None:
            chunked, keeps_alive = not (empty or http_10), keeps_alive and (empty or not http_10)
            more = b"transfer-encoding: chunked\r\n" if chunked else b""
        else:
            length = body
            more = b"content-length: %d\r\n" % body if body or not empty else b""
        if keeps_alive is http_10 and not lines.connects:
            more += b"connection: keep-alive\r\n" if http_10 else b"connection: close\r\n"
        date = b"" if lines.dated else self._date_line()
        first = status_line(status, reason, http_10)
        return Head(b"%b%b%b%b\r\n" % (first, sent, more, date), length, chunked, empty, keeps_alive)

    def plain(self, status: int, reason: str | None, lines: Lines, body: bytes) -> bytes | None:
        """
        What `made` gives, and `body` behind it, for an HTTP/1.1 connection that goes on: as nearly every whole answer,
        and half as much work. None where there is more to be looked at.
        """
        size, told = len(body), lines.length
        if not size or status in _EMPTY or lines.connects or (told is not None and told != size):
            return None
        length = b"content-length: %d\r\n" % size if told is None else b""
        date = b"" if lines.dated else self._date_line()
        return b"".join((status_line(status, reason, False), lines.sent, length, date, b"\r\n", body))  # noqa: FBT003

    def _date_line(self) -> bytes:
        now = int(self._clock())
        if now != self._second:
            self._second, self._date = now, f"date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._date


def _corrected(sent: bytes, told: int, status: int, body: int | None, *, empty: bool) -> tuple[bytes, int | None]:
    """Lines that tell a length, corrected; and the length."""
    if status in _NO_LENGTH:
        return _LENGTH.sub(b"", sent, 1), None
    if body is None or empty:
        return sent, told
    return _LENGTH.sub(b"content-length: %d\r\n" % body, sent, 1), body


def _lines(headers: Collection[tuple[str, str]]) -> Lines:
    """Bytes that were no UTF-8 when they were read are again what they were."""
    sent = "\r\n".join([*map(": ".join, headers), ""]).encode(errors="surrogateescape")
    if len(sent) - len(sent.translate(None, _CONTROLS)) != 2 * len(headers):
        sent = "\r\n".join([*map(": ".join, cleaned(headers)), ""]).encode(errors="surrogateescape")
    lowered = sent.lower()
    found = _LENGTH.search(lowered) if b"content-length:" in lowered else None
    # A value cannot begin a line, so what follows the end of one is a name.
    lowered = b"\n%b" % lowered
    return Lines(sent, int(found[1]) if found else None, b"\ndate:" in lowered, b"\nconnection:" in lowered)

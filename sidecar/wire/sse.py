"""
Server-Sent Events: chunks of bytes -> events, cut at any byte, and back.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

    event: name          optional
    data: text           any number, joined by LF
    : comment            ignored, as are `id` and `retry`: they are for reconnecting, and nobody reconnects to a POST
                         a blank line ends the event; a line ends with LF, CRLF or CR

Everything that has a meaning here is ASCII, so nothing is decoded: a UTF-8 character cut in two is whole again when its
line is.
"""

from collections.abc import Iterator

from msgspec import Struct

from sidecar.errors import UpstreamError

MAX_EVENT_BYTES = 16 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
BLANK_LINES = (b"\n\n", b"\r\r", b"\n\r\n", b"\r\r\n")
"""How a stream can end when its last line is blank, the two ends of lines told apart wherever the blank one is CRLF."""


class BrokenStream(UpstreamError):
    """A provider's stream broke off, or makes no sense, after the first byte."""

    code = "upstream_reset"


class Event(Struct, frozen=True, gc=False):
    """One event as it was sent. A Struct, not attrs: thousands are made for every answer."""

    event: str | None
    data: bytes
    """UTF-8 as it came, unchecked; several `data` lines are joined by LF."""


class EventParser:
    """Give `feed` the chunks as they come; after the last one, `close` gives what a sloppy server left unfinished."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []  # the pieces of an unfinished line: joined once, so that long lines stay linear
        self._line_bytes = 0
        self._event: str | None = None
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._after_cr = False
        self._first = True

    @property
    def idle(self) -> bool:
        """Whether nothing of an unfinished event is kept."""
        return not (self._line or self._data or self._event is not None)

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """
        The events that `chunk` completes. To be consumed wholly before the next call.

        Raises BrokenStream, after the events before it, at an event over the bound.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\n" not in chunk and b"\r" not in chunk:
            self._keep(chunk)
            return
        for line in self._lines(chunk):
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                yield event
        self._bound(self._line_bytes)

    def whole(self, chunk: bytes) -> list[Event] | None:
        """
        What `feed` would give for a chunk of whole events as the providers write them: LF, one `data` line, perhaps an
        `event` before it. None for any other, which must be fed. A third of the time.
        """
        if self._line or self._data or self._event is not None or self._after_cr or len(chunk) > self._max_event_bytes:
            return None
        if not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        events = []
        for text in chunk[:-2].split(b"\n\n"):
            name, at = None, 0
            if not text.startswith(b"data: "):
                at = text.find(b"\n") + 1
                if not (at and text.startswith(b"event: ") and text.startswith(b"data: ", at)):
                    return None
                name = text[7 : at - 1].decode(errors="replace")
            if text.find(b"\n", at) >= 0:
                return None
            events.append(Event(name, text[at + 6 :]))
        self._first = False  # a byte order mark would have been found to be no name
        return events

    def close(self) -> Iterator[Event]:
        """
        The event without its blank line at the end of the stream, if there is one.

        The standard throws it away; but some servers forget the blank line after their last event, and whoever reads
        JSON will notice half an event.
        """
        yield from self.feed(b"\n\n")

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_bytes += len(piece)
            self._bound(self._line_bytes)

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes; what follows them is kept."""
        if self._line:
            chunk = b"".join((*self._line, chunk))
        lines = chunk.splitlines()  # of bytes, splits at LF, CRLF and CR only
        self._after_cr = chunk[-1:] == b"\r"
        self._line = [] if self._after_cr or chunk[-1:] == b"\n" else [lines.pop()]
        self._line_bytes = len(self._line[0]) if self._line else 0
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(BOM)
        return lines

    def _field(self, line: bytes) -> None:
        self._bound(len(line))
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode(errors="replace")

    def _dispatch(self) -> Event | None:
        event = Event(self._event, b"\n".join(self._data)) if self._data else None
        self._event, self._data, self._data_bytes = None, [], 0
        return event

    def _bound(self, line_bytes: int) -> None:
        if self._data_bytes + line_bytes > self._max_event_bytes:
            raise BrokenStream(f"the provider sent an event of more than {self._max_event_bytes} bytes")


class BoundaryTracker:
    """
    Whether a passing stream is between two events, where a comment or an event of ours may be put in.

    The last three bytes tell. After CR alone a LF may still belong to the same line end, and a client that looks for
    CRLF CRLF would not find it with something put between: such a place is not called a boundary.
    """

    def __init__(self) -> None:
        self.tail = b"\n\n"  # the start of a stream is a boundary too
        """At most three bytes."""

    def feed(self, chunk: bytes) -> None:
        self.tail = chunk[-3:] if len(chunk) > 2 else (self.tail + chunk)[-3:]  # noqa: PLR2004 - the three bytes

    @property
    def between(self) -> bool:
        return self.tail.endswith(BLANK_LINES)


def event_bytes(data: bytes, event: str | None = None) -> bytes:
    """One event, as the providers write it: LF, one `data` line. `data` must be without line ends, as compact JSON is."""
    if event is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)

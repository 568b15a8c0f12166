"""
A provider's answer, read out of the bytes as they come: pure, so that any split of any answer can be tried without a
socket.

llhttp (Node's parser, in httptools) takes the framing apart. Each answer has a parser of its own: nothing of one answer
can be read into the next. What llhttp does not see to is seen to here: how long a head may be, whether a body may end
with its connection, and that nothing comes after an answer's end.
"""

from collections.abc import Callable
from functools import lru_cache

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_HEAD_BYTES = 64 * 1024
"""Of the first line and the headers of an answer, with any 1xx before it. Some content policies have more than 8 KiB."""
MAX_HEADERS = 256
"""Lines. Twice what any provider sends."""
SWITCHING = 101
"""Switching Protocols. What follows is no HTTP."""
_CODING = b"transfer-encoding:"
_CODINGS = frozenset({b"chunked", b"identity"})


class Malformed(Exception):
    """What comes is no answer, or no longer."""


class Answer:
    """
    One answer. `feed` it; `status` is there with its head, `pieces` are its body as far as it has not been `taken`.

    A 1xx is passed over, but for 101, which ends what can be read.
    """

    # Of the class, so that making one, for every request, sets only what is not the same for all: 0.4 µs of 1.4.
    status = 0
    """0 until the head is here."""
    begun = False
    """Whether some of its body was taken."""
    ended = False
    """Whether it is here to its end."""
    keeps_alive = False
    """Whether, at its end, the connection is good for another."""
    held_bytes = 0
    """Never less than what `pieces` are; their framing is counted too."""
    head = b""
    """The first line and the headers as they came, without the blank line: llhttp has found them to be sound."""
    lowered = b""
    """The same in lower case, for whoever looks for something in it."""
    _until_closed = False
    _received = b""
    _fed = 0

    def __init__(self, *, bare: bool = False) -> None:
        """`bare`: the answer to a HEAD, which has no body whatever its head says."""
        self.pieces: list[bytes] = []
        self.on_body: Callable[[bytes], None] = self.pieces.append
        self._bare = bare
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        # A bare line feed and a blank behind a chunk's size are what some servers send, and mean nothing else.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)

    @property
    def untouched(self) -> bool:
        """Whether nothing at all has come."""
        return self._fed == 0

    def feed(self, data: bytes) -> None:
        """Raises Malformed when this is no answer, or goes on after its end. What came before stays readable."""
        parser = self._parser
        if parser is None:
            raise Malformed("it went on after its answer")
        self._fed += len(data)
        self.held_bytes += len(data)
        had_head = self.status
        if not had_head:
            self._received += data
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self.keeps_alive = False  # what follows is no HTTP
        except HttpParserError as exc:
            self._parser = None
            self.keeps_alive = False
            if not had_head and not self.ended and not self.pieces:
                self.status = 0  # broken at once: there is nothing to hand out
            raise Malformed("its answer is not HTTP") from exc
        if self._bare and self.pieces:
            self.pieces.clear()
            raise Malformed("it gave a body where none can be")
        if not self.status and self._fed > MAX_HEAD_BYTES:
            raise Malformed("the head of its answer is too long")

    def close(self) -> bool:
        """The connection has ended. Whether that is an end of the answer too."""
        self._parser = None
        self.keeps_alive = False
        self.ended = self.ended or self._until_closed
        return self.ended

    @property
    def reason(self) -> str:
        return reason_in(self.head.partition(b"\n")[0])

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The headers in order, repeats kept. Bytes that are no UTF-8 are escaped as surrogates."""
        return pairs_of(self.head)

    def value(self, name: bytes) -> str | None:
        """Of the first header of a name, `name` and value being in lower case."""
        at = self.lowered.find(b"\n%b:" % name)
        if at < 0:
            return None
        begin = at + len(name) + 2
        return self.lowered[begin : self.lowered.index(b"\n", begin)].strip(b" \t\r").decode("utf-8", "surrogateescape")

    def taken(self) -> bytes:
        """The body as far as it is here and was not taken before."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.begun = self.begun or bool(data)
        pieces.clear()
        self.held_bytes = 0
        return data

    # What llhttp calls. What is raised here comes out of `feed` as Malformed. `on_body` is `pieces.append` itself.

    def on_message_begin(self) -> None:
        if self.ended:
            raise Malformed

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        head, rest_at = _head_in(self._received)
        if status < 200 and status != SWITCHING:  # noqa: PLR2004 - a status class
            if status < 100 or self.pieces:  # noqa: PLR2004 - the first there is
                raise Malformed
            self._received = self._received[rest_at:]
            return
        self._received = b""
        if head.count(b"\n") > MAX_HEADERS + 1 or len(head) > MAX_HEAD_BYTES or self.pieces:
            raise Malformed
        self.head = head
        self.lowered = lowered = head.lower()
        if b"\ncontent-length:" not in lowered or b"\ntransfer-encoding:" in lowered:
            self._until_closed = self._framed_by_end(lowered, status, keeps_alive=parser.should_keep_alive())
        self.status = status
        if self._bare:
            self.on_message_complete()

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is not None and self.status:
            self.ended = True
            self.keeps_alive = parser.should_keep_alive()
            self._parser = None  # it knows us too: so both go at once, without the collector

    def _framed_by_end(self, lowered: bytes, status: int, *, keeps_alive: bool) -> bool:
        """Whether only the end of the connection says where the body ends: RFC 9112 section 6.3."""
        chunked = False
        if b"\ntransfer-encoding:" in lowered:
            lines = [line for line in lowered.split(b"\n") if line.startswith(_CODING)]
            coding, *more = [line.partition(b":")[2].strip() for line in lines]
            if more or coding not in _CODINGS:
                raise Malformed  # it was not asked for one, and whoever gets the body would not know of it
            chunked = coding == b"chunked"
        bodiless = self._bare or status in (204, 304) or status == SWITCHING
        return not (keeps_alive or chunked or bodiless or b"\ncontent-length:" in lowered)


def _head_in(received: bytes) -> tuple[bytes, int]:
    """The first head of what came, which llhttp says is there, without its blank line; and where that ends."""
    begin = 0 if received[:1] == b"H" else len(received) - len(received.lstrip(b"\r\n"))
    end = received.find(b"\n\r\n", begin)
    bare = received.find(b"\n\n", begin, end if end >= 0 else None)
    at, width = (bare, 2) if bare >= 0 else (end, 3)
    return received[begin : at + 1], at + width


def pairs_of(head: bytes) -> list[tuple[str, str]]:
    """The headers of an answer that a parser let through. llhttp's callback for each takes three times as long."""
    lines = head.decode("utf-8", "surrogateescape").split("\n")[1:-1]
    return [(name, value.strip(" \t\r")) for name, _, value in [line.partition(":") for line in lines]]


@lru_cache(64)
def reason_in(first: bytes) -> str:
    """Of an answer's first line."""
    return first.decode("utf-8", "surrogateescape").partition(" ")[2].partition(" ")[2].strip()

"""
A provider's answer, read out of the bytes as they come: pure, so that any split of any answer can be tried without a
socket.

llhttp (Node's parser, in httptools) takes the framing apart. Each answer has a parser of its own: nothing of one answer
can be read into the next. What llhttp does not see to is seen to here: how long a head may be, whether a body may end
with its connection, and that nothing comes after an answer's end.

An answer that comes in one piece, with a head of a form that is well known by now, is read without the parser: `is_all`.
"""

import re
from collections.abc import Callable, Sequence

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from sidecar.upstream.form import NO_FORM, Form, form_of
from sidecar.upstream.shape import Shape, told

MAX_HEAD_BYTES = 64 * 1024
"""Of the first line and the headers of an answer, with any 1xx before it. Some content policies have more than 8 KiB."""
MAX_HEADERS = 256
"""Lines. Twice what any provider sends."""
SWITCHING = 101
"""Switching Protocols. What follows is no HTTP."""
_CODINGS = frozenset({"chunked", "identity"})


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
    """Never less than what `feed` left in `pieces`; their framing is counted too."""
    found: re.Match[bytes] | None = None
    """Its head, where that is one of a form with a pattern and needed no parser."""
    _lines: Sequence[bytes] = (b"", b"")
    _until_closed = False
    _received = b""
    _fed = 0
    _parser: HttpResponseParser | None = None
    _over = False
    _begins: list[None]
    parse: Callable[[bytes], object]
    """
    llhttp itself: `feed`, a call shorter, once the head is here, for whoever takes the pieces at once. Raises
    HttpParserError, and then `spoilt` must be told.
    """

    def __init__(self, guess: Form = NO_FORM, *, bare: bool = False) -> None:
        """
        `bare`: the answer to a HEAD, which has no body whatever its head says. `guess`: the form that its head may
        well have, as the last one on the same connection had it.
        """
        self.form = NO_FORM if bare else guess
        """What its head says, as far as it is the same for many. A guess until the head is here."""
        self.pieces: list[bytes] = []
        self._bare = bare

    @property
    def lines(self) -> Sequence[bytes]:
        """The head's lines without their ends, an empty one as the last. llhttp has found them to be sound."""
        return self._lines if self.found is None else self.found[0].split(b"\r\n")[:-1]

    @property
    def shape(self) -> Shape:
        """What stands on which of them."""
        return self.form.shape

    def is_all(self, data: bytes) -> bool:
        """
        Whether this, the first that comes, is all of an answer whose head has the form that was guessed, and known to be
        sound. It was read then. If not nothing has happened, and `feed` is to have it.
        """
        form = self.form
        found = form.match(data)
        if found is None or self._fed or self._over:
            return False
        body_at = found.end()
        length = int(found[form.length_in])
        if body_at + length != len(data) or body_at > MAX_HEAD_BYTES:
            return False
        self.found, self.status, self._fed = found, 200, body_at
        self.ended = self.keeps_alive = self._over = True
        if length:
            self.pieces.append(data[body_at:])
        return True

    def _begin(self) -> None:
        self.on_body: Callable[[bytes], None] = self.pieces.append
        # May be called once: a second message raises, and so comes out of `feed`. A call of ours would cost 0.2 µs.
        self._begins = [None]
        self.on_message_begin: Callable[[], None] = self._begins.pop
        parser = HttpResponseParser(self)
        # A bare line feed and a blank behind a chunk's size are what some servers send, and mean nothing else.
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)
        self._parser, self.parse = parser, parser.feed_data

    @property
    def untouched(self) -> bool:
        """Whether nothing at all has come."""
        return self._fed == 0

    def feed(self, data: bytes) -> None:
        """Raises Malformed when this is no answer, or goes on after its end. What came before stays readable."""
        if self._over:
            raise Malformed("it went on after its answer")
        if self._parser is None:
            self._begin()
        self.held_bytes += len(data)
        had_head = self.status
        if not had_head:
            self._fed += len(data)
            self._received = self._received + data if self._received else data
        try:
            self.parse(data)
        except HttpParserUpgrade:
            self.keeps_alive = False  # what follows is no HTTP
        except HttpParserError as exc:
            if not had_head and not self.ended and not self.pieces:
                self.status = 0  # broken at once: there is nothing to hand out
            raise Malformed(self.spoilt()) from exc
        if had_head:
            return
        if self._bare and self.pieces:
            self.pieces.clear()
            raise Malformed("it gave a body where none can be")
        if not self.status and self._fed > MAX_HEAD_BYTES:
            raise Malformed("the head of its answer is too long")

    def spoilt(self) -> str:
        """What came is no answer any longer. In words."""
        self.let_go()
        self.keeps_alive = False
        return "its answer is not HTTP"

    def close(self) -> bool:
        """The connection has ended. Whether that is an end of the answer too."""
        self.let_go()
        self.keeps_alive = False
        self.ended = self.ended or self._until_closed
        return self.ended

    def let_go(self) -> None:
        """Nothing more will be fed. What came stays readable."""
        # The parser knows us too: so both go at once, without the collector.
        self._parser, self.parse, self._over = None, _nothing_more, True

    @property
    def reason(self) -> str:
        return self.form.reason

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The headers in order, repeats kept. Bytes that are no UTF-8 are escaped as surrogates."""
        return pairs_of(self.lines)

    def taken(self) -> bytes:
        """The body as far as it is here and was not taken before."""
        pieces = self.pieces
        self.held_bytes = 0
        if len(pieces) == 1:
            self.begun = True
            return pieces.pop()
        data = b"".join(pieces)
        self.begun = self.begun or bool(data)
        pieces.clear()
        return data

    # What llhttp calls. What is raised here comes out of `feed` as Malformed. `on_body` is `pieces.append` itself.

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        status, received = parser.get_status_code(), self._received
        if status < 200 and status != SWITCHING:  # noqa: PLR2004 - a status class
            if status < 100 or self.pieces:  # noqa: PLR2004 - the first there is
                raise Malformed
            self._received = received[_head_in(received)[1] :]
            self._begins.append(None)  # another message follows
            return
        end = received.find(b"\r\n\r\n") + 2
        head = received[:end]
        lines = head.split(b"\r\n")
        if end < 2 or head.count(b"\n") != len(lines) - 1 or not lines[0]:  # noqa: PLR2004 - not found
            head = _head_in(received)[0]
            lines = head.replace(b"\r\n", b"\n").split(b"\n")
        self._received = b""
        if len(lines) > MAX_HEADERS + 2 or len(head) > MAX_HEAD_BYTES or self.pieces:
            raise Malformed
        self._lines, self.form = lines, (form := form_of(lines, self.form))
        if not form.shape.is_counted:
            self._until_closed = self._framed_by_end(form.shape, status, keeps_alive=parser.should_keep_alive())
        self.status = status
        if self._bare:
            self.on_message_complete()

    def on_message_complete(self) -> None:
        parser = self._parser
        if parser is not None and self.status:
            self.ended = True
            self.keeps_alive = parser.should_keep_alive()
            if self.keeps_alive and not self._bare:
                self.form.came(self._lines)
            self.let_go()

    def _framed_by_end(self, shape: Shape, status: int, *, keeps_alive: bool) -> bool:
        """Whether only the end of the connection says where the body ends: RFC 9112 section 6.3."""
        chunked = False
        if shape.transfer_encoding:
            coding = told(self._lines[shape.transfer_encoding])
            if coding not in _CODINGS:  # several of them among these
                raise Malformed  # it was not asked for one, and whoever gets the body would not know of it
            chunked = coding == "chunked"
        bodiless = self._bare or status in (204, 304) or status == SWITCHING
        return not (keeps_alive or chunked or bodiless or shape.content_length)


def _nothing_more(_data: bytes) -> None:
    raise HttpParserError


def _head_in(received: bytes) -> tuple[bytes, int]:
    """The first head of what came, which llhttp says is there, without its blank line; and where that ends."""
    begin = 0 if received[:1] == b"H" else len(received) - len(received.lstrip(b"\r\n"))
    end = received.find(b"\n\r\n", begin)
    bare = received.find(b"\n\n", begin, end if end >= 0 else None)
    at, width = (bare, 2) if bare >= 0 else (end, 3)
    return received[begin : at + 1], at + width


def pairs_of(lines: Sequence[bytes]) -> list[tuple[str, str]]:
    """The headers of an answer that a parser let through. llhttp's callback for each takes three times as long."""
    text = [line.decode("utf-8", "surrogateescape") for line in lines[1:-1]]
    return [(name, value.strip(" \t")) for name, _, value in [line.partition(":") for line in text]]

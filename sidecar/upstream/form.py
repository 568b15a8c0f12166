"""
Heads of providers' answers that say the same but for values that mean nothing here: dates, ids, lengths, limits.

    lines ──form_of──▶ Form: what follows from the first line, the names, and the few values that mean something

What follows is found out once for each form. After some answers of it that were read to their end a form has a pattern,
of all heads like those that the parser let through. An answer that comes in one piece behind such a head, and is as long
as that says, needs no parser: 27 of the 320 thousand instructions of a request.
"""

import re
from collections.abc import Callable, Sequence

from sidecar.upstream.relaying import AS_IT_IS, HOLDS, crossing_lines
from sidecar.upstream.shape import BLANK, Shape, shape_of, told

MOST_FORMS = 8
"""Of one shape."""
LONG_MARKS = 1024
"""In bytes. A form that is told by more than this is made each time."""
LONG_PATTERN = 4096
"""In bytes. A longer one is not made, for it would take more than 10 ms. Of a head with 25 names it has 1200."""
LEARNT_AFTER = 8
"""So many answers. To make a pattern takes some milliseconds, and a head that is seldom seen is not worth them."""
_begins = bytes.startswith
_PLAIN = frozenset({"", "identity"})
_OK = b"HTTP/1.1 200 "
"""How the first line of a form with a pattern begins: a status that always has a body."""
_NO_PATTERN = frozenset({"upgrade", "proxy-connection"})
"""What the parser looks at beside the marks. No model's answer has it."""
_LENGTH = rb"(0|[1-9][0-9]{0,8}+)"
_VALUE = rb"[\t -~\x80-\xff]*+"
"""RFC 9110, 5.5, as llhttp has it: no control character but a tab."""


class Form:
    """One form. Two heads of it differ in nothing that is told here."""

    __slots__ = (
        "_came", "content_encoding", "content_type", "is_encoded", "is_events", "length_in", "marks", "match", "reason",
        "shape",
    )  # fmt: skip

    def __init__(self, shape: Shape, marks: Sequence[bytes]) -> None:
        """`marks`: the lines that a form is told by, as `Shape.marks_of` gives them."""
        first, content_type, content_encoding, _, _ = marks
        self.shape = shape
        self.marks = marks
        self.reason = first.decode("utf-8", "surrogateescape").partition(" ")[2].partition(" ")[2].strip()
        self.content_type = told(content_type) if shape.content_type else ""
        """In lower case, as is the next; both are empty where nothing is said."""
        self.content_encoding = told(content_encoding) if shape.content_encoding else ""
        self.is_events = self.content_type.startswith("text/event-stream")
        """Whether the body is a stream of events, compressed or not."""
        self.is_encoded = self.content_encoding not in _PLAIN
        self.match: Callable[[bytes], re.Match[bytes] | None] = _no_match
        """
        Of an answer's bytes, from their first on. All groups in a row are the lines that cross to the client, each with
        its end.
        """
        self.length_in = 0
        """The group that is the body's length."""
        self._came = 0

    def came(self, lines: Sequence[bytes]) -> None:
        """An answer with this head was read to its end, and the connection is good for another."""
        self._came += 1
        if self._came != LEARNT_AFTER:
            return
        pattern = _pattern(self, lines)
        if pattern is not None and len(pattern) <= LONG_PATTERN:
            compiled = re.compile(pattern)
            self.match, self.length_in = compiled.match, compiled.groupindex["length"]


def form_of(lines: list[bytes], guess: Form) -> Form:
    """Of a head in lines. `guess` is the one that it may well have."""
    shape = guess.shape
    if len(lines) != shape.height or not all(map(_begins, lines, shape.begins)):
        shape = shape_of(lines)
    marks = shape.marks_of(lines)
    if shape is guess.shape and marks == guess.marks:
        return guess
    form = shape.forms.get(marks)
    if form is None:
        form = Form(shape, marks)
        if sum(map(len, marks)) <= LONG_MARKS:
            if len(shape.forms) >= MOST_FORMS:
                shape.forms.clear()
            shape.forms[marks] = form
    return form


def _pattern(form: Form, lines: Sequence[bytes]) -> bytes | None:
    """Of all heads of the form, with the blank line. None where more than the marks and a length have a meaning."""
    shape = form.shape
    names = [name.lower() for name in shape.names]
    name, blank, length = lines[shape.content_length].partition(b": ")
    if (
        not (form.marks[0].startswith(_OK) and shape.is_counted and blank and length.isdigit())
        or names.count("content-length") != 1
        or not _NO_PATTERN.isdisjoint(names)
        or shape.connection < 0
        or (shape.connection and told(lines[shape.connection]) not in HOLDS)
    ):
        return None
    pieces, fixed, crosses = [re.escape(lines[0]), rb"\r\n"], shape.marked, False
    for at, crossing in enumerate(crossing_lines(shape, AS_IT_IS)[1:-1], 1):
        if crosses is not crossing:
            pieces.append(b"(" if crossing else b")")
        crosses = crossing
        if at == shape.content_length:
            if not crossing:
                return None
            pieces += (re.escape(name + blank), b")", rb"(?P<length>" + _LENGTH[1:], b"(")
        else:
            line = lines[at]
            pieces.append(re.escape(line) if at in fixed else re.escape(line[: line.index(b":") + 1]) + _VALUE)
        pieces.append(rb"\r\n")
    return b"".join((*pieces, b")" if crosses else b"", rb"\r\n"))


def _no_match(_data: bytes) -> re.Match[bytes] | None:
    """Of a form that has no pattern, or none yet."""
    return None


NO_FORM = Form(BLANK, (b"", b"", b"", b"", b""))
"""Of no head at all."""

"""Answers behind heads that are well known: without a parser, what is read is what the parser reads, or nothing at all."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.upstream.answer import MAX_HEAD_BYTES, Answer, Malformed
from sidecar.upstream.form import LEARNT_AFTER, LONG_MARKS, LONG_PATTERN, MOST_FORMS, NO_FORM
from sidecar.upstream.relaying import AS_IT_IS, FILTERED, UNCOUNTED, relayed

FIRST = b"HTTP/1.1 200 OK"
LINES = (
    b"Server: nginx",
    b"Date: Sun, 22 Nov 2026 06:00:00 GMT",
    b"Content-Type: application/json",
    b"Set-Cookie: a=b",
    b"Content-Length: %d",
    b"Connection: keep-alive",
    b"x-request-id: abc",
    b"x-limit: 5",
)


def answer_of(body=b"{}", *, first=FIRST, lines=LINES, length=None):
    text = b"\r\n".join((first, *lines, b"", b""))
    return text.replace(b"%d", b"%d" % (len(body) if length is None else length)) + body


def form_after(data, times=LEARNT_AFTER):
    """The form that such an answer leaves when it came so often."""
    form = NO_FORM
    for _ in range(times):
        answer = Answer(form)
        answer.feed(data)
        form = answer.form
    return form


def learnt(**said):
    """A pattern of its own for each test, whatever was seen before."""
    said.setdefault("first", FIRST)
    return form_after(answer_of(**said))


def story(answer):
    return (
        (answer.status, answer.reason, answer.ended, answer.keeps_alive, answer.pairs, tuple(answer.lines)),
        (answer.form.content_type, answer.form.content_encoding, answer.form.is_events, answer.form.is_encoded),
        [relayed(answer, b"x-ours: 1\r\n", stays) for stays in (AS_IT_IS, UNCOUNTED, FILTERED)],
        (b"".join(answer.pieces), answer.untouched),
    )


def parsed(data):
    """What the parser reads; None where it is not all of one answer."""
    answer = Answer()
    try:
        answer.feed(data)
    except Malformed:
        return None
    return story(answer) if answer.ended and answer.keeps_alive else None


def test_an_answer_in_one_piece_behind_a_known_head_is_read_as_the_parser_reads_it():
    form = learnt()
    other = [line.replace(b"abc", b"\xe9, \t d").replace(b"06", b"07").replace(b"5", b"") for line in LINES]
    for data in (answer_of(), answer_of(b"x" * 70_000), answer_of(b""), answer_of(b'{"a":1}', lines=other)):
        answer = Answer(form)
        assert answer.is_all(data)
        assert story(answer) == parsed(data)
        with pytest.raises(Malformed):
            answer.feed(b"x")


def test_a_head_is_known_after_some_answers_only():
    first = b"HTTP/1.1 200 Seldom"
    form = form_after(answer_of(first=first), LEARNT_AFTER - 1)
    assert not Answer(form).is_all(answer_of(first=first))
    assert Answer(form_after(answer_of(first=first), 1)).is_all(answer_of(first=first))


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        (b"abc", b"a\0c"),
        (b"abc", b"a\rc"),
        (b"abc", b"a\nc"),
        (b"abc", b"a\x01"),
        (b"abc", b"a\x7f"),
        (b"abc", b"a\r\n b"),
        (b"x-limit:", b"x-limit :"),
        (b"x-limit: 5", b"Transfer-Encoding: chunked"),
        (b"x-limit: 5", b"Content-Length: 2"),
        (b"x-limit: 5", b"x-limit: 5\r\nmore: 1"),
        (b"x-limit: 5\r\n", b""),
        (b"Content-Length: 2", b"Content-Length: 02"),
        (b"Content-Length: 2", b"Content-Length: +2"),
        (b"Content-Length: 2", b"Content-Length:  2"),
        (b"Content-Length: 2", b"Content-Length: 2 "),
        (b"Content-Length: 2", b"Content-Length: 2, 2"),
        (b"Content-Length: 2", b"Content-Length: "),
        (b"Content-Length: 2", b"Content-Length: 1"),
        (b"Content-Length: 2", b"Content-Length: 3"),
        (b"keep-alive", b"close"),
        (b"keep-alive", b"x-limit"),
        (b"application/json", b"text/event-stream"),
        (b"HTTP/1.1 200 OK", b"HTTP/1.1 204 OK"),
        (b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"),
        (b"HTTP/1.1", b"\r\nHTTP/1.1"),
        (b"nginx\r\n", b"nginx\n"),
        (b"\r\n\r\n{}", b"\r\n{}"),
        (b"\r\n\r\n{}", b"\n\n{}"),
        (b"{}", b"{}x"),
        (b"{}", b"{}HTTP/1.1 200 OK\r\n\r\n"),
        (b"abc", b"a" * MAX_HEAD_BYTES),
    ],
)
def test_any_other_answer_is_for_the_parser(said, instead):
    form, data = learnt(), answer_of()
    assert said in data
    answer = Answer(form)
    assert not answer.is_all(data.replace(said, instead, 1))
    assert (answer.status, answer.untouched, answer.pieces) == (0, True, [])


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (FIRST, [b"Upgrade: h2c"]),
        (FIRST, [b"Proxy-Connection: close"]),
        (FIRST, [b"Connection: keep-alive, x-limit"]),
        (FIRST, [b"Connection: keep-alive", b"Connection: keep-alive"]),
        (FIRST, [b"Connection: close"]),
        (b"HTTP/1.1 201 Created", []),
        (b"HTTP/1.1 204 No Content", []),
        (b"HTTP/1.1 404 Not Found", []),
        (b"HTTP/1.0 200 OK", [b"Connection: keep-alive"]),
    ],
)
def test_a_head_that_says_more_never_gets_a_pattern(first, more):
    data = b"\r\n".join([first, b"X-A: 1", b"Content-Length: 0", *more, b"", b""])
    assert not Answer(form_after(data, 2 * LEARNT_AFTER)).is_all(data)


def test_a_body_that_is_not_counted_is_for_the_parser():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    assert not Answer(form_after(data, 2 * LEARNT_AFTER)).is_all(data)


def test_an_answer_to_head_and_one_that_has_begun_are_for_the_parser():
    form, data = learnt(), answer_of()
    assert not Answer(form, bare=True).is_all(data)
    for begun in (Answer(form), Answer(form)):
        begun.feed(data[:1])
        assert not begun.is_all(data)
    over = Answer(form)
    over.close()
    assert not over.is_all(data)


PUT = (
    b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"\x7f", b"\x80", b"0", b"1", b"2", b"x", b"\r\nx: 1",
    b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"HTTP/1.1 200 OK",
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.sampled_from(PUT)), max_size=4)


@given(edits=EDITS, body=st.binary(max_size=12), length=st.none() | st.integers(0, 14))
def test_whatever_is_read_without_the_parser_the_parser_reads_too_and_the_same(edits, body, length):
    form, data = learnt(), answer_of(body, length=length)
    for at, gone, put in edits:
        data = data[:at] + put + data[at + gone :]
    answer = Answer(form)
    if answer.is_all(data):
        assert story(answer) == parsed(data)


NAMES = st.sampled_from(
    [b"server", b"Date", b"date", b"Connection", b"content-type", b"Content-Type", b"Content-Encoding", b"set-cookie",
     b"X-Sidecar-Model", b"x-a", b"X.+*(A", b"Keep-Alive", b"Content-Length", b"access-control-allow-origin"]
)  # fmt: skip
VALUES = st.sampled_from(
    [b" 1", b"", b"  a, b ", b" keep-alive", b" close", b" gzip", b" text/event-stream; a=(b", b" \xe9"]
)


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.integers(0, 6),
    st.lists(VALUES, min_size=6, max_size=6),
    st.binary(),
)
def test_of_any_head_the_pattern_reads_what_the_parser_reads(headers, at, values, body):
    def made(values):
        lines = [name + b":" + value for (name, _), value in zip(headers, values, strict=False)]
        return answer_of(body, lines=[*lines[:at], b"content-length: %d", *lines[at:]])

    data = made([value for _, value in headers])
    if parsed(data) is None:
        return
    form = form_after(data, 2 * LEARNT_AFTER)
    for again in (data, made(values)):
        answer = Answer(form)
        if answer.is_all(again):
            assert story(answer) == parsed(again)


@pytest.mark.parametrize(
    ("more", "kind"), [([b"x-%d: 1" % number for number in range(250)], b"a/b"), ([b"x: 1"], b"a" * LONG_PATTERN)]
)
def test_a_pattern_that_would_take_long_to_make_is_not_made(more, kind):
    data = answer_of(lines=[*more, b"Content-Type: " + kind, b"Content-Length: %d"])
    form = form_after(data, 2 * LEARNT_AFTER)
    assert not Answer(form).is_all(data)


def test_forms_of_one_shape_are_told_apart_by_what_they_say_and_are_bounded():
    kinds = [b"text/%d" % number for number in range(MOST_FORMS + 3)]
    lines = [b"X-Bounded: 1", b"Content-Length: %d", b"Content-Type: "]
    forms = [form_after(answer_of(lines=[*lines[:2], lines[2] + kind]), 1) for kind in kinds]
    assert [form.content_type.encode() for form in forms] == kinds
    assert all(one.shape is other.shape for one, other in pairwise(forms))
    assert len(forms[0].shape.forms) == 3
    long = answer_of(lines=[*lines[:2], lines[2] + b"x" * LONG_MARKS])
    assert form_after(long, 1) is not form_after(long, 1)

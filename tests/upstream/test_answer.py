"""Answers out of bytes: every way of splitting them, and every way of spoiling them."""

from contextlib import suppress
from itertools import pairwise

import pytest
from httptools import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st
from provider import END, EVENTS_HEAD, chunk, head, whole

from sidecar.upstream.answer import MAX_HEAD_BYTES, MAX_HEADERS, Answer, Malformed

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = EVENTS_HEAD + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + END
ANSWERS = {
    "length": (whole(b"hello, hello", "x-a: 1", "X-A: 2"), b"hello, hello"),
    "chunks": (CHUNKED, b"data: 1\n\ndata: 2\n\n"),
    "trailers": (EVENTS_HEAD + chunk(b"x") + b"0\r\nx-late: 1\r\nx-later: 2\r\n\r\n", b"x"),
    "after 1xx": (head(100, "Continue") + b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" + whole(b"hi"), b"hi"),
    "no body": (head(204, "No Content"), b""),
    "not modified, with a length": (head(304, "Not Modified", "content-length: 7"), b""),
    "bare line feeds": (b"HTTP/1.1 200 OK\nx-a: 1\ncontent-length: 2\n\nhi", b"hi"),
    "a line break before it": (b"\r\n" + whole(b"hi"), b"hi"),
    "blanks behind a chunk's size": (EVENTS_HEAD + b"2  \r\nhi\r\n0\r\n\r\n", b"hi"),
}


def read(data, *cuts, bare=False):
    answer, body = Answer(bare=bare), b""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        if start < end:
            answer.feed(data[start:end])
            body += answer.taken()
    return answer, body


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_to_its_end_and_the_connection_is_good_for_another(name):
    data, body = ANSWERS[name]
    answer, got = read(data)
    assert (got, answer.ended, answer.keeps_alive) == (body, True, True)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_comes_byte_by_byte_is_the_same(name):
    data, body = ANSWERS[name]
    at_once, split = read(data)[0], read(data, *range(len(data)))
    assert split[1] == body
    assert (split[0].pairs, split[0].status, split[0].reason) == (at_once.pairs, at_once.status, at_once.reason)
    assert (split[0].ended, split[0].keeps_alive) == (True, True)


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 300), max_size=8))
def test_any_split_of_an_answer_gives_the_same_body(name, cuts):
    data, body = ANSWERS[name]
    answer, got = read(data, *cuts)
    assert (got, answer.ended, answer.pairs) == (body, True, read(data)[0].pairs)


class Called:
    """What llhttp itself says of headers."""

    def __init__(self):
        self.pairs, self.reason = [], b""

    def on_status(self, reason):
        self.reason += reason

    def on_header(self, name, value):
        self.pairs.append((name.decode(), value.decode("utf-8", "surrogateescape").rstrip(" \t")))


VALUES = st.binary(max_size=20).map(lambda data: bytes(byte for byte in data if byte >= 32 and byte != 127))
NAMES = st.text("abcXYZ-_!#|~019", min_size=1, max_size=12).map(lambda name: f"x{name}".encode())


@given(
    st.lists(st.tuples(NAMES, VALUES, st.sampled_from([b"", b" ", b"\t "]), st.sampled_from([b"\r\n", b"\n"]))), VALUES
)
def test_headers_are_read_as_llhttp_reads_them(lines, reason):
    block = b"".join(name + b":" + blank + value + end for name, value, blank, end in lines)
    data = b"HTTP/1.1 200 " + reason + b"\r\n" + block + b"content-length: 0\r\n\r\n"
    called, answer = Called(), Answer()
    parser = HttpResponseParser(called)
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
    parser.feed_data(data)
    answer.feed(data)
    assert list(answer.pairs) == called.pairs
    assert answer.reason == called.reason.decode("utf-8", "surrogateescape").strip()


def test_headers_stay_repeated_and_in_order_and_bytes_that_are_no_text_survive():
    answer, _ = read(whole(b"", "x-a: 1", "x-b: caf\xe9", "X-A: 2", "x-none:"))
    assert answer.pairs[2:] == [("x-a", "1"), ("x-b", "caf\udce9"), ("X-A", "2"), ("x-none", "")]


def test_an_answer_to_head_has_no_body_whatever_its_head_says():
    for framing in ("content-length: 500", "transfer-encoding: chunked"):
        answer, body = read(head(200, "OK", framing), bare=True)
        assert (body, answer.ended, answer.keeps_alive) == (b"", True, True)


def test_what_follows_the_head_of_an_answer_to_head_is_no_body():
    answer = Answer(bare=True)
    with pytest.raises(Malformed):
        answer.feed(whole(b"body"))
    assert answer.taken() == b""


@pytest.mark.parametrize("framing", [(), ("transfer-encoding: identity",)])
def test_a_body_without_a_length_ends_with_its_connection(framing):
    answer, body = read(head(200, "OK", *framing) + b"to the end")
    assert (body, answer.ended, answer.close(), answer.ended) == (b"to the end", False, True, True)
    assert not answer.keeps_alive


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK,
        whole(b"hello")[:-1],
        CHUNKED[:-1],
        CHUNKED[: -len(END)],
        head(100, "Continue"),
        head(200, "OK", "content-length: 5", "connection: close") + b"hel",
        head(200, "OK", "transfer-encoding: chunked", "connection: close") + chunk(b"hel"),
    ],
)
def test_a_connection_that_ends_before_its_answer_is_no_end_of_it(data):
    answer, _ = read(data)
    assert not answer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        b"HTTP/3 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\ncontent-length: 0\r\n\r\n",
        OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
        OK + b"content-length: 3\r\ncontent-length: 4\r\n\r\n",
        OK + b"content-length: -3\r\n\r\n",
        OK + b"content-length: 3x\r\n\r\n",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked, gzip\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        OK + b"x: a\rb\r\n\r\n",
        OK + b"x: a\0b\r\n\r\n",
        OK + b"x : a\r\n\r\n",
        OK + b"x: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\ncontent-length: 3\r\n\r\nodd" + whole(b"hi"),
    ],
)
def test_what_is_no_answer_says_so_and_has_no_status(data):
    answer = Answer()
    with pytest.raises(Malformed):
        answer.feed(data)
    assert (answer.status, answer.ended) == (0, False)


def test_a_head_that_is_too_long_or_never_ends_says_so():
    for data in (b"x: " + b"a" * MAX_HEAD_BYTES, b"x: y\r\n" * (MAX_HEAD_BYTES // 6 + 1)):
        for end in (b"", b"\r\n\r\n"):
            with pytest.raises(Malformed):
                Answer().feed(OK + data + end)
    with pytest.raises(Malformed):
        Answer().feed(OK + b"x: y\r\n" * (MAX_HEADERS + 1) + b"\r\n")
    flood = Answer()
    early = head(100, "Continue")
    for _ in range(MAX_HEAD_BYTES // len(early)):
        flood.feed(early)
    with pytest.raises(Malformed):
        flood.feed(early)


def test_a_long_body_behind_a_short_head_is_no_long_head():
    assert read(whole(b"x" * 4 * MAX_HEAD_BYTES))[1] == b"x" * 4 * MAX_HEAD_BYTES


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"HT", b"\0"])
def test_what_follows_the_end_of_an_answer_spoils_the_connection_and_not_the_answer(more):
    for data, body in (ANSWERS["length"], ANSWERS["chunks"], ANSWERS["no body"]):
        at_once, later = Answer(), read(data)[0]
        for answer, fed in ((at_once, data + more), (later, more)):
            with pytest.raises(Malformed):
                answer.feed(fed)
        assert (at_once.taken(), at_once.ended, at_once.status) == (body, True, later.status)


def test_what_came_before_a_chunk_that_is_none_can_be_read():
    answer = Answer()
    with pytest.raises(Malformed):
        answer.feed(EVENTS_HEAD + chunk(b"one") + b"zz\r\n")
    assert (answer.status, answer.taken(), answer.ended) == (200, b"one", False)


def test_a_switch_of_protocols_ends_what_can_be_read():
    answer, _ = read(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n\0\1\2")
    assert (answer.status, answer.keeps_alive) == (101, False)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", False),
    ],
)
def test_the_provider_says_whether_its_connection_is_kept(data, kept):
    answer, _ = read(data)
    assert (answer.ended, answer.keeps_alive) == (True, kept)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_in_any_other_way(data):
    for begin in (b"", OK, EVENTS_HEAD, whole(b"")):
        with suppress(Malformed):
            Answer().feed(begin + data)

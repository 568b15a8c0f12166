"""Heads of answers: what is added, what is corrected, and what can never be in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.listener.head import Heads
from sidecar.upstream.relaying import Lines

NOW = 784111777
"""RFC 9110, 5.6.7: Sun, 06 Nov 1994 08:49:37 GMT."""
KEPT = {"http_10": False, "keeps_alive": True}


def made(headers=(), *, method="POST", status=200, reason=None, body=None, **more):
    return Heads(lambda: NOW).made(method, status, reason, list(headers), body=body, **(KEPT | more))


def lines(head):
    assert head.sent.endswith(b"\r\n\r\n")
    return head.sent.decode().removesuffix("\r\n\r\n").split("\r\n")


def test_a_whole_answer_tells_its_length_and_the_date():
    head = made([("content-type", "text/plain")], body=5)
    assert lines(head) == [
        "HTTP/1.1 200 OK", "content-type: text/plain", "content-length: 5", "date: Sun, 06 Nov 1994 08:49:37 GMT",
    ]  # fmt: skip
    assert (head.length, head.chunked, head.empty, head.keeps_alive) == (5, False, False, True)


def test_the_date_moves_with_the_clock():
    times = iter([0, 0.9, 1])
    heads = Heads(lambda: next(times))
    dates = [heads.made("GET", 200, None, [], body=0, **KEPT).sent.partition(b"date: ")[2] for _ in range(3)]
    assert dates[0] == dates[1] == b"Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n"
    assert dates[2] == b"Thu, 01 Jan 1970 00:00:01 GMT\r\n\r\n"


def test_a_date_of_the_providers_own_stays():
    assert lines(made([("Date", "Now")], body=0)) == ["HTTP/1.1 200 OK", "Date: Now", "content-length: 0"]


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, None, "HTTP/1.1 200 OK"),
        (200, "Fine", "HTTP/1.1 200 Fine"),
        (202, "", "HTTP/1.1 202 "),
        (529, None, "HTTP/1.1 529 "),
        (426, None, "HTTP/1.1 426 Upgrade Required"),
    ],
)
def test_a_status_has_its_own_reason_unless_another_is_given(status, reason, line):
    assert lines(made(status=status, reason=reason, body=0))[0] == line


def test_what_comes_in_parts_is_chunked_or_as_long_as_it_says_or_ends_with_its_connection():
    assert "transfer-encoding: chunked" in lines(made())
    told = made([("Content-Length", "7")])
    assert (told.length, told.chunked, "Content-Length: 7" in lines(told)) == (7, False, True)
    old = made(http_10=True)
    assert (old.chunked, old.keeps_alive, "transfer-encoding" in str(old.sent)) == (False, False, False)
    assert lines(old)[0] == "HTTP/1.0 200 OK"


def test_a_length_that_is_not_true_is_corrected_where_it_stands():
    head = made([("a", "1"), ("Content-Length", "9"), ("b", "2")], body=5)
    assert lines(head)[1:4] == ["a: 1", "content-length: 5", "b: 2"]
    assert head.length == 5


@pytest.mark.parametrize("body", [None, 0])
@pytest.mark.parametrize(
    ("method", "status", "told"), [("HEAD", 200, True), ("GET", 304, True), ("GET", 204, False), ("HEAD", 204, False)]
)
def test_an_answer_without_a_body_has_no_framing_and_may_tell_a_length(method, status, told, body):
    head = made(method=method, status=status, body=body)
    assert (head.empty, head.chunked, head.keeps_alive) == (True, False, True)
    assert "content-length" not in str(head.sent)
    long = made([("content-length", "12345")], method=method, status=status, body=body)
    assert ("content-length: 12345" in lines(long)) is told


@pytest.mark.parametrize(
    ("http_10", "keeps_alive", "line"),
    [
        (False, True, None),
        (False, False, "connection: close"),
        (True, True, "connection: keep-alive"),
        (True, False, None),
    ],
)
def test_what_becomes_of_the_connection_is_said_where_it_is_not_the_rule(http_10, keeps_alive, line):
    head = made(body=0, http_10=http_10, keeps_alive=keeps_alive)
    assert [found for found in lines(head) if found.startswith("connection")] == ([line] if line else [])


def test_a_connection_header_of_the_answers_own_stays_alone():
    head = made([("connection", "upgrade, close")], body=0, keeps_alive=False)
    assert [line for line in lines(head) if line.startswith("connection")] == ["connection: upgrade, close"]


@pytest.mark.parametrize("control", ["\r\n", "\n", "\r", "\0", "\x01", "\x7f"])
def test_nothing_that_could_end_a_line_is_ever_written(control):
    head = made([(f"x-a{control}", f"1{control}set-cookie: b"), ("x-b", "2")], reason=f"OK{control}x-evil: 1", body=0)
    assert len(lines(head)) == 5
    spaces = " " * len(control)
    assert lines(head)[:3] == [f"HTTP/1.1 200 OK{spaces}x-evil: 1", f"x-a{spaces}: 1{spaces}set-cookie: b", "x-b: 2"]


def test_a_length_that_stands_in_a_value_is_none():
    assert "content-length: 5" in lines(made([("x-a", "1\r\ncontent-length: 9")], body=5))


def test_bytes_that_are_no_utf_8_and_tabs_go_as_they_came():
    name = b"caf\xe9 \xc3\xa9\t.".decode(errors="surrogateescape")
    assert b"\r\nx-name: caf\xe9 \xc3\xa9\t.\r\n" in made([("x-name", name)], body=0).sent


@pytest.mark.parametrize("told", [None, 5, 9])
@pytest.mark.parametrize("body", [None, 0, 5])
@pytest.mark.parametrize(("method", "status"), [("POST", 200), ("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("keeps_alive", [True, False])
def test_lines_that_are_ready_make_the_same_head_as_the_headers_they_are_of(told, body, method, status, keeps_alive):
    headers = [("X-A", "1"), *([] if told is None else [("Content-Length", str(told))]), ("Date", "Now")]
    ready = Lines("".join(f"{name}: {value}\r\n" for name, value in headers).encode(), told, dated=True)
    for http_10 in (False, True):
        asked = {"body": body, "http_10": http_10, "keeps_alive": keeps_alive}
        one, other = (Heads(lambda: NOW).made(method, status, None, each, **asked) for each in (headers, ready))
        assert one == other


@given(
    status=st.sampled_from([200, 201, 204, 304, 404, 500]),
    reason=st.none() | st.sampled_from(["OK", "Fine"]),
    told=st.sampled_from([None, 0, 4, 5]),
    dated=st.booleans(),
    connects=st.booleans(),
    body=st.sampled_from([b"", b"body"]),
)
def test_a_plain_answer_is_what_is_made_of_its_head_with_its_body_behind(status, reason, told, dated, connects, body):
    sent = b"" if told is None else b"content-length: %d\r\n" % told
    sent += b"date: today\r\n" * dated + b"connection: close\r\n" * connects
    lines, heads = Lines(sent, told, dated, connects), Heads(lambda: NOW)
    plain = heads.plain(status, reason, lines, body)
    head = heads.made("POST", status, reason, lines, body=len(body), **KEPT)
    is_plain = body != b"" and status not in (204, 304) and told in (None, len(body)) and not connects
    assert plain == (head.sent + body if is_plain else None)

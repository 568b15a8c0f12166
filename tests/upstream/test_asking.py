"""The bytes of a request's head, and what of them is remembered from one request to the next."""

import gc
import weakref
from itertools import product

import pytest

from sidecar.config.models import Provider, Secret
from sidecar.errors import NotFound
from sidecar.upstream.asking import LONG_BEGINNING, MOST_BEGINNINGS, Beginnings, Heads, Unwritable, begun
from sidecar.upstream.headers import Outgoing
from sidecar.upstream.order import Order
from sidecar.upstream.reply import Call
from sidecar.upstream.target import target_of
from sidecar.wire.formats import Format

JSON = [("Content-Type", "application/json")]
TRACE = f"00-{'a' * 32}-{'b' * 16}-00"


class Head:
    """What a client's head is kept as: equal to nothing but itself."""


def heads(beginnings=None, *, host="api.example", path=lambda path: path, **settings):
    settings.setdefault("access_key", None if settings.get("passthrough_auth") else Secret("our-key"))
    target = target_of(Provider("openai/m", "openai/m", **settings), "openai/m", Format.CHAT)
    return Heads(host, path, Outgoing(target), Beginnings() if beginnings is None else beginnings)


def order(headers=JSON, method="POST", path="/v1/chat/completions", **more):
    return Order((), Format.CHAT, method, path, lambda: headers, None, "r-1", **more)


def never():
    raise AssertionError("it was remembered")


def test_a_head_is_all_that_stands_before_the_body():
    said = [("x-in", "a"), ("X-In", "b, c"), ("User-Agent", "sdk")]
    assert heads().of(order(said), TRACE, b"12345678").decode().split("\r\n") == [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: api.example",
        "x-in: a",
        "X-In: b, c",
        "User-Agent: sdk",
        "Authorization: Bearer our-key",
        "x-request-id: r-1",
        f"traceparent: {TRACE}",
        "Content-Length: 8",
        "",
        "",
    ]


async def upload():
    yield b"a"


@pytest.mark.parametrize(
    ("method", "body", "length", "framing"),
    [
        ("GET", None, None, []),
        ("HEAD", None, None, []),
        ("DELETE", None, None, ["Content-Length: 0"]),
        ("POST", None, None, ["Content-Length: 0"]),
        ("POST", b"", None, ["Content-Length: 0"]),
        ("POST", b"12", 99, ["Content-Length: 2"]),
        ("POST", upload(), 5, ["Content-Length: 5"]),
        ("POST", upload(), None, ["Transfer-Encoding: chunked"]),
    ],
)
def test_a_body_is_framed_as_it_is_and_without_one_there_is_a_length_only_where_one_is_expected(
    method, body, length, framing
):
    head = heads(access_key=None).of(order([], method, content_length=length), None, body).decode()
    assert head.split("\r\n")[3:] == [*framing, "", ""]


def test_the_host_can_be_another_and_the_framing_cannot():
    headers = [("host", "gateway.internal"), ("content-length", "999"), ("Transfer-Encoding", "chunked"), ("x", "1")]
    assert begun("POST", "/", "api.example", headers) == "POST / HTTP/1.1\r\nHost: gateway.internal\r\nx: 1"


@pytest.mark.parametrize("bad", [("x", "a\r\ny: b"), ("x\n", "a"), ("x", "a\0"), ("x", "a\r"), ("host", "h\r\nx: 1")])
def test_what_would_end_a_header_early_is_never_written(bad):
    with pytest.raises(Unwritable) as refused:
        begun("POST", "/", "h", [("a", "b"), bad])
    assert "y: b" not in str(refused.value)


@pytest.mark.parametrize(
    ("method", "path", "host"),
    [
        ("POST", "/ HTTP/1.1\r\nx: y", "h"),
        ("GET / HTTP/1.1\nx", "/", "h"),
        ("POST", "/", "h\r\nx: y"),
        ("P\0", "/", "h"),
    ],
)
def test_nor_what_would_end_the_first_line(method, path, host):
    with pytest.raises(Unwritable):
        begun(method, path, host, [])


@pytest.mark.parametrize("ours", [{"request_id": "r\r\nx: y"}, {"trace": "00\nx: y"}, {"trace": "0\r0"}])
def test_what_is_no_line_of_ours_is_left_out(ours):
    told = Order((), Format.CHAT, "POST", "/v1/x", list, None, ours.get("request_id", "r-1"), head=Head())
    at, written = heads(), set()
    for _ in range(2):
        written.add(at.of(told, ours.get("trace", TRACE), b""))
    [head] = written
    assert b"x: y" not in head
    assert head.count(b"\r\n") == head.count(b"\n") == head.count(b"\r") == 6


def test_bytes_of_a_header_that_are_no_text_cross_as_they_are():
    head = heads().of(order([("x", "caf\udce9 \u00e9")]), None, b"")
    assert b"\r\nx: caf\xe9 \xc3\xa9\r\n" in head


# What is remembered


def test_the_headers_of_a_head_that_is_known_are_not_asked_for_again():
    at, head = heads(), Head()
    first = at.of(order(head=head), TRACE, b"12")
    again = Order((), Format.CHAT, "POST", "/v1/chat/completions", never, None, "r-2", head=head)
    assert at.of(again, TRACE.replace("a", "c"), b"123") == (
        first.replace(b"r-1", b"r-2").replace(b"aaaa", b"cccc").replace(b"Length: 2", b"Length: 3")
    )


@pytest.mark.parametrize("client", [("Authorization", "Bearer {}"), ("x-api-key", "{}"), ("OpenAI-Organization", "{}")])
def test_nothing_of_one_clients_head_is_ever_sent_for_another(client):
    at, kept = heads(passthrough_auth=True), [Head() for _ in range(20)]
    for _ in range(3):
        for number, head in enumerate(kept):
            said = [(client[0], client[1].format(f"key-{number}."))]
            written = at.of(order(said, head=head), TRACE, b"").decode()
            assert [other for other in range(20) if f"key-{other}." in written] == [number]


def test_a_head_that_is_gone_leaves_nothing_to_one_that_comes_in_its_place():
    at, seen = heads(passthrough_auth=True), set()
    for number in range(50):
        head = Head()
        seen.add(id(head))
        assert f"Bearer key-{number}\r".encode() in at.of(
            order([("Authorization", f"Bearer key-{number}")], head=head), TRACE, b""
        )
        del head
    assert len(seen) == 50  # what is remembered keeps its head: no other can have its place in memory


def test_what_is_remembered_is_what_would_be_made_anew():
    said = [
        [("Accept-Encoding", "br"), ("Digest", "d"), ("Content-Encoding", "gzip")],
        [("Connection", "x-a"), ("x-a", "1"), ("Authorization", "Bearer theirs")],
        [("X-B", "1"), ("x-b", "2")],
    ]
    kept, table, flags = [Head() for _ in said], Beginnings(), (False, True)
    places = [heads(table), heads(table, host="other.example", passthrough_auth=True)]
    ways = product(places, range(len(said)), ["GET", "POST"], ["/v1/a", "/v1/b?c"], flags, flags, [b"{}", b"[]"])
    for at, number, method, path, decoded, plain, body in [*ways] * 2:
        told = {"decoded": decoded, "plain": plain, "received": b"{}"}
        known = at.of(order(said[number], method, path, head=kept[number], **told), TRACE, body)
        assert known == at.of(order(said[number], method, path, **told), TRACE, body)
    assert len(table) == 2 * 3 * 2**5


def test_without_a_trace_beside_it_nothing_is_remembered_for_the_clients_own_crosses():
    at, head = heads(beginnings := Beginnings()), Head()
    kept = [at.of(order([("traceparent", parent)], head=head), None, b"") for parent in ("00-1", "00-2")]
    assert [b"00-1" in kept[0], b"00-2" in kept[1], len(beginnings)] == [True, True, 0]


def test_a_head_that_is_not_kept_is_not_remembered_either():
    heads(beginnings := Beginnings()).of(order(), TRACE, b"")
    assert len(beginnings) == 0


def test_what_is_remembered_is_bounded_in_number_and_in_length():
    at, first = heads(beginnings := Beginnings()), Head()
    gone = weakref.ref(first)
    at.of(order(head=first), TRACE, b"")
    del first
    for _ in range(MOST_BEGINNINGS):
        at.of(order(head=Head()), TRACE, b"")
    gc.collect()
    assert (len(beginnings), gone()) == (MOST_BEGINNINGS, None)
    long = Head()
    for _ in range(2):
        assert b"x" * LONG_BEGINNING in at.of(order([("x", "x" * LONG_BEGINNING)], head=long), TRACE, b"")
        at.of(order(path=f"/v1/{'x' * LONG_BEGINNING}", head=long), TRACE, b"")
    assert beginnings.get((at, long, "POST", "/v1/chat/completions", True, False, False)) is None


def test_a_path_that_is_refused_is_refused_each_time():
    def path(_):
        raise NotFound("no such path")

    at, head = heads(path=path), Head()
    for _ in range(2):
        with pytest.raises(NotFound):
            at.of(order(head=head), TRACE, b"")


def test_no_key_is_shown():
    table = Beginnings()
    at = heads(table)
    head = at.of(order(head=Head()), TRACE, b"")
    assert b"our-key" in head
    call = Call("p", None, head, b"", None)
    assert not any("our-key" in shown for thing in (at, table, call) for shown in (repr(thing), str(thing)))

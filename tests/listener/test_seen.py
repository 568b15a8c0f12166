"""What is cut out of a head, and which heads are kept."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from rawclient import post

from sidecar.listener.seen import LONGEST_HEAD, MOST_MEASURES, Measured, Table, cut, lines_of


def learnt(sent):
    """What is kept of a head that came twice."""
    table, key = Table(), cut(sent).key
    for _ in range(2):
        table.learn(key, Message(), "/")
    return table.get(key)


class Message:
    method, path, headers = "POST", "/", CIMultiDictProxy(CIMultiDict())


def test_session_and_length_are_cut_out_and_nothing_else():
    found = cut(post())
    assert (found.session, found.length, found.body_at) == (b"s-1", 4, len(post()) - 4)
    assert found.key == post().removesuffix(b"\r\n\r\nbody").replace(b"s-1", b"").replace(b": 4", b": ")


def test_heads_that_differ_in_session_and_length_alone_have_one_key():
    assert cut(post(b"another body", session="another-session")).key == cut(post()).key
    assert cut(post(extra="X-Other: 1")).key != cut(post()).key
    assert cut(post(session="")).key != cut(post()).key


def test_the_order_and_the_spelling_of_the_two_are_part_of_the_key():
    turned = b"POST / HTTP/1.1\r\nContent-Length: 4\r\nX-Session-Id: s-1\r\n\r\nbody"
    plain = b"POST / HTTP/1.1\r\nX-Session-Id: s-1\r\nContent-Length: 4\r\n\r\nbody"
    small = plain.replace(b"X-Session-Id", b"x-session-id").replace(b"Content-Length", b"content-length")
    keys = [cut(sent) for sent in (turned, plain, small)]
    assert len({found.key for found in keys}) == 3
    assert {(found.session, found.length) for found in keys} == {(b"s-1", 4)}


@pytest.mark.parametrize(
    "sent",
    [
        post()[:40],
        b"GET / HTTP/1.1\r\nHost: sidecar\r\n\r\n",
        post(extra="X-Long: " + "x" * LONGEST_HEAD),
        post().replace(b"h: 4", b"h: four"),
        post().replace(b"h: 4", b"h: -4"),
        post().replace(b"h: 4", b"h: " + b"4" * 13),
        post(session="two words"),
        post(session="\x7f"),
        post(session="x" * 257),
    ],
)
def test_what_could_not_be_known_is_not_taken_apart(sent):
    assert cut(sent) is None


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("session", [b"s-1", None])
def test_a_head_that_was_measured_gives_its_parts_and_its_two_values(turned, session):
    named = [] if session is None else [b"X-Session-Id: " + session]
    lines = [*named, b"Accept: */*", b"Content-Length: 4"][:: -1 if turned else 1]
    sent = b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b"body"])
    found = cut(sent)
    measured = Measured(None, sent, found)
    before, one, between, other, after = measured.parts(sent)
    assert b"".join((before, one, between, other, after, b"body")) == sent
    assert (before, between, after) == (measured.before, measured.between, measured.after)
    assert ((one, other) if measured.length_first else (other, one)) == (b"4", session or b"")
    assert measured.size == found.body_at


def test_so_many_widths_of_one_head_are_remembered_at_most():
    seen = learnt(post())
    for width in range(1, 2 * MOST_MEASURES):
        sent = post(session="s" * width)
        measured = seen.measured(sent, cut(sent))
        assert seen.measured(sent, cut(sent)) is measured
    assert len(seen._measured) == MOST_MEASURES


def test_lines_are_counted_only_where_all_of_them_end_alike():
    assert lines_of(b"POST / HTTP/1.1\r\na: 1\r\nb: 2") == 2
    assert lines_of(b"POST / HTTP/1.1\r\na: 1\nb: 2") == -1
    assert lines_of(b"POST / HTTP/1.1\r\na: 1\rb: 2") == -1

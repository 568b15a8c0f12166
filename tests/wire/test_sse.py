"""Chunks in, events out: any line end, any cut."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.sse import BOM, BoundaryTracker, BrokenStream, Event, EventParser, event_bytes

LINES = st.sampled_from(
    [
        "data: a",
        "data:b",
        "data",
        "data:",
        "data:  two",
        "event: x",
        "event:",
        "event",
        ": c",
        ":",
        "id: 1",
        "retry: 5",
        "",
        "",
        "é🗼",
        "data: é🗼",
        "odd: y",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r\n", "\r"]))).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


def parse(*chunks, **limits):
    parser = EventParser(**limits)
    return [event for chunk in chunks for event in parser.feed(chunk)]


def by_the_book(stream):
    """The standard's algorithm, word for word, on decoded text: the judge."""
    text = stream.decode(errors="replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events, name, data = [], "", ""
    for line in text.split("\n")[:-1]:
        if not line:
            if data:
                events.append(Event(name or None, data.removesuffix("\n").encode()))
            name, data = "", ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
    return events


def test_an_event_is_its_name_and_its_data():
    assert parse(b"event: ping\ndata: {}\n\n") == [Event("ping", b"{}")]


def test_data_over_several_lines_is_joined():
    assert parse(b"data: one\ndata:two\ndata\n\n") == [Event(None, b"one\ntwo\n")]


def test_comments_ids_and_retries_are_no_events():
    assert parse(b": keepalive\n\nid: 1\nretry: 10\n\ndata: x\n\n") == [Event(None, b"x")]


def test_a_name_without_data_is_no_event_and_is_forgotten():
    assert parse(b"event: x\n\ndata: y\n\n") == [Event(None, b"y")]


def test_a_byte_order_mark_at_the_start_is_skipped():
    assert parse(b"\xef", b"\xbb\xbfdata: x\n\n") == [Event(None, b"x")]


def test_a_carriage_return_cut_from_its_line_feed_is_one_line_end():
    assert parse(b"data: x\r", b"\ndata: y\r", b"\n\r", b"\n") == [Event(None, b"x\ny")]


def test_an_event_is_told_as_soon_as_its_blank_line_is():
    assert parse(b"data: x\n\n") == parse(b"data: x\r\r") == parse(b"data: x\r\n\r") == [Event(None, b"x")]


def test_a_character_cut_in_two_is_whole_again():
    whole = "data: 🗼\n\n".encode()
    for cut in range(len(whole)):
        assert parse(whole[:cut], whole[cut:]) == [Event(None, "🗼".encode())]


def test_close_gives_the_event_that_misses_its_blank_line():
    parser = EventParser()
    assert [*parser.feed(b"data: [DONE]"), *parser.close()] == [Event(None, b"[DONE]")]


@given(STREAMS, st.data())
def test_any_stream_in_any_pieces_is_read_by_the_book(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    read = [Event(event.event or None, event.data) for event in parse(*chunks)]
    assert read == by_the_book(stream)


def test_an_event_of_a_mebibyte_in_small_pieces_takes_linear_time():
    def cost(size):
        event = b"data: " + b"x" * size + b"\n\n"
        began = time.process_time()
        assert len(parse(*(event[start : start + 16] for start in range(0, len(event), 16)))) == 1
        return time.process_time() - began

    def least(size):
        return min(cost(size) for _ in range(3))  # whoever shares the core costs cache, and so processor time

    cost(2**16)
    assert least(2**20) < 64 * max(least(2**16), 0.002)


@pytest.mark.parametrize("piece", [b"data: 0123456789\n", b"0123456789", b"data\n"])
def test_an_event_without_end_is_refused_at_the_bound(piece):
    with pytest.raises(BrokenStream, match="more than 100 bytes"):
        parse(*[piece] * 101, max_event_bytes=100)


@given(STREAMS, st.integers(1, 30), st.integers(1, 5))
def test_the_bound_does_not_depend_on_the_cut(stream, bound, size):
    def told(chunks):
        events = []
        parser = EventParser(bound)
        try:
            for chunk in chunks:
                events.extend(iter_until_broken(parser.feed(chunk), events))
        except BrokenStream:
            events.append("broken")
        return events

    def iter_until_broken(feed, events):
        for event in feed:
            events.append(event)
        return ()

    assert told([stream]) == told([stream[start : start + size] for start in range(0, len(stream), size)])


@given(STREAMS, st.data())
def test_at_a_boundary_a_comment_and_an_event_may_be_put_in(stream, data):
    cut = data.draw(st.integers(0, len(stream)))
    tracker = BoundaryTracker()
    size = data.draw(st.integers(1, 7))
    for start in range(0, cut, size):
        tracker.feed(stream[start : min(start + size, cut)])
    if tracker.between:
        head, tail = stream[:cut], stream[cut:]
        assert parse(head + b": keepalive\n\n" + tail) == parse(stream)
        assert parse(head + b"event: e\ndata: ours\n\n" + tail) == [*parse(head), Event("e", b"ours"), *parse(tail)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_end_of_an_event_is_a_boundary_and_no_other_place_is(end):
    stream = b"event: a%bdata: 1%b%bdata: 2%b%b".replace(b"%b", end)
    tracker, found = BoundaryTracker(), []
    for place in range(len(stream)):
        if tracker.between:
            found.append(place)
        tracker.feed(stream[place : place + 1])
    assert found == [0, stream.index(b"data: 2")]
    assert tracker.between


def test_events_are_written_as_they_are_read():
    assert parse(event_bytes(b"{}", "ping") + event_bytes(b"[DONE]")) == [Event("ping", b"{}"), Event(None, b"[DONE]")]


PLAIN = st.lists(
    st.sampled_from(
        [
            b"data: 1\n\n",
            b"event: a\ndata: 2\n\n",
            b"data:  3\n\n",
            b"data: \n\n",
            b"event: \xff\ndata: 4\n\n",
            b": c\n\n",
            b"event: a\n\n",
            b"\n",
            b"data: 5\r\n\r\n",
            b"data: 6\ndata: 7\n\n",
            b"data:8\n\n",
            b"da",
            b"event: a\nevent: b\ndata: 9\n\n",
            b"data: 1\nevent: a\n\n",
            b"id: 1\ndata: 2\n\n",
            BOM,
        ]
    )
)


@given(before=st.lists(PLAIN.map(b"".join), max_size=2), chunk=PLAIN.map(b"".join))
def test_whole_events_are_what_feed_makes_of_them_and_leave_nothing_behind(before, chunk):
    at_once, fed = EventParser(), EventParser()
    for piece in before:
        assert list(at_once.feed(piece)) == list(fed.feed(piece))
    found = at_once.whole(chunk)
    if found is not None:
        assert found == list(fed.feed(chunk))
        assert at_once.idle
        assert list(at_once.feed(b"data: 1\n\n")) == list(fed.feed(b"data: 1\n\n"))


def test_events_as_providers_write_them_are_read_at_once():
    parser = EventParser(max_event_bytes=100)
    assert parser.whole(BOM + b"data: 1\n\n") is None
    assert list(parser.feed(BOM + b"data: 1\n\n")) == [Event(None, b"1")]
    assert parser.whole(b"event: a\ndata: 2\n\ndata: 3\n\n") == [Event("a", b"2"), Event(None, b"3")]
    assert parser.whole(b"data: %b\n\n" % (b"1" * 100)) is None

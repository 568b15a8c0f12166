"""Exactly the usage chunk that only we asked for is taken out of a stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.translate.streams.recorded import RECORDINGS, Format, format_of, name, recording

from sidecar.wire.translate.streams.extra import UsageFilter

CHAT = [path for path in RECORDINGS if format_of(path) is Format.CHAT]
ENDS = (b"\n", b"\r\n", b"\r")


def filtered(chunks):
    through = UsageFilter()
    return b"".join(map(through.feed, chunks)) + through.close()


def without_usage_chunk(stream):
    events = stream.split(b"\n\n")
    return b"\n\n".join(
        event for event in events if not (b'"choices":[],"usage":{' in event or b'"choices": [], "usage": {' in event)
    )


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("path", CHAT, ids=name)
def test_exactly_the_usage_chunk_goes(path, end):
    stream = path.read_bytes()
    expected = without_usage_chunk(stream).replace(b"\n", end)
    events = [event + end + end for event in stream.replace(b"\n", end).split(end + end)[:-1]]
    stream = stream.replace(b"\n", end)
    bytewise = [stream[place : place + 1] for place in range(len(stream))]
    assert filtered(events) == filtered(bytewise) == filtered([stream]) == expected


@settings(max_examples=300)
@given(st.sampled_from(CHAT), st.sampled_from(ENDS), st.data())
def test_whatever_the_cut(path, end, data):
    stream = path.read_bytes().replace(b"\n", end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert filtered(chunks) == filtered([stream]) == without_usage_chunk(path.read_bytes()).replace(b"\n", end)


def test_azures_first_chunk_without_choices_stays():
    assert b"prompt_filter_results" in filtered([recording("chat.azure")])


@given(st.lists(st.binary() | st.sampled_from([b"\n", b"\r", b"data: ", b'{"choices":[]', b"}"])))
def test_arbitrary_bytes_pass_unchanged(chunks):
    assert filtered(chunks) == b"".join(chunks)


def test_events_leave_as_soon_as_they_cannot_be_it():
    through = UsageFilter()
    for event in recording("chat.text").split(b"\n\n")[:3]:
        start, choices, rest = event.partition(b'"choices":[{')
        assert through.feed(start) == b""
        assert through.feed(choices) == start + choices
        assert through.feed(rest) == rest
        assert through.feed(b"\n\n") == b"\n\n"


def test_what_is_neither_leaves_when_it_is_whole():
    through = UsageFilter()
    assert through.feed(b"data: [DONE]") == b""
    assert through.feed(b"\n\n") == b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("half", "told"),
    [
        (b'data: {"id":"c","ob', b'data: {"id":"c","ob'),
        (b'data: {"choices":[{"del', b""),  # which has gone already
        (b'data: {"choices": [], "usa', b""),
    ],
)
def test_of_half_an_event_nothing_is_told_that_can_only_be_it(half, told):
    through = UsageFilter()
    through.feed(half)
    assert through.broken() == told
    assert through.close() == b""


def test_a_long_event_passes_while_it_comes():
    long = b"data: " + b"x" * 1_000_000 + b"\r\n\r\n"
    through, most = UsageFilter(), 0
    out = b""
    for start in range(0, len(long), 1000):
        out += through.feed(long[start : start + 1000])
        most = max(most, start + 1000 - len(out))
    assert most < 70_000
    extra = b'data: {"choices":[],"usage":{}}\r\n\r\n'
    assert out + through.feed(extra + b"data: [DONE]\r\n\r\n") + through.close() == long + b"data: [DONE]\r\n\r\n"

"""Parts leave one after the other, whatever the order of their pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.sse import BrokenStream
from sidecar.wire.translate.streams.events import PART_ENDED, TextDelta, ToolArguments, ToolCallStarted
from sidecar.wire.translate.streams.order import MAX_PARTS, PartQueue

STEPS = st.lists(st.tuples(st.integers(0, 4), st.booleans()))


def test_the_first_part_passes_and_the_second_waits_for_its_end():
    parts = PartQueue()
    assert parts.put("a", TextDelta("1"), 1) == (TextDelta("1"),)
    assert parts.put("b", TextDelta("2"), 1) == ()
    assert parts.put("a", TextDelta("3"), 1) == (TextDelta("3"),)
    assert parts.end("a") == [PART_ENDED, TextDelta("2")]
    assert parts.put("b", TextDelta("4"), 1) == (TextDelta("4"),)


def test_a_part_that_ended_while_it_waited_leaves_whole():
    parts = PartQueue()
    for key in "abc":
        parts.put(key, TextDelta(key), 1)
    assert parts.end("b") == ()
    assert parts.end("a") == [PART_ENDED, TextDelta("b"), PART_ENDED, TextDelta("c")]


def test_what_comes_for_a_part_after_its_end_is_dropped():
    parts = PartQueue()
    parts.put("a", TextDelta("1"), 1)
    parts.end("a")
    assert parts.put("a", TextDelta("2"), 1) == parts.end("a") == ()


def test_a_call_without_arguments_gets_those_that_its_end_names():
    parts = PartQueue()
    parts.put("a", ToolCallStarted("1", "f"), 1)
    assert parts.end("a") == [ToolArguments("{}"), PART_ENDED]
    parts.put("b", ToolCallStarted("2", "f"), 1)
    assert parts.end("b", '{"x":1}') == [ToolArguments('{"x":1}'), PART_ENDED]


@given(STEPS)
def test_nothing_is_lost_and_nothing_is_mixed(steps):
    parts, out, expected, over = PartQueue(), [], {}, set()
    for place, (key, ends) in enumerate(steps):
        if ends:
            out += parts.end(key)
            over |= {key} & set(expected)
        else:
            out += parts.put(key, TextDelta(f"{key}.{place}"), 4)
            if key not in over:
                expected.setdefault(key, []).append(f"{key}.{place}")
    out += parts.end_all()
    told = [[]]
    for event in out:
        told[-1].append(event.text) if event is not PART_ENDED else told.append([])
    assert told == [*expected.values(), []]


def put_many(keys, size):
    parts = PartQueue()
    for key in keys:
        parts.put(key, TextDelta("x"), size)


def test_too_many_parts_and_too_much_waiting_are_refused():
    with pytest.raises(BrokenStream, match="10000 parts"):
        put_many(range(MAX_PARTS + 1), size=1)
    with pytest.raises(BrokenStream, match="mixed"):
        put_many(["first", *["second"] * 20], size=1_000_000)

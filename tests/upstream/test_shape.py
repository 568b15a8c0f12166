"""Where headers stand in a head, told by its names alone: whatever was seen before, what is found is the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.upstream.answer import Answer
from sidecar.upstream.form import NO_FORM
from sidecar.upstream.relaying import AS_IT_IS, relayed
from sidecar.upstream.shape import shape_of, told

HEADERS = st.lists(
    st.sampled_from(
        [
            "Date: now",
            "date: then",
            "Content-Type: text/plain",
            "content-type: a/b",
            "X-A: 1",
            "x-a: 2",
            "X-A-B: date: 3",
            "Connection: close",
            "connection: x-a",
            "set-cookie: c",
            "Content-Encoding: gzip",
            "X-A:",
            "DateX: content-type:",
        ]
    ),
    max_size=6,
)


def head(headers):
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "content-length: 0", "\r\n"]).encode()


def answered(headers, guess=NO_FORM):
    answer = Answer(guess=guess)
    answer.feed(head(headers))
    return answer


@given(HEADERS, HEADERS)
def test_a_guess_changes_nothing_but_the_time_it_takes(headers, earlier):
    fresh, guessed = answered(headers), answered(headers, guess=answered(earlier).form)
    assert guessed.pairs == fresh.pairs
    assert guessed.shape.names == fresh.shape.names
    assert relayed(guessed, b"", AS_IT_IS) == relayed(fresh, b"", AS_IT_IS)


def test_heads_with_the_same_names_have_one_shape_whatever_their_values():
    first = answered(["Date: 1", "X-A: 2"])
    again = answered(["Date: other", "X-A:"], guess=first.form)
    assert again.shape is first.shape
    assert answered(["Date: other", "X-A:"]).shape is first.shape


@pytest.mark.parametrize(
    "other",
    [["Date: 1"], ["Date: 1", "X-AB: 2"], ["X-A: 2", "Date: 1"], ["date: 1", "X-A: 2"], ["Date: 1", "X-A: 2", "B: 3"]],
)
def test_a_head_with_other_names_is_no_such_head(other):
    form = answered(["Date: 1", "X-A: 2"]).form
    assert answered(other, guess=form).shape.names == (*(line.partition(":")[0] for line in other), "content-length")


def test_where_a_header_stands_is_the_line_of_its_first():
    shape = answered(["X-A: 1", "CONTENT-TYPE: a", "content-type: b", "Connection: close", "connection: close"]).shape
    assert (shape.content_type, shape.content_encoding, shape.content_length, shape.connection) == (2, 0, 6, -1)
    assert (shape.dated, shape.is_counted) == (False, True)


def test_very_long_names_are_not_kept():
    lines = [b"HTTP/1.1 200 OK", b"x" * 5000 + b": 1", b""]
    assert shape_of(lines) is not shape_of(lines)


def test_a_value_is_told_in_lower_case_and_without_the_blanks_around_it():
    assert told(b"Content-Type:\t Text/Plain; a=B ") == "text/plain; a=b"

"""Regular expressions from whoever asks."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.pattern import BadPattern, compiled

NAME = "sidecar_" + "a" * 62


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("", True),
        ("pins", True),
        ("^sidecar_pins$", True),
        ("pins|http", True),
        ("(?:pin|http)s.?", True),
        (r"\w+_pins", True),
        (r"[(*+)_]pins", True),
        ("PINS", False),
        ("pin$", False),
        ("[]a]z", False),
    ],
)
def test_what_people_write_is_found_in_a_name(pattern, matches):
    assert bool(compiled(pattern).search("sidecar_pins")) is matches


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*b",
        "(?:.*)*x",
        "((a))+?",
        "(a){9}",
        r"(a)\1",
        "(?=a)a",
        "(?<!a)a",
        "(?P<x>a)",
        "(?#x)a",
        "a?a?a?a?a?aaaaa",
        "(a|a)(a|a)(a|a)(a|a)",
        ".*.*.*.*!",
        "|".join("a" * 10),
        f".+.+({'|'.join('.' * 24)})!",
        "a" * 257,
        "(",
        "[",
        "*",
        "a{99999999999999999999}",
        "\\",
        "(" * 200,
    ],
)
def test_what_could_take_for_ever_or_is_none_is_refused(pattern):
    with pytest.raises(BadPattern):
        compiled(pattern)


@given(st.text(alphabet="ab_*+?.|()[]{}\\\\^$-1,:", max_size=40))
def test_whatever_is_sent_is_matched_soon_or_refused(pattern):
    try:
        found = compiled(pattern)
    except BadPattern:
        return
    began = time.thread_time()
    found.search(NAME)
    assert time.thread_time() - began < 0.5


def test_a_pattern_that_a_later_python_may_read_otherwise_is_no_warning():
    assert compiled("[[a]").search("[")


@pytest.mark.parametrize(
    "pattern", [r".+.+.+\d", ".*.*.*!", r"(.*|.*)\d", r"(a|a|a)(a|a|a)(a|a|a)!", r".*?.*!", ".+.+(.|.|.|.|.|.|.|.|.)!"]
)
def test_the_worst_that_is_taken_is_matched_soon(pattern):
    began = time.thread_time()
    assert compiled(pattern).search(NAME) is None
    assert time.thread_time() - began < 0.5

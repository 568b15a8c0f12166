"""Plain text for terminals."""

import pytest

from sidecar.operator.tables import Column, Look, clean, columns_of, number, share, span, table

COLUMNS = (Column("NAME"), Column("COUNT", right=True))


def test_words_stand_left_and_numbers_right():
    assert table(COLUMNS, [("a", 1), ("longer", "1,000")], Look()) == [
        "NAME    COUNT",
        "a           1",
        "longer  1,000",
    ]


def test_lines_end_where_the_terminal_does():
    lines = table(COLUMNS, [("a" * 30, 1)], Look(width=10))
    assert lines == ["NAME" + " " * 5 + "…", "a" * 9 + "…"]
    assert len(table(COLUMNS, [("a" * 30, 1)], Look())[1]) == 37


def test_nothing_is_a_dash():
    assert table(COLUMNS, [(None, "")], Look())[1].split() == ["-", "-"]


def test_only_titles_are_painted_and_only_where_there_is_colour():
    assert table(COLUMNS, [("a", 1)], Look(colour=True))[0] == "\x1b[1mNAME  COUNT\x1b[0m"
    assert "\x1b" not in "".join(table(COLUMNS, [("a", 1)], Look()))


def test_what_is_shown_cannot_steer_the_terminal():
    assert table(COLUMNS, [("\x1b[2Jx\n\u202e", 1)], Look())[1].startswith("?[2Jx??")
    assert clean("plain, grün") == "plain, grün"


def test_wide_characters_take_two_columns_and_combining_ones_none():
    assert [columns_of(text) for text in ("ab", "漢字", "e\u0301")] == [2, 4, 1]
    assert Look(width=5).cut("漢字漢字") == "漢字…"
    assert Look(width=4).cut("漢字") == "漢字"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (580, "9 min 40 s"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (273_700, "3 d 4 h"),
    ],
)
def test_times_are_said_in_two_units_at_most(seconds, said):
    assert span(seconds) == said


def test_numbers_and_shares_are_easy_to_read():
    assert (number(1234567.0), share(923, 1000), share(0, 0)) == ("1,234,567", "92.3 %", "-")

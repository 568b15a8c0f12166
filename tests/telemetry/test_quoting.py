"""Text from elsewhere: on one line, bounded, and nothing but itself."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.quoting import LONGEST, one_line, printable, quoted
from sidecar.telemetry.rfc3339 import rfc3339

ANY = st.text(st.characters(), max_size=400)  # lone surrogates included, as headers may have them


@given(ANY)
def test_whatever_is_said_can_be_printed_and_is_bounded(text):
    assert printable(text).isprintable()
    assert len(printable(text)) <= LONGEST
    assert json.loads(msgspec.json.encode(printable(text))) == printable(text)


@given(ANY)
def test_in_quotes_there_is_visible_ascii_and_no_quote(text):
    inside = quoted(text)
    assert inside.isascii()
    assert inside.isprintable()
    assert '"' not in inside


@given(ANY)
def test_one_line_is_one_line_by_everybodys_rules(text):
    assert len(one_line(text).splitlines()) <= 1
    assert one_line(text).isprintable()


@pytest.mark.parametrize(
    ("text", "written"),
    [("gpt-4o mini é 漢", "gpt-4o mini é 漢"), ("a\r\nb\u2028c\x1b[2J", "a��b�c�[2J"), ("x" * 300, "x" * 255 + "…")],
)
def test_printable_replaces_and_cuts(text, written):
    assert printable(text) == written


def test_quoted_escapes_as_nginx_does():
    assert quoted('a" 200 - "\\\né') == r"a\x22 200 - \x22\x5C\x0A\xC3\xA9"


def test_one_line_loses_nothing():
    assert one_line("a\n2026 INFO forged\x1b\u2028") == r"a\n2026 INFO forged\x1b\u2028"


@pytest.mark.parametrize(
    ("unix_s", "written"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1769860800.1239, "2026-01-31T12:00:00.123Z"),
        (0.9999, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_to_the_millisecond(unix_s, written):
    assert rfc3339(unix_s) == written

"""
Plain text for terminals: aligned tables, and how numbers, shares and times are written.

What is shown comes from elsewhere, so nothing that could steer a terminal gets through.
"""

import unicodedata
from collections.abc import Iterable, Sequence

from attrs import frozen

_GAP = "  "
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


@frozen
class Look:
    """What the terminal can do. `width` in columns; None when nobody looks: then nothing is cut."""

    width: int | None = None
    colour: bool = False

    def paint(self, text: str, style: str) -> str:
        """`style`: an ANSI SGR parameter, such as `1` for bold (ECMA-48, 8.3.117)."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour and text else text

    def cut(self, text: str) -> str:
        """The text on one line, `…` in place of what is too much."""
        if self.width is None or columns_of(text) <= self.width:
            return text
        kept = text[: self.width]
        while kept and columns_of(kept) > self.width - 1:
            kept = kept[:-1]
        return kept + "…"


BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"


@frozen
class Column:
    title: str
    right: bool = False
    """Numbers stand at the right."""


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], look: Look) -> list[str]:
    """Lines: the titles, then the rows, None as `-`."""
    cells = [[column.title for column in columns], *([_cell(value) for value in row] for row in rows)]
    widths = [max(columns_of(row[at]) for row in cells) for at in range(len(columns))]
    lines = [look.cut(_line(row, columns, widths)) for row in cells]
    return [look.paint(lines[0], BOLD), *lines[1:]]


def _line(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    padded = []
    for text, column, width in zip(row, columns, widths, strict=True):
        space = " " * (width - columns_of(text))
        padded.append(space + text if column.right else text + space)
    return _GAP.join(padded).rstrip()


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else clean(str(value))


def clean(text: str) -> str:
    """Without control characters: a route's name comes from a client, and a terminal obeys what it is sent."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


def columns_of(text: str) -> int:
    """How many columns of a terminal it takes: East Asian wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def number(value: float) -> str:
    return f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """`92.3 %`; `-` of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def span(seconds: float) -> str:
    """A time as people say it, to two units: `40 s`, `9 min 40 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    for unit, name, smaller, small_name in (
        (_DAY_S, "d", _HOUR_S, "h"),
        (_HOUR_S, "h", _MINUTE_S, "min"),
        (_MINUTE_S, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"

"""
A regular expression from whoever asks, matched in bounded time.

Python's matcher goes back and forth, so a few characters can keep the event loop busy for hours. Envoy has RE2, which
cannot; here a pattern is held to a small language whose worst case is known: few repetitions, few groups, nothing
repeated that is a group itself, no looking around or back. The worst such pattern costs some milliseconds for a name
of 70 characters, and there are less than two hundred of them.
"""

import re
import warnings

from sidecar.errors import RequestError

MAX_CHARS = 256
MAX_BRANCHES = 3
"""Repetitions and groups together: each multiplies the ways to match."""
MAX_CHOICES = 8
"""`|`, each of which adds to them."""

_ATOMS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""An escape or a set of characters, which stand for one character each."""
_BACK = re.compile(r"\\[1-9]")
_GROUP_REPEATED = re.compile(r"\)[*+?{]")
_SPECIAL_GROUP = re.compile(r"\(\?(?!:)")


class BadPattern(RequestError):
    """It is no regular expression, or none that may be matched here."""

    code = "bad_filter"


def compiled(pattern: str) -> re.Pattern[str]:
    """Raises BadPattern."""
    if len(pattern) > MAX_CHARS:
        raise BadPattern(f"a filter may have {MAX_CHARS} characters, this has {len(pattern)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of patterns that a later Python may read in another way
            found = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as exc:
        raise BadPattern(f"the filter is no regular expression: {exc}") from exc
    _bounded(pattern)
    return found


def _bounded(pattern: str) -> None:
    plain = _ATOMS.sub("x", pattern)
    if _BACK.search(pattern) or _SPECIAL_GROUP.search(plain):
        raise BadPattern("a filter may not look around or back")
    if _GROUP_REPEATED.search(plain):
        raise BadPattern("a filter may not repeat a group")
    branches = sum(plain.count(char) for char in "*+?{(") - plain.count("(?:")
    if branches > MAX_BRANCHES or plain.count("|") > MAX_CHOICES:
        raise BadPattern(f"a filter may have {MAX_BRANCHES} repetitions and groups and {MAX_CHOICES} choices")

"""
What the task-type model reads in a text: words, word pairs, how it opens and ends, and a few cues that are no words.

A task type shows in the instruction, and the instruction stands at the head or at the tail of a prompt; the middle is
material. So only `HEAD` characters from the front and `TAIL` from the back are read, which also bounds the time. A
feature is a string; a group of features is averaged as one voice (1/sqrt(count) each), so that a pasted article cannot
outshout the sentence that says what to do with it.
"""

import re
from itertools import pairwise

from attrs import frozen

HEAD, TAIL = 1200, 700
"""Characters read at either end."""

_WORD = re.compile(r"[^\W\d_]+|\d+")
_MIXED = re.compile(r"[a-z]\d|\d[a-z]", re.ASCII)
_NO_WORDS = {code: " " for code in range(128) if not chr(code).isalnum()}
_STRANGE = re.compile("[^\\W\\d_\\x00-\u024f]")
"""Letters, nearly, of scripts that are not Latin."""
_OPENING_WORDS, _CLOSING_WORDS, _PAIRED_HEAD, _PAIRED_TAIL = 12, 8, 28, 14
_CHARACTERS_PAIRED = 24
"""Characters of a foreign script that are read in pairs: such scripts may not part their words."""

_SIGNS = (
    ("fence", "```"), ("latex", "\\frac"), ("latex", "\\begin{"), ("dollars", "$"), ("caret", "^"), ("equals", " = "),
    ("traceback", "Traceback"), ("error", "Error"), ("exception", "xception"), ("def", "def "), ("class", "class "),
    ("import", "import "), ("return", "return"), ("semicolon", ";\n"), ("braces", "{\n"), ("arrow", "=>"),
    ("call", "();"), ("include", "#include"), ("tag", "</"), ("select", "SELECT "), ("docstring", '"""'),
    ("doctest", ">>> "), ("quote", '"'), ("ellipsis", "___"), ("url", "http"), ("bullet", "\n- "), ("numbered", "\n1."),
    ("colon-end", ":\n"), ("path", ".py"), ("options", "(A)"),
)  # fmt: skip
_LEAST_SPEECHES = 3
_SPEAKER = re.compile(r"^\w{1,20}: ", re.MULTILINE)


@frozen
class Reading:
    """The features of one text."""

    words: list[str]
    """Every word read, in order, lower-cased."""
    head: int
    """So many of `words` come from the front of the text."""
    groups: tuple[list[str], ...]
    """Single words; words by place; pairs; cues."""


def read(text: str) -> Reading:
    """The features of `text`. An empty text has no words and only the cue of its length."""
    front, back = (text, "") if len(text) <= HEAD + TAIL else (text[:HEAD], text[-TAIL:])
    words = _words(front.lower())
    head = len(words)
    if back:
        words += _words(back.lower())
    return Reading(words, head, (_singles(words), _placed(words), _pairs(words), _cues(text, front, back, words)))


def _words(text: str) -> list[str]:
    """Runs of letters and runs of digits, as `_WORD` finds them; for plain English in a third of its time."""
    if text.isascii() and not _MIXED.search(text):
        return text.translate(_NO_WORDS).split()
    return _WORD.findall(text)


def _singles(words: list[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _placed(words: list[str]) -> list[str]:
    placed = [f"{number}:{word}" for number, word in enumerate(words[:3])]
    placed += ["<" + word for word in dict.fromkeys(words[:_OPENING_WORDS])]
    placed += [">" + word for word in dict.fromkeys(words[-_CLOSING_WORDS:])]
    return placed


def _pairs(words: list[str]) -> list[str]:
    tail = words[max(_PAIRED_HEAD, len(words) - _PAIRED_TAIL) :]
    pairs = [f"{one} {two}" for part in (words[:_PAIRED_HEAD], tail) for one, two in pairwise(part)]
    return list(dict.fromkeys(pairs))


def _cues(text: str, front: str, back: str, words: list[str]) -> list[str]:
    cues = [f"#{name}" for name, sign in _SIGNS if sign in front or sign in back]
    cues.append(f"#length{len(text).bit_length()}")
    cues.append(f"#words{len(words).bit_length()}")
    cues.append(f"#lines{min(front.count(chr(10)), 255).bit_length()}")
    cues.append(f"#digits{sum(map(str.isdigit, words)).bit_length()}")
    last = (back or front).rstrip()[-1:]
    cues.append("#ends" + ("a" if last.isalnum() else last))
    cues.append("#starts" + ("A" if text[:1].isupper() else "a" if text[:1].isalpha() else text[:1]))
    if "?" in front or "?" in back:
        cues.append("#question")
    if len(_SPEAKER.findall(front)) >= _LEAST_SPEECHES:
        cues.append("#dialogue")
    if not front.isascii():
        cues += _foreign(front)
    return list(dict.fromkeys(cues))


def _foreign(front: str) -> list[str]:
    """Scripts, and pairs of characters of those that are not Latin."""
    strange = [c for c in _STRANGE.findall(front) if c.isalpha()][:_CHARACTERS_PAIRED]
    cues = ["#foreign" if strange else "#accented"]
    if strange:
        cues.append(f"#script{ord(strange[0]) >> 8}")
    cues += [f"~{one}{two}" for one, two in pairwise(strange)]
    return cues

"""
What a client wants of the provider, written into its prompt, and what the provider's answer says of itself.

    [[soak id=7 session=s3 pieces=12 pace_ms=0 first_ms=0 fate=cut times=1]]          anywhere in the request's body
    [[answer id=7 session=s3 model=beta attempt=2]]word-0 word-1 … [[sum 5f0c3a11]]   the answer's text

Both are plain words without quotes or escapes, so they survive JSON and all translations. The sum is the CRC-32 of all of
the text before it.
"""

import re
import zlib

from attrs import asdict, frozen

WELL = "well"
BEFORE = ("500", "503", "429", "later", "reset", "closed", "garbage", "silent")
"""Fates before the first byte: what another attempt may mend. `later`: a 429 that says when."""
AMID = ("cut", "malformed", "stalled")
"""Fates of an answer that has begun."""
FOR_EVER = 99
"""`times` of a request that fails whoever is asked and however often."""

_WISH = re.compile(rb"\[\[soak ([^\]]*)\]\]")
_ANSWER = re.compile(r"\[\[answer ([^\]]*)\]\]")
_SUM = re.compile(r"\[\[sum ([0-9a-f]{8})\]\]")


@frozen
class Wish:
    """`times`: so many attempts have this fate, those after them are well."""

    id: str
    session: str = "-"
    pieces: int = 6
    pace_ms: int = 0
    first_ms: int = 0
    fate: str = WELL
    times: int = 0

    @property
    def prompt(self):
        return f"[[soak {_words(asdict(self))}]]"

    @property
    def may_fail(self):
        """Whether something else than a whole answer is what was asked for."""
        return self.fate in AMID or (self.fate != WELL and self.times == FOR_EVER)


def wish_in(body):
    """The wish in a request's body; None where there is none."""
    found = _WISH.findall(body)
    if not found:
        return None
    said = _read(found[-1].decode())
    return Wish(**{name: value if name in {"id", "session", "fate"} else int(value) for name, value in said.items()})


@frozen
class Told:
    """What an answer says of itself."""

    id: str
    session: str
    model: str
    attempt: int


def pieces_of(wish, model, attempt):
    """The text of an answer, in pieces: what it is, words, its sum."""
    opening = f"[[answer {_words(asdict(Told(wish.id, wish.session, model, attempt)))}]]"
    pieces = [opening, *(f"word-{number}-of-{wish.id} " for number in range(wish.pieces))]
    return [*pieces, f"[[sum {zlib.crc32(''.join(pieces).encode()):08x}]]"]


def told_in(text):
    """(Told or None, whether the text is whole and right by its own sum)."""
    opening, closing = _ANSWER.match(text), _SUM.search(text)
    if opening is None:
        return None, False
    said = _read(opening[1])
    told = Told(said["id"], said["session"], said["model"], int(said["attempt"]))
    right = closing is not None and closing.end() == len(text) and _sum(text[: closing.start()]) == closing[1]
    return told, right


def _sum(text):
    return f"{zlib.crc32(text.encode()):08x}"


def _words(said):
    return " ".join(f"{name}={value}" for name, value in said.items())


def _read(text):
    return dict(word.split("=", 1) for word in text.split())

"""
The static embedding: a text is the weighted sum of the vectors of its words, brought to length one.

The vectors were fitted so that this sum lies where all-MiniLM-L6-v2 puts the text (tests/training/distill.py). A word
that has no vector of its own is read in the pieces of that model's vocabulary, longest first (WordPiece, Wu et al. 2016),
"##" marking a piece that continues a word.
"""

from collections.abc import Iterator, Sequence
from unicodedata import combining, normalize

from sidecar.classifiers.embedded.lanes import Table, Vector

_LONGEST_WORD = 40
_MOST_REMEMBERED = 4096


def bare(word: str) -> str:
    """Without accents, as the vocabulary has it."""
    return word if word.isascii() else "".join(c for c in normalize("NFD", word) if not combining(c))


def pieces(word: str, index: dict[str, int]) -> Iterator[int]:
    """The vocabulary's pieces of `word`, longest first; nothing for a word that does not come out even."""
    found, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            at = index.get(mark + word[start:end])
            if at is not None:
                break
        else:
            return iter(())
        found.append(at)
        start = end
    return iter(found)


class Embedding:
    """Words -> a vector of length one."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._remembered: dict[str, tuple[int, ...]] = {}

    @property
    def width(self) -> int:
        return self._table.width

    def of(self, words: Sequence[str]) -> Vector:
        """The embedding of `words`; all zero when none is known."""
        return self._table.direction(self.places(words))

    def places(self, words: Sequence[str]) -> list[int]:
        """Where the vectors of `words` stand, in order."""
        found = list(map(self._table.index.get, words))
        if None not in found:
            return found  # type: ignore[return-value]  # mypy does not see that no None is left
        places: list[int] = []
        for word, at in zip(words, found, strict=True):
            places += self._unknown(word) if at is None else (at,)
        return places

    def _unknown(self, word: str) -> Sequence[int]:
        if len(word) > _LONGEST_WORD:
            return ()  # and not remembered: a word may be as long as a prompt
        places = self._remembered.get(word)
        if places is None:
            places = tuple(pieces(bare(word), self._table.index))
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[word] = places
        return places

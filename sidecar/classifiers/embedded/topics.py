"""
Topics: how near a text is to what a route says of itself and to the examples it gives.

Four voices, added up (`Topics.scores`):

- the cosine with the route's centre: the mean of its description and examples in the static embedding;
- the cosine with its nearest example;
- shared words (lexicon.py);
- a linear separator (separator.py), which learns what tells neighbours apart.

Without examples only the first and the third speak.
"""

from collections.abc import Sequence

from attrs import frozen

from sidecar.classifiers.embedded.lanes import Matrix, Vector, quantised
from sidecar.classifiers.embedded.lexicon import Lexicon
from sidecar.classifiers.embedded.separator import separated
from sidecar.classifiers.embedded.tasks import Text

CENTRE, NEAREST, WORDS, SEPARATOR = 0.5, 0.2, 0.4, 1.5
WORDS_ALONE = 0.15
"""The weight of shared words when a route has no examples: a description's words are few."""


@frozen
class Source:
    """What a route brings: the text of its description and of each example."""

    description: Text
    examples: tuple[Text, ...]


class Topics:
    def __init__(self, sources: Sequence[Source]) -> None:
        self._lexicon = Lexicon([[t.reading for t in (s.description, *s.examples)] for s in sources])
        self._has_examples = [bool(s.examples) for s in sources]
        centres = [unit(_summed([t.whole.values() for t in (s.description, *s.examples)])) for s in sources]
        self._centres = Matrix([quantised(c) for c in centres])
        self._owners = [at for at, s in enumerate(sources) for _ in s.examples]
        if self._owners:
            self._examples = Matrix([t.whole for s in sources for t in s.examples])
            self._separator = Matrix(separated(centres, _in_turns(sources)))

    def scores(self, text: Text) -> list[float]:
        """For each route how near the text is: about 0 for a stranger, 1 for a twin."""
        vector = text.whole
        cosines = self._centres.times(vector)
        words = self._lexicon.scores(text.reading)
        if not self._owners:
            return [c + WORDS_ALONE * w for c, w in zip(cosines, words, strict=True)]
        nearest, margins = self._nearest(vector), self._separator.times(vector)
        whole = CENTRE + NEAREST + WORDS + SEPARATOR
        return [
            (CENTRE * c + NEAREST * n + WORDS * w + SEPARATOR * m) / whole if has else c + WORDS_ALONE * w
            for c, n, w, m, has in zip(cosines, nearest, words, margins, self._has_examples, strict=True)
        ]

    def _nearest(self, vector: Vector) -> list[float]:
        nearest = [-1.0] * len(self._has_examples)
        for owner, cosine in zip(self._owners, self._examples.times(vector), strict=True):
            nearest[owner] = max(nearest[owner], cosine)
        return nearest


def _in_turns(sources: Sequence[Source]) -> list[tuple[int, Vector]]:
    """(route, embedding) of every example, the first of each route before the second of any."""
    most = max(len(s.examples) for s in sources)
    return [(at, s.examples[n].whole) for n in range(most) for at, s in enumerate(sources) if n < len(s.examples)]


def unit(vector: list[float]) -> list[float]:
    length = sum(map(float.__mul__, vector, vector)) ** 0.5
    return [v / length for v in vector] if length else vector


def _summed(vectors: Sequence[list[float]]) -> list[float]:
    return [sum(entries) for entries in zip(*vectors, strict=True)]

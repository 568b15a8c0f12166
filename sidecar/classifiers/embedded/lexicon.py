"""
Word evidence: which route's own words a text shares, weighted by how few routes use them (tf-idf, Salton 1975).

The static embedding knows what words mean; this knows which words they are. It matters between neighbours such as
"top up by card" and "top up by cheque", and for words the embedding never saw.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import log

from sidecar.classifiers.embedded.features import Reading


def terms(reading: Reading) -> list[str]:
    """Words and neighbouring pairs."""
    return reading.groups[0] + reading.groups[2]


class Lexicon:
    """For each route a unit vector over terms; a text is compared with all of them through one index."""

    def __init__(self, routes: Sequence[Iterable[Reading]]) -> None:
        counts = [Counter(term for reading in readings for term in terms(reading)) for readings in routes]
        used = Counter(term for own in counts for term in own)
        self._routes = len(counts)
        self._rarity = {term: log((1 + len(counts)) / (1 + n)) + 1 for term, n in used.items()}
        self._postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for at, own in enumerate(counts):
            weights = {term: n * self._rarity[term] for term, n in own.items()}
            length = sum(w * w for w in weights.values()) ** 0.5 or 1.0
            for term, weight in weights.items():
                self._postings[term].append((at, weight / length))

    def scores(self, reading: Reading) -> list[float]:
        """For each route the cosine between its terms and the text's, 0 to 1."""
        scores = [0.0] * self._routes
        square = 0.0
        for term in terms(reading):
            rarity = self._rarity.get(term)
            if rarity is None:
                continue
            square += rarity * rarity
            for at, weight in self._postings[term]:
                scores[at] += rarity * weight
        return [s / square**0.5 for s in scores] if square else scores

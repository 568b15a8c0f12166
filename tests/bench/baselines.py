"""What the embedded classifier is measured against: TF-IDF, and whoever always says the most frequent label."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import log

from sidecar.classifiers.embedded.features import read
from sidecar.classifiers.embedded.tasks import spoken
from sidecar.config.models import Route
from sidecar.routing.intent import Intent

Judge = Callable[[Intent, tuple[Route, ...]], tuple[str, float, bool]]
"""(best route, confidence, whether it is a match)."""


class TfIdf:
    """Cosine between term vectors; a route is its name, description and examples."""

    def __init__(self) -> None:
        self._of: dict[tuple[Route, ...], tuple[dict[str, float], list[dict[str, float]]]] = {}

    def __call__(self, intent: Intent, routes: tuple[Route, ...]) -> tuple[str, float, bool]:
        if routes not in self._of:
            self._of[routes] = self._prepared(routes)
        rarity, rows = self._of[routes]
        asked = {w: n * rarity[w] for w, n in Counter(read(intent.latest).words).items() if w in rarity}
        length = sum(v * v for v in asked.values()) ** 0.5 or 1.0
        scores = [sum(v * row.get(w, 0.0) for w, v in asked.items()) / length for row in rows]
        best = max(range(len(routes)), key=scores.__getitem__)
        return routes[best].name, scores[best], scores[best] > 0

    @staticmethod
    def _prepared(routes: tuple[Route, ...]) -> tuple[dict[str, float], list[dict[str, float]]]:
        words = [read(" ".join((spoken(r.name), r.description, *r.examples))).words for r in routes]
        used = Counter(w for own in words for w in set(own))
        rarity = {w: log((1 + len(routes)) / (1 + n)) + 1 for w, n in used.items()}
        rows = []
        for own in words:
            row = {w: n * rarity[w] for w, n in Counter(own).items()}
            length = sum(v * v for v in row.values()) ** 0.5 or 1.0
            rows.append({w: v / length for w, v in row.items()})
        return rarity, rows


def majority(labels: Sequence[str]) -> Judge:
    label = Counter(label for label in labels if label != "no_match").most_common(1)[0][0]
    return lambda _intent, _routes: (label, 1.0, True)

"""
The embedded classifier: offline, in process, deterministic, no dependency beyond Python.

    features.py    text -> words, pairs, places, cues
    embedding.py   words -> static embedding (distilled from all-MiniLM-L6-v2)
    tasks.py       text -> task types; a route's description -> the task types it covers
    topics.py      text x routes -> nearness (centre, nearest example, words, separator)
    blend.py       both, and the turns before -> a score and a confidence for each route
    lanes.py       the arithmetic: rows of bytes in big integers
    weights.py     the file tests/training/train.py writes

Every number follows from the text, the routes and the weights alone.
"""

import asyncio
from collections import OrderedDict

from sidecar.classifiers.embedded.blend import Prepared
from sidecar.classifiers.embedded.tasks import Tasks
from sidecar.classifiers.embedded.weights import load
from sidecar.config.models import Route
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import Verdict

_MOST_PREPARED = 32
"""Route sets kept ready: the configured one and those that clients lately sent with their requests."""


class Known:
    """The weights, which take 40 ms to read, and the routes that were prepared."""

    def __init__(self) -> None:
        weights = load()
        self.settings = weights.settings
        self.tasks = Tasks(weights)
        self.prepared: OrderedDict[tuple[Route, ...], Prepared] = OrderedDict()


class EmbeddedClassifier:
    """Knows kinds of work by itself, and topics by what routes say of themselves."""

    def __init__(self, threshold: float | None = None, known: "Known | None" = None) -> None:
        """
        `threshold`: the least confidence, 0 to 1, that counts as a match; None for the one fitted with the weights.
        `known`: what another one has read already, for both to share.
        """
        self.known = known or Known()
        self._prepared = self.known.prepared
        self._threshold = self.known.settings["threshold"] if threshold is None else threshold

    async def classify(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """The verdict; routes not seen before are prepared in a thread, since that may take milliseconds."""
        if routes not in self._prepared:
            await asyncio.to_thread(self.prepare, routes)
        return self.judge(intent, routes)

    def prepare(self, routes: tuple[Route, ...]) -> Prepared:
        """Reads the routes, or finds them read. Call it for the configured routes at the start."""
        found = self._prepared.pop(routes, None) or Prepared(self.known.tasks, routes, self.known.settings)
        self._prepared[routes] = found  # the last entry is the latest used
        while len(self._prepared) > _MOST_PREPARED:
            self._prepared.popitem(last=False)
        return found

    def judge(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """The verdict, in this thread. Scores are confidences, best first, whether or not the best is a match."""
        scores, sure = self.prepare(routes).score(intent)
        best = max(range(len(routes)), key=scores.__getitem__)
        ranked = sorted(range(len(routes)), key=scores.__getitem__, reverse=True)
        confidence = sure[best]
        route = routes[best].name if confidence >= self._threshold else None
        return Verdict(route, confidence, tuple((routes[at].name, sure[at]) for at in ranked))

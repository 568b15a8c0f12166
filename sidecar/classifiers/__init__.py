"""
Classifiers: conversation + routes -> the route it belongs to, or no match.

A classifier is asked only for a session's first request (and for requests without a session). It may be slow, wrong
or down: whoever asks it bounds the wait and goes on without it (`guard.py`).
"""

from typing import Protocol

from sidecar.config.models import Route
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import Verdict


class Classifier(Protocol):
    async def classify(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """
        The route of `routes` that `intent` belongs to.

        `routes` is never empty; its route names are unique. The verdict's route is None or one of those names.
        Raises whatever goes wrong: the caller fails open. Must not hold the event loop for more than a millisecond.
        """
        ...

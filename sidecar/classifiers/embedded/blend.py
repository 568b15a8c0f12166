"""
Routes, read once, and the rule that scores a conversation against them.

    score(route) = tau * log(agreement + delta) + (1 - tau) * log(nearness) + lambda * topic score

`agreement` is the probability that the text is of a type the route covers; `nearness` is the topic score put through a
logistic; `tau` says how much the route is about a kind of work and not about a topic (tasks.py), so a route set may mix
both. The first two terms are a weighted geometric mean of two probabilities, and its value for the best route is the
confidence. The last one only breaks ties between routes that cover the same types.

A turn that leans on what came before ("make it funnier", "now in French") is a type of its own. As far as the latest
turn is of that type, the user's turn before it speaks in its place, and so on backwards.
"""

from collections.abc import Sequence
from math import exp, log
from operator import mul

from attrs import frozen

from sidecar.classifiers.embedded.tasks import Purpose, Tasks
from sidecar.classifiers.embedded.topics import Source, Topics
from sidecar.config.models import Route
from sidecar.routing.intent import Intent
from sidecar.wire.conversation import Role

DELTA = 0.02
TIE = 0.35
FOLLOW = "follow"
_LEAST_VOICE = 0.04
"""Turns further back than this share of the say are not read."""


@frozen
class Evidence:
    """What speaks for each route, in the order of the routes."""

    agreement: list[float]
    nearness: list[float]
    topic: list[float]


class Prepared:
    """A set of routes, ready to be compared with."""

    def __init__(self, tasks: Tasks, routes: Sequence[Route], settings: dict[str, float]) -> None:
        self.names = tuple(route.name for route in routes)
        self._tasks = tasks
        self._settings = settings
        self._follow = tasks.kinds.index(FOLLOW)
        read = [tasks.purpose(route.name, route.description) for route in routes]
        examples = [tuple(tasks.text(example) for example in route.examples) for route in routes]
        self._purposes = [
            _with_examples(p, [tasks.types(t) for t in own]) for (p, _), own in zip(read, examples, strict=True)
        ]
        self._taus = [purpose.tau for purpose in self._purposes]
        self._topics = Topics([Source(text, own) for (_, text), own in zip(read, examples, strict=True)])
        self._centre = [settings["centre_examples" if route.examples else "centre"] for route in routes]

    def score(self, intent: Intent) -> tuple[list[float], list[float]]:
        """For each route its score, any number, and its confidence, 0 to 1."""
        earlier = [turn.text for turn in intent.earlier if turn.role is Role.USER]
        evidence = self._heard(intent.latest, earlier)
        scores, sure = [], []
        for at, tau in enumerate(self._taus):
            own = tau * log(evidence.agreement[at] + DELTA) + (1 - tau) * log(max(evidence.nearness[at], 1e-6))
            scores.append(own + TIE * evidence.topic[at])
            sure.append(min(1.0, exp(own)))
        return scores, sure

    def _heard(self, latest: str, earlier: list[str]) -> Evidence:
        """The evidence of the latest turn, and of those before it as far as it leans on them."""
        total = [0.0] * len(self.names)
        agreement, nearness, topic = total, total[:], total[:]
        voice = 1.0
        for number, text in enumerate((latest, *reversed(earlier))):
            read = self._tasks.text(text)
            types = self._tasks.types(read)
            leaning = types[self._follow]
            last = number == len(earlier)
            share = voice * (1 - leaning)
            agreement = _plus(agreement, share, self._agreement(types))
            topics = self._topics.scores(read)
            share = voice if last else share
            nearness = _plus(nearness, share, self._nearness(topics))
            topic = _plus(topic, share, topics)
            voice *= leaning
            if voice < _LEAST_VOICE:
                break
        return Evidence(agreement, nearness, topic)

    def _agreement(self, types: list[float]) -> list[float]:
        own = 1 - types[self._follow] or 1.0
        return [sum(map(mul, types, purpose.covers)) / own for purpose in self._purposes]

    def _nearness(self, scores: list[float]) -> list[float]:
        steep = self._settings["steepness"]
        return [1 / (1 + exp(-steep * (s - centre))) for s, centre in zip(scores, self._centre, strict=True)]


def _plus(sums: list[float], share: float, values: list[float]) -> list[float]:
    return [a + share * b for a, b in zip(sums, values, strict=True)]


_EXAMPLES_AS_GOOD = 6
"""So many examples say as much about what a route covers as its description does."""


def _with_examples(purpose: Purpose, types: Sequence[list[float]]) -> Purpose:
    """
    What a route covers, seen also by the types of its examples.

    A description may sound like a kind of work and mean a topic ("what are your hobbies"). Examples settle it: a route
    is about a kind of work as far as its examples are of the kinds it is said to cover.
    """
    if not types:
        return purpose
    mean = [sum(column) / len(types) for column in zip(*types, strict=True)]
    share = len(types) / (len(types) + _EXAMPLES_AS_GOOD)
    held = min(1.0, sum(map(mul, mean, purpose.covers)) / (purpose.tau or 1.0))
    most = max(mean)
    covers = [(1 - share) * c + share * purpose.tau * m / most for c, m in zip(purpose.covers, mean, strict=True)]
    settled = len(types) / (len(types) + 1)
    scale = 1 - settled + settled * held * held
    return Purpose(tuple(c * scale for c in covers))

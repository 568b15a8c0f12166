"""
Task types: what kind of work a text asks for, and which kinds a route's description covers.

Cosine between a prompt and a route's description tells topics apart, not kinds of work: "write a function" and "explain
this function" are about the same thing. So a linear model, fitted ahead of time, reads the kind of work off the text;
another reads off a route's name and description which kinds the route is for. How much the route is about a kind of work
at all, and not about a topic ("billing questions"), is the largest of those: `Purpose.tau`.
"""

import re
from collections.abc import Sequence
from math import exp

from attrs import frozen

from sidecar.classifiers.embedded.embedding import Embedding
from sidecar.classifiers.embedded.features import Reading, read
from sidecar.classifiers.embedded.lanes import Matrix, Vector, quantised
from sidecar.classifiers.embedded.weights import Linear, Weights

HEAD_WORDS = 24
"""The words that get an embedding of their own: the instruction more often than not."""

_DOUBT = 0.3

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def spoken(name: str) -> str:
    """A route's name as words: snake_case, kebab-case, camelCase and dotted names are split."""
    return re.sub(r"[\W_]+", " ", _CAMEL.sub(" ", name)).strip()


@frozen
class Text:
    """A text, read once: its features and its two embeddings."""

    reading: Reading
    whole: Vector
    head: Vector


@frozen
class Purpose:
    """What a route is for."""

    covers: tuple[float, ...]
    """For each task type, 0 to 1, whether the route is for it."""

    @property
    def tau(self) -> float:
        """How much the route is about a kind of work: nothing below a doubt that every description leaves."""
        return max(0.0, (max(self.covers) - _DOUBT) / (1 - _DOUBT))


class Model:
    """Sparse features and embeddings -> one number for each task type."""

    def __init__(self, linear: Linear, width: int) -> None:
        self._table = linear.table
        self._bias = linear.bias
        starts = range(0, len(linear.dense[0].entries), width)
        parts = [[Vector(r.entries[at : at + width], r.step) for r in linear.dense] for at in starts]
        self._parts = [Matrix(rows) for rows in parts]
        self._whole = Matrix([_sum(rows) for rows in zip(*parts, strict=True)])

    def outputs(self, groups: Sequence[list[str]], vectors: Sequence[Vector]) -> list[float]:
        """`vectors`: an embedding for each part; one that serves for all of them may be given once."""
        index = self._table.index
        parts = [self._whole] if len(vectors) == 1 else self._parts
        voices: list[Sequence[float]] = [self._bias]
        voices += [part.times(vector) for part, vector in zip(parts, vectors, strict=True)]
        for group in groups:
            if places := [index[name] for name in group if name in index]:
                voice = self._table.unit * len(group) ** -0.5
                voices.append([voice * v for v in self._table.steps(places)])
        return [sum(column) for column in zip(*voices, strict=True)]


def _sum(rows: Sequence[Vector]) -> Vector:
    return rows[0] if len(rows) == 1 else quantised([sum(v) for v in zip(*(r.values() for r in rows), strict=True)])


class Tasks:
    """The two models and the embedding under them."""

    def __init__(self, weights: Weights) -> None:
        self.embedding = Embedding(weights.embedding)
        self.kinds = weights.kinds
        self._tasks = Model(weights.tasks, self.embedding.width)
        self._purposes = Model(weights.purposes, self.embedding.width)

    def text(self, text: str) -> Text:
        reading = read(text)
        whole = self.embedding.of(reading.words)
        head = whole if len(reading.words) <= HEAD_WORDS else self.embedding.of(reading.words[:HEAD_WORDS])
        return Text(reading, whole, head)

    def types(self, text: Text) -> list[float]:
        """The probability of each task type; softmax over all of them."""
        vectors = (text.whole,) if text.head is text.whole else (text.whole, text.head)
        logits = self._tasks.outputs(text.reading.groups, vectors)
        highest = max(logits)
        odds = [exp(v - highest) for v in logits]
        total = sum(odds)
        return [v / total for v in odds]

    def purpose(self, name: str, description: str) -> tuple[Purpose, Text]:
        """What the route is for, and the text that says so."""
        text = self.text(f"{spoken(name)}: {description}")
        logits = self._purposes.outputs(purpose_groups(text.reading), (text.whole,))
        return Purpose(tuple(1 / (1 + exp(-max(-30.0, v))) for v in logits)), text


def purpose_groups(reading: Reading) -> tuple[list[str], ...]:
    """The features of a description: its words and pairs, wherever they stand."""
    return reading.groups[0], reading.groups[2]

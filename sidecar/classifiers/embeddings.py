"""
Embeddings as classifier: the route whose texts point the same way as the user's words.

Any endpoint that speaks OpenAI's embeddings will do. The vectors of the configured routes are asked for once, at the
start, and again in the background for as long as the endpoint is down; until they are there, `classify` raises and
the caller fails open. Routes that come with a request are embedded together with its prompt and kept for the next one.

How near a prompt is to a route: the better of its cosine to the route's name and description, and the mean of its two
best cosines to the route's examples. Two, so that one odd example decides nothing alone; not all, because the examples
of a good route differ.

The arithmetic is plain Python, a tenth of a millisecond for two vectors of 3,072 numbers. It runs on the event loop and
steps aside every half millisecond. A thread would be worse: it holds the interpreter for 5 ms at a time, and the loop
would wait for it after every single event.
"""

import asyncio
import logging
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import isfinite, sqrt
from operator import mul
from typing import Any, Protocol, Self, TypeAlias

import msgspec
from attrs import field, frozen

from sidecar.config.models import MIB, Route
from sidecar.errors import SidecarError, UpstreamError
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import NO_MATCH, Verdict
from sidecar.wire.conversation import Role

logger = logging.getLogger("sidecar.classifier")

DEFAULT_THRESHOLD = 0.3
"""
The least cosine that counts as a match. It suits models that spread texts widely, such as OpenAI's text-embedding-3
(unrelated texts near 0.1). Others (E5, BGE, nomic) put even unrelated texts at 0.5 to 0.8 and need their own value.
"""
BATCH = 32
"""Texts in one call: what text-embeddings-inference takes at most, by default."""
BATCH_LIMIT_BYTES = 8 * MIB
"""Of an answer; 32 vectors of 8,192 numbers, written out in full, stay below."""
TEXT_LENGTH = 2_000
"""Characters of a text that are embedded: about 512 tokens, where many models end and some servers refuse."""
EXAMPLES_READ = 32
"""Examples of a route that are embedded: the first so many."""
REMEMBERED_VECTORS = 4_096
"""Of routes that came with requests, so many vectors are kept: 50 MB at 3,072 numbers each."""
STRIDE = 16_384
"""Multiplications between two chances for the event loop: about half a millisecond."""

Vector: TypeAlias = "array[float]"
"""Of length 1, in single precision (which is what models compute in)."""


class PostJson(Protocol):
    """What this classifier needs of its endpoint: POST a JSON body to a path, get the decoded answer, or an error."""

    async def post(self, path: str, body: Mapping[str, object], *, limit_bytes: int) -> object: ...


@frozen
class Table:
    """Routes and the vectors of their texts, in one row: for each route its description's, then its examples'."""

    routes: tuple[Route, ...]
    vectors: tuple[Vector, ...] = field(repr=False)


class EmbeddingsClassifier:
    """`async with` it: entering begins to fetch the vectors of `routes` and does not wait for them."""

    def __init__(
        self,
        endpoint: PostJson,
        model: str,
        threshold: float | None,
        routes: tuple[Route, ...],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """
        `threshold`, 0 to 1, is the least cosine that is a match; None means `DEFAULT_THRESHOLD`.

        `routes` are the configured ones; `sleep` waits that many seconds between two attempts to fetch their vectors.
        """
        self._endpoint = endpoint
        self._model = model
        self._threshold = DEFAULT_THRESHOLD if threshold is None else threshold
        self._routes = routes
        self._sleep = sleep
        self._own: Table | None = None
        self._tried = asyncio.Event()
        self._fetching: asyncio.Task[None] | None = None
        self._remembered = _Remembered()

    async def __aenter__(self) -> Self:
        self._fetching = asyncio.create_task(self._fetch_own())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._fetching is None:
            return
        self._fetching.cancel()
        await asyncio.wait((self._fetching,))
        if not self._fetching.cancelled():
            self._fetching.result()  # a bug in the fetching is not to end unseen

    async def classify(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """
        The nearest route if it is near enough; `confidence` and `scores` are cosines, cut to 0 to 1.

        The latest message is judged by itself; if that matches nothing, together with the user's message before it.
        A conversation without any text of the user's is no match, and nothing is asked. Raises `SidecarError` when
        the endpoint fails, answers rubbish, or has not given the vectors of the configured routes yet.
        """
        readings = _readings(intent)
        if not readings:
            return NO_MATCH
        prompts, table = await self._embedded(readings, routes)
        verdicts = [self._verdict(await scores(prompt, table)) for prompt in prompts]
        return next((verdict for verdict in verdicts if verdict.route is not None), verdicts[0])

    def _verdict(self, ranked: tuple[tuple[str, float], ...]) -> Verdict:
        name, score = ranked[0]
        return Verdict(name, score, ranked) if score >= self._threshold else Verdict(scores=ranked)

    async def _embedded(self, readings: list[str], routes: tuple[Route, ...]) -> tuple[list[Vector], Table]:
        table = await self._table(routes)
        if table is not None:
            vectors = await self._vectors(readings)
            if len(vectors[0]) != len(table.vectors[0]):
                raise UpstreamError("the embeddings endpoint has changed the length of its vectors: restart to follow")
            return vectors, table
        vectors = await self._vectors([*readings, *texts(routes)])
        table = Table(routes, tuple(vectors[len(readings) :]))
        self._remembered.put(table)
        return vectors[: len(readings)], table

    async def _table(self, routes: tuple[Route, ...]) -> Table | None:
        """The vectors of `routes`, or None if they are to be fetched with the prompt's."""
        if routes != self._routes:
            return self._remembered.get(routes)
        await self._tried.wait()
        if self._own is None:
            raise UpstreamError("the vectors of the configured routes are not there yet")
        return self._own

    async def _fetch_own(self) -> None:
        """Tries until it succeeds, after 1, 2, 4 … seconds and then every minute."""
        delay_s = 1.0
        while not await self._fetched_own():
            await self._sleep(delay_s)
            delay_s = min(2 * delay_s, 60.0)

    async def _fetched_own(self) -> bool:
        """Whether this attempt brought the vectors. The first failure is logged, and the success after failures."""
        again = self._tried.is_set()
        try:
            self._own = Table(self._routes, tuple(await self._vectors(texts(self._routes))))
        except SidecarError as exc:
            if not again:
                logger.warning("no vectors for the configured routes yet, trying on: %s", exc.message)
            return False
        finally:
            self._tried.set()
        if again:
            logger.info("the vectors of the configured routes are there")
        return True

    async def _vectors(self, wanted: Sequence[str]) -> list[Vector]:
        """One vector for each text, all of one length. https://platform.openai.com/docs/api-reference/embeddings"""
        vectors: list[Vector] = []
        for start in range(0, len(wanted), BATCH):
            batch = list(wanted[start : start + BATCH])
            body = {"model": self._model, "input": batch, "encoding_format": "float"}
            answer = await self._endpoint.post("/embeddings", body, limit_bytes=BATCH_LIMIT_BYTES)
            for numbers in embeddings(answer, len(batch)):
                vectors.append(unit(numbers))
                await asyncio.sleep(0)
        if len({len(vector) for vector in vectors}) > 1:
            raise UpstreamError("the embeddings endpoint answered with vectors of different lengths")
        return vectors


# The texts


def texts(routes: tuple[Route, ...]) -> list[str]:
    """What stands for the routes, in the order of `Table.vectors`."""
    return [text for route in routes for text in (_described(route), *_examples(route))]


def _described(route: Route) -> str:
    words = " ".join(route.name.replace("_", " ").replace("-", " ").split())
    return _cut(f"{words}: {route.description}")


def _examples(route: Route) -> list[str]:
    return [_cut(example) for example in route.examples if example.strip()][:EXAMPLES_READ]


def _readings(intent: Intent) -> list[str]:
    """The latest message, and the same after the user's message before it: that is what "the same for …" points to."""
    before = next((turn.text for turn in reversed(intent.earlier) if turn.role is Role.USER), "")
    readings = (intent.latest, f"{before}\n{intent.latest}" if before else "")
    return [_cut(reading) for reading in readings if reading.strip()]


def _cut(text: str) -> str:
    """Head and tail of a text that is too long: what is wanted stands at one of its ends."""
    half = TEXT_LENGTH // 2
    return text if len(text) <= TEXT_LENGTH else f"{text[:half]} … {text[-half:]}"


# The answer


class _Item(msgspec.Struct):
    embedding: list[Any]
    index: int | None = None


class _Embeddings(msgspec.Struct):
    """https://platform.openai.com/docs/api-reference/embeddings/object, as far as it is read."""

    data: list[_Item]


def embeddings(answer: object, count: int) -> list[list[Any]]:
    """The `count` embeddings of an answer in the order of their inputs. Raises `UpstreamError` if they are not that."""
    try:
        items = msgspec.convert(answer, _Embeddings).data
    except msgspec.ValidationError as exc:
        raise UpstreamError("the embeddings endpoint answered with something that is no list of embeddings") from exc
    placed = {place if item.index is None else item.index: item.embedding for place, item in enumerate(items)}
    if len(items) != count or placed.keys() != set(range(count)):
        raise UpstreamError(f"the embeddings endpoint answered with {len(items)} vectors for {count} texts")
    return [placed[place] for place in range(count)]


def unit(numbers: Sequence[Any]) -> Vector:
    """`numbers` as a vector of length 1. Raises `UpstreamError` for what has no direction: zeros, NaN, no numbers."""
    try:
        length = sqrt(sum(map(mul, numbers, numbers)))
        if isfinite(length) and length > 0:
            return array("f", [number / length for number in numbers])
    except (TypeError, OverflowError) as exc:
        raise UpstreamError("the embeddings endpoint answered with a vector of something else than numbers") from exc
    raise UpstreamError("the embeddings endpoint answered with a vector that has no direction")


# The arithmetic


async def scores(prompt: Vector, table: Table) -> tuple[tuple[str, float], ...]:
    """(route name, how near it is), nearest first; of equals the one that was declared first."""
    cosines = iter(await _cosines(prompt, table.vectors))
    near = [(route.name, _nearness(next(cosines), [next(cosines) for _ in _examples(route)])) for route in table.routes]
    return tuple(sorted(near, key=lambda named: -named[1]))


async def _cosines(prompt: Vector, vectors: Sequence[Vector]) -> list[float]:
    at_once = max(1, STRIDE // len(prompt))
    cosines: list[float] = []
    for start in range(0, len(vectors), at_once):
        cosines += [sum(map(mul, prompt, vector)) for vector in vectors[start : start + at_once]]
        await asyncio.sleep(0)
    return cosines


def _nearness(description: float, examples: Sequence[float]) -> float:
    best = sorted(examples)[-2:]
    nearest = max(description, sum(best) / len(best)) if best else description
    return min(max(nearest, 0.0), 1.0)


class _Remembered:
    """The tables of routes that came with requests, the least recently used going first."""

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[Route, ...], Table] = OrderedDict()

    def get(self, routes: tuple[Route, ...]) -> Table | None:
        table = self._tables.get(routes)
        if table is not None:
            self._tables.move_to_end(routes)
        return table

    def put(self, table: Table) -> None:
        self._tables[table.routes] = table
        while sum(len(kept.vectors) for kept in self._tables.values()) > REMEMBERED_VECTORS:
            self._tables.popitem(last=False)

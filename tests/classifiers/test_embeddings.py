"""An embeddings endpoint double that turns texts into vectors by a rule each test writes, asked over a real socket."""

import asyncio
import logging
from contextlib import asynccontextmanager
from math import sqrt

import pytest
from aiohttp import web

from sidecar.classifiers.embeddings import (
    BATCH,
    DEFAULT_THRESHOLD,
    EXAMPLES_READ,
    REMEMBERED_VECTORS,
    EmbeddingsClassifier,
    Table,
    embeddings,
    scores,
    texts,
    unit,
)
from sidecar.config.models import Route
from sidecar.errors import UpstreamError
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import NO_MATCH
from sidecar.upstream.endpoint import Endpoint, open_session
from sidecar.wire.conversation import Role, Turn

CODE = Route("code_generation", "programs", ("a/b",))
MATHS = Route("maths", "numbers", ("a/c",))
ROUTES = (CODE, MATHS)
TOPICS = {"program": [1.0, 0.0, 0.0], "number": [0.0, 1.0, 0.0]}
ELSEWHERE = [0.0, 0.0, 1.0]


def vector_of(text):
    """Each topic that the text mentions adds its direction; a text that mentions none points elsewhere."""
    mentioned = [direction for word, direction in TOPICS.items() if word in text]
    return [sum(parts) for parts in zip(*mentioned, strict=True)] if mentioned else ELSEWHERE


def listing(vectors):
    data = [{"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": "m"}


class Double:
    """Answers `listing(vector_of(text))` unless `answer` says otherwise; keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self.down = False
        self.answer = lambda inputs: listing([vector_of(text) for text in inputs])

    async def answered(self, request):
        body = await request.json()
        self.asked.append(body)
        if self.down:
            return web.Response(status=503)
        return web.json_response(self.answer(body["input"]))


class Naps:
    """Stands for `sleep`: notes how long, and lasts until the test says `over.release()`."""

    def __init__(self):
        self.seconds = []
        self.over = asyncio.Semaphore(0)
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        self.begun.release()
        await self.over.acquire()


@pytest.fixture
def double():
    return Double()


@pytest.fixture
async def classifying(aiohttp_server, double):
    app = web.Application()
    app.router.add_post("/v1/embeddings", double.answered)
    server = await aiohttp_server(app)

    @asynccontextmanager
    async def made(routes=ROUTES, threshold=None, **options):
        async with open_session() as session:
            endpoint = Endpoint(session, str(server.make_url("/v1")), None)
            async with EmbeddingsClassifier(endpoint, "m", threshold, routes, **options) as classifier:
                yield classifier

    return made


# The verdict


@pytest.mark.parametrize(("text", "name"), [("a program please", "code_generation"), ("which number", "maths")])
async def test_the_nearest_route_is_the_verdict(classifying, text, name):
    async with classifying() as classifier:
        verdict = await classifier.classify(Intent(text), ROUTES)
    assert (verdict.route, verdict.confidence) == (name, pytest.approx(1.0))
    assert next(name for name, _ in verdict.scores) == name


async def test_what_is_near_no_route_is_no_match_with_its_scores(classifying):
    async with classifying() as classifier:
        verdict = await classifier.classify(Intent("hello"), ROUTES)
    assert (verdict.route, verdict.confidence) == (None, 0.0)
    assert dict(verdict.scores) == {"code_generation": 0.0, "maths": 0.0}


@pytest.mark.parametrize(("cosine", "matches"), [(DEFAULT_THRESHOLD + 0.01, True), (DEFAULT_THRESHOLD - 0.01, False)])
async def test_the_threshold_is_the_least_cosine_that_matches(classifying, double, cosine, matches):
    near = [cosine, 0.0, sqrt(1 - cosine**2)]
    double.answer = lambda inputs: listing([near if text == "?" else vector_of(text) for text in inputs])
    async with classifying() as classifier:
        assert (await classifier.classify(Intent("?"), ROUTES)).route == ("code_generation" if matches else None)


async def test_a_threshold_of_ones_own_is_used_zero_included(classifying):
    async with classifying(threshold=0.0) as classifier:
        assert (await classifier.classify(Intent("hello"), ROUTES)).route == "code_generation"


async def test_opposite_directions_are_a_score_of_zero(classifying, double):
    double.answer = lambda inputs: listing([[-1.0, 0.0] if text == "?" else [1.0, 0.0] for text in inputs])
    async with classifying(threshold=0.1) as classifier:
        verdict = await classifier.classify(Intent("?"), ROUTES)
    assert dict(verdict.scores) == {"code_generation": 0.0, "maths": 0.0}


async def test_a_message_that_matches_nothing_is_read_with_the_users_message_before_it(classifying, double):
    earlier = (Turn(Role.USER, "a number"), Turn(Role.USER, "write a program"), Turn(Role.ASSISTANT, "number"))
    async with classifying() as classifier:
        verdict = await classifier.classify(Intent("the same again", earlier), ROUTES)
    assert verdict.route == "code_generation"
    assert double.asked[-1]["input"] == ["the same again", "write a program\nthe same again"]


async def test_a_message_that_matches_by_itself_is_not_swayed_by_what_came_before(classifying):
    async with classifying() as classifier:
        verdict = await classifier.classify(Intent("a number", (Turn(Role.USER, "a program"),)), ROUTES)
    assert verdict.route == "maths"


async def test_a_conversation_without_text_is_no_match_and_nothing_is_asked(classifying, double):
    async with classifying() as classifier:
        await classifier.classify(Intent("warm up"), ROUTES)
        asked = len(double.asked)
        assert await classifier.classify(Intent(" "), ROUTES) is NO_MATCH
    assert len(double.asked) == asked


async def test_of_a_long_text_head_and_tail_are_embedded(classifying, double):
    async with classifying() as classifier:
        await classifier.classify(Intent("a" * 5000 + "z" * 5000), ROUTES)
    [text] = double.asked[-1]["input"]
    assert text == "a" * 1000 + " … " + "z" * 1000


async def test_the_event_loop_gets_its_turn_while_many_vectors_are_compared():
    routes = tuple(Route(f"r{number}", "", ("a/b",)) for number in range(64))
    ones = unit([1.0] * 3072)
    comparing = asyncio.create_task(scores(ones, Table(routes, (ones,) * 64)))
    turns = 0
    while not comparing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10


# What is asked


async def test_the_vectors_of_the_configured_routes_are_asked_for_once(classifying, double):
    async with classifying() as classifier:
        for _ in range(3):
            await classifier.classify(Intent("a program"), ROUTES)
    assert [body["input"] for body in double.asked] == [
        ["code generation: programs", "maths: numbers"],
        *[["a program"]] * 3,
    ]
    assert {(body["model"], body["encoding_format"]) for body in double.asked} == {("m", "float")}


def test_each_example_is_a_text_of_its_own_up_to_a_limit():
    route = Route("r", "d", ("a/b",), ("one", " ", "two"))
    assert texts((route, MATHS)) == ["r: d", "one", "two", "maths: numbers"]
    assert len(texts((Route("r", "d", ("a/b",), ("x",) * 1000),))) == 1 + EXAMPLES_READ


async def test_more_texts_than_fit_in_one_call_are_asked_for_in_several(classifying, double):
    routes = tuple(Route(f"r{number}", "numbers", ("a/b",)) for number in range(BATCH + 1))
    async with classifying(routes) as classifier:
        assert (await classifier.classify(Intent("number"), routes)).route == "r0"
    assert [len(body["input"]) for body in double.asked] == [BATCH, 1, 1]


@pytest.mark.parametrize(
    ("examples", "score"),
    [
        ((), 0.0),
        (("number",), 1.0),
        (("number", "hello"), 0.5),
        (("number", "hello", "number", "hi"), 1.0),
    ],
)
async def test_a_route_is_as_near_as_its_description_or_its_two_best_examples(classifying, examples, score):
    route = Route("r", "d", ("a/b",), examples)
    async with classifying((route,)) as classifier:
        verdict = await classifier.classify(Intent("number"), (route,))
    assert verdict.scores == (("r", pytest.approx(score)),)


# Routes that come with a request


async def test_routes_of_a_request_are_embedded_with_its_prompt_and_remembered(classifying, double):
    inline = (Route("sums", "numbers", ("a/c",)),)
    async with classifying(()) as classifier:
        for _ in range(2):
            assert (await classifier.classify(Intent("a number"), inline)).route == "sums"
    assert [body["input"] for body in double.asked] == [["a number", "sums: numbers"], ["a number"]]


async def test_of_many_such_routes_the_least_recently_used_are_forgotten(classifying, double):
    def inline(number):
        return (Route(f"r{number}", "numbers", ("a/b",), ("x",) * EXAMPLES_READ),)

    double.answer = lambda inputs: listing([[1.0]] * len(inputs))
    fit = REMEMBERED_VECTORS // (1 + EXAMPLES_READ)
    async with classifying(()) as classifier:
        for number in (*range(fit), 0, fit):
            await classifier.classify(Intent("?"), inline(number))
        double.asked.clear()
        for number in (0, fit):
            await classifier.classify(Intent("?"), inline(number))
        assert [len(body["input"]) for body in double.asked] == [1, 1]
        await classifier.classify(Intent("?"), inline(1))
        assert sum(len(body["input"]) for body in double.asked[2:]) == 2 + EXAMPLES_READ


# When the endpoint is down


async def test_the_start_does_not_wait_and_the_first_request_waits_for_the_vectors(classifying, double):
    async with classifying() as classifier:
        assert double.asked == []
        assert (await classifier.classify(Intent("a program"), ROUTES)).route == "code_generation"


async def test_while_the_endpoint_is_down_it_raises_and_once_it_is_up_it_works(classifying, double, caplog):
    caplog.set_level(logging.INFO, "sidecar.classifier")
    double.down, naps = True, Naps()
    async with classifying(sleep=naps) as classifier:
        for _ in range(8):
            await naps.begun.acquire()
            with pytest.raises(UpstreamError, match="not there yet"):
                await classifier.classify(Intent("a program"), ROUTES)
            naps.over.release()
        await naps.begun.acquire()
        double.down = False
        naps.over.release()
        await asyncio.wait((classifier._fetching,))
        assert (await classifier.classify(Intent("a program"), ROUTES)).route == "code_generation"
    assert naps.seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_leaving_ends_the_attempts(classifying, double):
    double.down, naps = True, Naps()
    async with classifying(sleep=naps) as classifier:
        await naps.begun.acquire()
    assert classifier._fetching.cancelled()


async def test_an_endpoint_that_fails_later_is_an_error(classifying, double):
    async with classifying() as classifier:
        await classifier.classify(Intent("a program"), ROUTES)
        double.down = True
        with pytest.raises(UpstreamError, match="answered 503"):
            await classifier.classify(Intent("a program"), ROUTES)


# When the answer is rubbish


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"data": None},
        {"data": [[1.0]]},
        {"data": [{"embedding": "AACAPw=="}]},
        {"data": [{"index": 0}]},
        {"data": []},
        {"data": [{"embedding": [1.0]}, {"embedding": [1.0]}]},
        {"data": [{"embedding": [1.0], "index": 1}]},
        {"data": [{"embedding": [1.0], "index": "0"}]},
    ],
)
def test_what_is_not_one_embedding_for_each_text_is_an_error(answer):
    with pytest.raises(UpstreamError):
        embeddings(answer, 1)


def test_two_embeddings_for_the_same_text_are_an_error():
    with pytest.raises(UpstreamError):
        embeddings({"data": [{"embedding": [1.0], "index": 0}, {"embedding": [2.0], "index": 0}]}, 2)


def test_embeddings_are_taken_by_their_index_and_by_their_place_without_one():
    by_index = {"data": [{"embedding": [2], "index": 1}, {"embedding": [1], "index": 0}]}
    by_place = {"data": [{"embedding": [1]}, {"embedding": [2]}]}
    assert embeddings(by_index, 2) == embeddings(by_place, 2) == [[1], [2]]


@pytest.mark.parametrize(
    "numbers", [[], [0.0, 0.0], [float("nan")], [float("inf")], [1e300, 1e300], [10**400], ["1"], [None], [[1.0]]]
)
def test_what_has_no_direction_is_an_error(numbers):
    with pytest.raises(UpstreamError):
        unit(numbers)


def test_a_vector_of_any_length_is_brought_to_one():
    assert list(unit([3, 4])) == pytest.approx([0.6, 0.8])


async def test_vectors_of_different_lengths_are_an_error(classifying, double):
    double.answer = lambda inputs: listing([[1.0] * (1 + place) for place, _ in enumerate(inputs)])
    async with classifying(()) as classifier:
        with pytest.raises(UpstreamError, match="different lengths"):
            await classifier.classify(Intent("?"), ROUTES)


async def test_a_model_that_was_exchanged_for_one_of_another_length_is_an_error(classifying, double):
    async with classifying() as classifier:
        await classifier.classify(Intent("a program"), ROUTES)
        double.answer = lambda inputs: listing([[1.0, 0.0]] * len(inputs))
        with pytest.raises(UpstreamError, match="changed the length"):
            await classifier.classify(Intent("a program"), ROUTES)

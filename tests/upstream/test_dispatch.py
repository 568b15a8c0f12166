"""One order at a time, sent to providers of raw sockets: what is open afterwards, and what was written down."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from msgspec import structs
from provider import answers, hangs, in_turn, refuses, serving
from running import CONFIG

from sidecar.config import read_text
from sidecar.config.catalog import Catalog
from sidecar.config.models import CircuitBreakers, Config, OutlierDetection, Provider
from sidecar.errors import RequestError
from sidecar.upstream.asking import Unwritable
from sidecar.upstream.client import open_client
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.failover import Policy, Trip
from sidecar.upstream.health import Fault, Health
from sidecar.upstream.order import ABANDONED, ANSWERED, Answered, Exhausted, Order
from sidecar.upstream.places import Places
from sidecar.upstream.refusal import Cause
from sidecar.wire.formats import Format

MODELS = ("openai/a", "openai/b")


class Counts:
    """A watch that keeps what it is told of attempts."""

    def __init__(self):
        self.told = []

    def attempted(self, provider, outcome):
        self.told.append((provider, outcome))

    def changed(self, provider, change):
        self.told.append((provider, change))


@asynccontextmanager
async def dispatching(story):
    async with serving(story) as double, open_client() as client:
        providers = tuple(Provider(model, model, base_url=double.url) for model in MODELS)
        yield (
            Dispatcher(
                client=client,
                catalog=Catalog.of(Config(providers=providers)),
                health=Health(OutlierDetection()),
                places=Places(CircuitBreakers()),
                policy=Policy(base_interval_s=0.001, max_interval_s=0.001),
                watch=Counts(),
            ),
            double,
        )


def order(body_for=lambda _target, _rank: b"{}", headers=(), **more):
    return Order(MODELS, Format.CHAT, "POST", "/v1/chat/completions", lambda: headers, body_for, "r-1", **more)


def places(dispatcher):
    return [dispatcher.means.places.load(model) for model in MODELS]


async def test_the_first_candidates_answer_keeps_its_place_until_it_is_closed_and_needs_no_trip():
    async with dispatching(answers(b"{}")) as (dispatcher, _):
        sent = order()
        outcome = await dispatcher.send(sent)
        assert isinstance(outcome, Answered)
        assert (outcome.first, outcome.rank, outcome.trip, outcome.repin) == (b"{}", 0, None, None)
        assert places(dispatcher) == [(1, 0), (0, 0)]
        await outcome.close()
        assert places(dispatcher) == [(0, 0), (0, 0)]
        assert [made.outcome for made in sent.attempts] == [ANSWERED]
        assert dispatcher.watch.told == [("openai/a", ANSWERED)]


async def test_one_that_failed_gives_its_place_back_before_another_is_asked():
    held = []

    def body_for(_target, _rank):
        held.append(places(dispatcher))
        return b"{}"

    async with dispatching(in_turn(refuses(503, {}), answers(b"{}"))) as (dispatcher, _):
        outcome = await dispatcher.send(order(body_for))
        assert (outcome.rank, len(outcome.trip.made), held) == (1, 1, [[(0, 0), (0, 0)]] * 2)
        await outcome.close()
        assert dispatcher.watch.told == [("openai/a", "server_error"), ("openai/b", ANSWERED)]


async def test_when_nobody_answers_nothing_is_open():
    async with dispatching(refuses(503, {})) as (dispatcher, _):
        outcome = await dispatcher.send(order())
        assert isinstance(outcome, Exhausted)
        assert places(dispatcher) == [(0, 0), (0, 0)]


async def test_an_ejected_candidate_is_passed_over_and_the_rules_are_asked_from_the_start():
    async with dispatching(answers(b"{}")) as (dispatcher, _):
        health, now = dispatcher.means.health, dispatcher.means.clock()
        for _ in range(5):
            health.failed(health.begin("openai/a", now), Fault.SERVER, now)
        outcome = await dispatcher.send(order())
        assert (outcome.rank, outcome.trip.order, outcome.repin) == (1, (1, 0), (1, 0))
        await outcome.close()


async def test_a_client_that_hangs_up_leaves_nothing_open_and_is_an_abandoned_attempt():
    async with dispatching(hangs) as (dispatcher, double):
        sent = order()
        waiting = asyncio.ensure_future(dispatcher.send(sent))
        await double.began.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await double.gone.wait()
        assert places(dispatcher) == [(0, 0), (0, 0)]
        assert dispatcher.watch.told == [("openai/a", ABANDONED)]


async def test_what_the_first_candidate_cannot_be_asked_is_the_clients_mistake_and_no_attempt():
    def body_for(_target, _rank):
        raise RequestError("no")

    async with dispatching(answers(b"{}")) as (dispatcher, double):
        sent = order(body_for)
        with pytest.raises(RequestError):
            await dispatcher.send(sent)
        assert (sent.attempts, dispatcher.watch.told, double.requests) == ([], [], [])


async def test_what_cannot_be_written_is_sent_to_nobody_and_is_no_providers_fault():
    async with dispatching(answers(b"{}")) as (dispatcher, double):
        outcome = await dispatcher.send(structs.replace(order(), method="POST / HTTP/1.1\r\nx: y"))
        assert isinstance(outcome, Exhausted)
        assert isinstance(outcome.refusal.error, Unwritable)
        assert [made.failure.cause for made in outcome.trip.made] == [Cause.NOT_PORTABLE] * 2
        assert (double.requests, places(dispatcher)) == ([], [(0, 0), (0, 0)])
        assert dispatcher.means.health.snapshot(0) == ()


async def test_a_head_that_is_known_is_sent_with_what_is_of_this_request_only():
    async with dispatching(answers(b"{}")) as (dispatcher, double):
        head = object()
        for number in (1, 2):
            told = {"head": head, "traceparent": f"00-{number}", "headers": [("X-A", "a")]}
            outcome = await dispatcher.send(structs.replace(order(**told), request_id=f"r-{number}"))
            await outcome.close()
        names = ("x-a", "x-request-id", "traceparent", "content-length")
        assert [[sent.one(name) for name in names] for sent in double.requests] == [
            ["a", "r-1", "00-1", "2"],
            ["a", "r-2", "00-2", "2"],
        ]


async def test_each_attempt_of_a_request_that_is_traced_has_a_span_of_its_own():
    spans = iter("ab")
    async with dispatching(in_turn(refuses(503, {}), answers(b"{}"))) as (dispatcher, double):

        def span():
            name = next(spans)
            return name, f"00-{name}"

        sent = order(span=span, traceparent="00-never")
        outcome = await dispatcher.send(sent)
        await outcome.close()
        assert [made.span_id for made in sent.attempts] == ["a", "b"]
        assert [asked.one("traceparent") for asked in double.requests] == ["00-a", "00-b"]


async def test_an_answer_that_is_closed_leaves_its_connection_to_the_next():
    async with dispatching(answers(b"{}")) as (dispatcher, double):
        for _ in range(3):
            outcome = await dispatcher.send(order())
            await outcome.close()
        assert (double.opened, dispatcher.means.client.connections()) == (1, {("active",): 0, ("idle",): 1})


def test_a_pin_moves_though_the_ejection_ended_while_another_answered():
    """Who is passed over is decided before the answer, and its time may be over when the answer is there."""
    settings, now = OutlierDetection(), [0.0]
    models = ("anthropic/claude-sonnet", "openai/gpt-4o")
    health = Health(settings)
    for _ in range(settings.consecutive_5xx):
        health.failed(health.begin(models[0], now[0]), Fault.GATEWAY, now[0])
    catalog = Catalog.of(read_text(CONFIG, "test.yaml", {}).config)
    dispatcher = Dispatcher(
        client=None, catalog=catalog, health=health, places=None, policy=Policy(), watch=None, clock=lambda: now[0]
    )
    order = SimpleNamespace(candidates=models)
    ranked = dispatcher._ranked(order, now[0])
    assert ranked == (1, 0)
    trip = Trip(dispatcher.policy, ranked, 0.0, replayable=True)
    now[0] += settings.base_ejection_time_s
    assert dispatcher._repin(order, trip, ranked[0]) == (1, 0)
    health.succeeded(health.begin(models[0], now[0]), now[0])
    assert health.away == 0
    assert dispatcher._repin(order, trip, ranked[0]) == (1, 0)

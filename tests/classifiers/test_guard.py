"""Classifiers that fail in every way there is; whoever asks the guard has a verdict all the same."""

import asyncio
import gc
import logging

import pytest

from sidecar.classifiers.guard import MAX_LEFT_BEHIND, Guard
from sidecar.config.models import Breaker, Route
from sidecar.errors import UpstreamError
from sidecar.routing.intent import Intent
from sidecar.routing.verdict import NO_MATCH, Failure, Verdict

ROUTES = (Route("code", "Writing code", ("a/b",)), Route("maths", "Proofs", ("a/c",)))
INTENT = Intent("words nobody else may read")
GOOD = Verdict("code", 0.9, (("code", 0.9), ("maths", 0.1)))
TIMEOUTS = pytest.mark.parametrize("timeout_s", [None, 30.0])
"""Both ways to ask: directly, and beside a timer."""


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Scripted:
    """Gives its outcomes one after another: exceptions are raised, functions awaited, the rest is answered."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.asked = 0

    async def classify(self, intent, routes):
        self.asked += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return await outcome() if callable(outcome) else outcome


def guarding(classifier, *, timeout_s=30.0, clock=None, failures=5, observe=None):
    breaker = Breaker(failures=failures, cooldown_s=30)
    return Guard(classifier, timeout_s=timeout_s, breaker=breaker, clock=clock or Clock(), observe=observe)


async def hang():
    await asyncio.Event().wait()


@TIMEOUTS
@pytest.mark.parametrize("verdict", [GOOD, NO_MATCH, Verdict("maths", 1.0), Verdict("code", 0.0)])
async def test_a_sound_verdict_passes_as_it_is(timeout_s, verdict):
    assert await guarding(Scripted(verdict), timeout_s=timeout_s).classify(INTENT, ROUTES) == verdict


@TIMEOUTS
@pytest.mark.parametrize(
    "error",
    [RuntimeError("x"), UpstreamError("x"), TimeoutError(), RecursionError(), MemoryError(), StopAsyncIteration()],
)
async def test_whatever_is_raised_becomes_a_failure(timeout_s, error):
    verdict = await guarding(Scripted(error), timeout_s=timeout_s).classify(INTENT, ROUTES)
    assert verdict == Verdict(failure=Failure.ERROR)


@TIMEOUTS
@pytest.mark.parametrize(
    "rubbish",
    [
        None,
        "code",
        {"route": "code"},
        Verdict("cooking", 0.9),
        Verdict("Code", 0.9),
        Verdict(["code"], 0.9),
        Verdict("code", 1.1),
        Verdict("code", -0.1),
        Verdict("code", float("nan")),
        Verdict("code", "sure"),
        Verdict("code", 0.9, (("code", float("inf")),)),
        Verdict("code", 0.9, ("code",)),
        Verdict("code", 0.9, failure=Failure.ERROR),
    ],
)
async def test_rubbish_is_a_failure(timeout_s, rubbish):
    verdict = await guarding(Scripted(rubbish), timeout_s=timeout_s).classify(INTENT, ROUTES)
    assert verdict == Verdict(failure=Failure.ERROR)


async def test_a_classifier_that_is_no_coroutine_is_a_failure():
    class Plain:
        def classify(self, intent, routes):
            return GOOD

    for timeout_s in (None, 30.0):
        verdict = await guarding(Plain(), timeout_s=timeout_s).classify(INTENT, ROUTES)
        assert verdict.failure is Failure.ERROR


async def test_a_late_verdict_is_given_up():
    verdict = await guarding(Scripted(hang), timeout_s=0.02).classify(INTENT, ROUTES)
    assert verdict == Verdict(failure=Failure.TIMEOUT)


async def test_a_call_that_ignores_its_cancellation_does_not_hold_the_request():
    release = asyncio.Event()
    guard = guarding(Scripted(stubborn(release)), timeout_s=0.02)
    async with asyncio.timeout(5):
        verdict = await guard.classify(INTENT, ROUTES)
    assert verdict.failure is Failure.TIMEOUT
    assert len(guard._left_behind) == 1
    release.set()
    await emptied(guard)


async def test_how_a_call_ends_that_was_left_behind_is_nobodys_complaint():
    complaints, release = [], asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    guard = guarding(Scripted(stubborn(release)), timeout_s=0.02)
    await guard.classify(INTENT, ROUTES)
    release.set()
    await emptied(guard)
    gc.collect()
    assert complaints == []


async def test_with_too_many_calls_left_behind_no_more_are_made():
    release = asyncio.Event()
    classifier = Scripted(stubborn(release))
    guard = guarding(classifier, timeout_s=0.02, failures=1000)
    await asyncio.gather(*(guard.classify(INTENT, ROUTES) for _ in range(MAX_LEFT_BEHIND)))
    assert (await guard.classify(INTENT, ROUTES)).failure is Failure.OPEN
    assert classifier.asked == MAX_LEFT_BEHIND
    release.set()
    await emptied(guard)
    classifier.outcomes = [GOOD]
    assert await guard.classify(INTENT, ROUTES) == GOOD


def stubborn(release):
    async def call():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise RuntimeError("nobody hears this")

    return call


async def emptied(guard):
    if guard._left_behind:
        await asyncio.wait(guard._left_behind)
    await asyncio.sleep(0)  # the guard hears of it one turn later
    assert not guard._left_behind


async def test_a_call_that_is_cancelled_from_within_is_a_failure_not_a_cancellation():
    verdict = await guarding(Scripted(asyncio.CancelledError())).classify(INTENT, ROUTES)
    assert verdict == Verdict(failure=Failure.ERROR)


@TIMEOUTS
async def test_a_request_that_is_given_up_ends_its_call_and_counts_for_nothing(timeout_s):
    began, ended = asyncio.Event(), asyncio.Event()

    async def call():
        began.set()
        try:
            await hang()
        finally:
            ended.set()

    seen = []
    guard = guarding(Scripted(call, GOOD), timeout_s=timeout_s, failures=1, observe=lambda *told: seen.append(told))
    request = asyncio.create_task(guard.classify(INTENT, ROUTES))
    await began.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await ended.wait()
    assert seen == []
    assert await guard.classify(INTENT, ROUTES) == GOOD


async def test_what_keeps_failing_is_not_asked_until_the_cool_down_is_over():
    clock, classifier = Clock(), Scripted(RuntimeError())
    guard = guarding(classifier, clock=clock, failures=3)
    failures = [(await guard.classify(INTENT, ROUTES)).failure for _ in range(5)]
    assert failures == [Failure.ERROR] * 3 + [Failure.OPEN] * 2
    assert classifier.asked == 3
    clock.now += 30
    classifier.outcomes = [GOOD]
    assert [await guard.classify(INTENT, ROUTES) for _ in range(3)] == [GOOD] * 3


async def test_rubbish_opens_the_circuit_too():
    guard = guarding(Scripted("rubbish"), failures=2)
    failures = [(await guard.classify(INTENT, ROUTES)).failure for _ in range(3)]
    assert failures == [Failure.ERROR, Failure.ERROR, Failure.OPEN]


async def test_after_the_cool_down_one_request_tries_and_the_others_do_not_wait_for_it():
    clock, answer = Clock(), asyncio.Event()

    async def slow():
        await answer.wait()
        return GOOD

    classifier = Scripted(RuntimeError(), slow)
    guard = guarding(classifier, clock=clock, failures=1)
    await guard.classify(INTENT, ROUTES)
    clock.now += 30
    trial = asyncio.create_task(guard.classify(INTENT, ROUTES))
    await asyncio.sleep(0)
    assert [(await guard.classify(INTENT, ROUTES)).failure for _ in range(3)] == [Failure.OPEN] * 3
    answer.set()
    assert await trial == GOOD
    assert classifier.asked == 2


async def test_a_trial_whose_request_is_given_up_leaves_the_trial_to_the_next():
    clock, tried = Clock(), asyncio.Event()

    async def try_and_hang():
        tried.set()
        await hang()

    guard = guarding(Scripted(RuntimeError(), try_and_hang, GOOD), clock=clock, failures=1)
    await guard.classify(INTENT, ROUTES)
    clock.now += 30
    trial = asyncio.create_task(guard.classify(INTENT, ROUTES))
    await tried.wait()
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    assert await guard.classify(INTENT, ROUTES) == GOOD


async def test_the_observer_is_told_every_verdict_and_its_seconds():
    clock, seen = Clock(), []

    async def takes_a_while():
        clock.now += 0.25
        return GOOD

    guard = guarding(
        Scripted(takes_a_while, RuntimeError()), clock=clock, failures=1, observe=lambda *told: seen.append(told)
    )
    for _ in range(3):
        await guard.classify(INTENT, ROUTES)
    assert seen == [(GOOD, 0.25), (Verdict(failure=Failure.ERROR), 0), (Verdict(failure=Failure.OPEN), 0)]


async def test_each_change_of_the_circuit_is_one_line_in_the_log(caplog):
    caplog.set_level(logging.INFO, "sidecar.classifier")
    clock, classifier = Clock(), Scripted(RuntimeError())
    guard = guarding(classifier, clock=clock, failures=2)
    for _ in range(50):
        await guard.classify(INTENT, ROUTES)
    clock.now += 30
    classifier.outcomes = [GOOD]
    for _ in range(50):
        await guard.classify(INTENT, ROUTES)
    assert [record.getMessage() for record in caplog.records] == [
        "the classifier failed: RuntimeError",
        "the classifier keeps failing: not asked for 30 s",
        "the classifier is tried again",
        "the classifier answers again",
    ]


async def test_failures_are_logged_once_a_minute_with_how_many_there_were(caplog):
    clock = Clock()
    guard = guarding(Scripted(UpstreamError("http://x/v1 answered 500")), clock=clock, failures=1000)
    for now in (0, 1, 59, 60, 61):
        clock.now = now
        await guard.classify(INTENT, ROUTES)
    assert [record.getMessage() for record in caplog.records] == [
        "the classifier failed: http://x/v1 answered 500",
        "the classifier failed: http://x/v1 answered 500 (2 more since the last such line)",
    ]


@pytest.mark.parametrize(
    "outcome", [KeyError(INTENT.latest), ValueError(INTENT.latest), INTENT.latest, Verdict(INTENT.latest, 1.0)]
)
async def test_the_log_never_quotes_the_prompt(caplog, outcome):
    guard = guarding(Scripted(outcome), failures=1)
    await guard.classify(INTENT, ROUTES)
    assert caplog.records
    assert "nobody" not in caplog.text

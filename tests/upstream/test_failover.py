"""Stories of requests on their way through the candidates, told without a provider."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.upstream.failover import Policy, Stop, Trip, Try, first_step, next_step, pin_after
from sidecar.upstream.refusal import Cause, Failure, broken

DOWN = Failure(Cause.SERVER_ERROR, 503)
LIMITED = Failure(Cause.RATE_LIMITED, 429)
UNKNOWN = Failure(Cause.MODEL_UNKNOWN, 404)
REFUSED = Failure(Cause.REFUSED, 400)
NO_KEY = Failure(Cause.KEY_REFUSED, 401)
REACHED_NOT = broken(Cause.CONNECT)
SILENT = broken(Cause.TIMEOUT)


def trip(candidates=3, **settings):
    replayable = settings.pop("replayable", True)
    return Trip(Policy(**settings), tuple(range(candidates)), began_at=0.0, replayable=replayable)


def story(start, *failures, now=0.0, jitter=1.0):
    """The ranks asked until it stops, or until the failures are over; then the last step."""
    asked, here = [], start
    for failure in failures:
        step = next_step(here, now)
        if isinstance(step, Stop):
            break
        asked.append(step.rank)
        here = here.failed(step.rank, failure, now, jitter)
    return asked, next_step(here, now), here


@given(st.integers(1, 9), st.floats(0, 1e6), st.booleans(), st.floats(0.1, 1e5))
def test_the_first_step_is_the_same_for_every_trip_while_nobody_is_ejected(candidates, now, replayable, timeout_s):
    policy = Policy(timeout_s=timeout_s)
    begun = Trip(policy, tuple(range(candidates)), now, replayable)
    told, first = next_step(begun, now), first_step(policy)
    assert (told.rank, told.wait_s, told.budget_s) == (first.rank, first.wait_s, pytest.approx(first.budget_s))
    assert pin_after(begun, first.rank) is None


def test_the_first_asked_is_the_first_in_order():
    assert next_step(trip(), 0) == Try(0, 0.0, 300.0)
    assert next_step(replace(trip(), order=(2, 0, 1)), 0).rank == 2


@pytest.mark.parametrize("failure", [DOWN, LIMITED, UNKNOWN, NO_KEY, REACHED_NOT, SILENT])
def test_after_a_failure_that_is_not_the_clients_the_next_candidate_is_asked_at_once(failure):
    assert story(trip(), failure)[1] == Try(1, 0.0, 300.0)


def test_the_clients_own_mistake_is_relayed_and_nobody_else_is_asked():
    assert story(trip(), REFUSED)[1] == Stop(0)
    assert story(trip(), DOWN, REFUSED)[1] == Stop(1)


def test_there_are_never_more_attempts_than_allowed():
    assert story(trip(5), DOWN, DOWN, DOWN, DOWN)[0] == [0, 1, 2]
    assert story(trip(5, max_attempts=1), DOWN)[1] == Stop(0)


def test_turned_off_there_is_one_attempt():
    assert story(trip(failover=False), REACHED_NOT)[1] == Stop(0)


def test_a_list_that_is_used_up_is_gone_through_again_from_its_best():
    assert story(trip(2), DOWN, DOWN, DOWN)[0] == [0, 1, 0]
    assert story(trip(1), DOWN, DOWN, DOWN)[0] == [0, 0, 0]


def test_a_candidate_that_will_never_answer_is_not_asked_again():
    assert story(trip(2), UNKNOWN, DOWN, DOWN)[0] == [0, 1, 1]
    assert story(trip(2), UNKNOWN, NO_KEY)[1] == Stop(1)


def test_a_provider_that_was_silent_is_not_asked_again():
    assert story(trip(1), SILENT)[1] == Stop(0)


def test_the_wait_before_asking_again_doubles_up_to_a_bound_and_is_a_jittered_part_of_it():
    start, waits = trip(1, max_attempts=7), []
    for _ in range(6):
        start = start.failed(0, DOWN, 0.0, 1.0)
        waits.append(next_step(start, 0.0).wait_s)
    assert waits == [0.025, 0.05, 0.1, 0.2, 0.25, 0.25]
    assert next_step(trip(1).failed(0, DOWN, 0.0, 0.5), 0.0).wait_s == 0.0125


def test_the_time_another_candidate_took_counts_as_waiting():
    here = trip(2).failed(0, DOWN, 0.0, 1.0).failed(1, UNKNOWN, 10.0, 1.0)
    assert next_step(here, 10.0) == Try(0, 0.0, 290.0)


def test_a_provider_that_says_when_is_asked_then_and_not_before():
    step = story(trip(1), evolve(LIMITED, retry_after_s=2.0))[1]
    assert step.wait_s == 2.025


def test_a_provider_that_asks_for_too_long_is_not_waited_for():
    assert story(trip(1), evolve(LIMITED, retry_after_s=5.1))[1] == Stop(0)
    assert story(trip(1), evolve(DOWN, retry_after_s=60))[1] == Stop(0)


def test_a_429_that_does_not_say_when_is_the_clients_to_repeat():
    assert story(trip(1), LIMITED)[1] == Stop(0)


def test_the_budget_is_for_all_attempts_together():
    here = trip(timeout_s=10).failed(0, DOWN, 9.0, 0.0)
    assert next_step(here, 9.0) == Try(1, 0.0, 1.0)
    assert next_step(here, 10.0) == Stop(0)
    waiting = trip(1, timeout_s=10).failed(0, evolve(DOWN, retry_after_s=2.0), 9.0, 0.0)
    assert next_step(waiting, 9.0) == Stop(0)


def test_a_body_that_cannot_be_sent_twice_is_sent_once():
    upload = trip(replayable=False)
    assert story(upload, DOWN)[1] == Stop(0)
    assert story(upload, SILENT)[1] == Stop(0)
    assert story(upload, REACHED_NOT)[1] == Try(1, 0.0, 300.0)


@pytest.mark.parametrize(
    ("failures", "relayed"),
    [
        ((DOWN, LIMITED, DOWN), 2),
        ((LIMITED, REACHED_NOT, SILENT), 0),
        ((LIMITED, UNKNOWN, NO_KEY), 0),
        ((UNKNOWN, NO_KEY, REACHED_NOT), 1),
        ((REACHED_NOT, SILENT, REACHED_NOT), 2),
        ((DOWN, DOWN, REFUSED), 2),
    ],
)
def test_of_many_failures_the_client_hears_of_the_most_useful(failures, relayed):
    assert story(trip(), *failures)[1] == Stop(relayed)


FAILURES = st.sampled_from([DOWN, LIMITED, UNKNOWN, REFUSED, NO_KEY, REACHED_NOT, SILENT, broken(Cause.OVERFLOW)])


# Six that are asked at most, and each of five may be out of places once, which is no attempt: eleven failures.
@given(st.integers(1, 5), st.integers(1, 6), st.lists(FAILURES, min_size=11, max_size=11), st.permutations(range(5)))
def test_every_trip_ends_within_the_list_the_attempts_and_the_budget(candidates, attempts, failures, ranks):
    order = tuple(rank for rank in ranks if rank < candidates)
    asked, last, here = story(replace(trip(max_attempts=attempts), order=order), *failures)
    assert isinstance(last, Stop)
    assert 0 <= last.relay < len(here.made) == len(asked)
    assert sum(made.failure.asked for made in here.made) <= attempts
    assert asked[: len(set(asked))] == list(order[: len(set(asked))])


@pytest.mark.parametrize("failures", [(), (DOWN,), (LIMITED,), (SILENT, REACHED_NOT)])
def test_a_pin_stays_through_what_passes(failures):
    here = story(trip(), *failures)[2]
    assert pin_after(here, answered=len(failures)) is None


@pytest.mark.parametrize("failure", [UNKNOWN, NO_KEY, broken(Cause.KEY_MISSING)])
def test_a_pin_leaves_a_model_that_will_never_answer_at_once(failure):
    assert pin_after(story(trip(), failure)[2], answered=1) == (1, 2)
    assert pin_after(story(trip(), failure, DOWN)[2], answered=2) == (2, 1)
    assert pin_after(story(trip(), failure, failure)[2], answered=2) == (2,)


def test_a_pin_leaves_it_even_when_nobody_answers_unless_nobody_is_left():
    assert pin_after(story(trip(2), UNKNOWN, DOWN, DOWN)[2], answered=None) == (1,)
    assert pin_after(story(trip(1), UNKNOWN)[2], answered=None) is None


def test_a_pin_moves_from_an_ejected_model_to_the_one_that_answered_and_keeps_it_for_later():
    passed_over = replace(trip(), order=(1, 2, 0))
    assert pin_after(passed_over, answered=1, ejected={0}) == (1, 0, 2)
    assert pin_after(story(trip(), DOWN)[2], answered=1, ejected={0}) == (1, 0, 2)


def test_a_pin_stays_on_an_ejected_model_that_answered_or_when_nobody_did():
    assert pin_after(trip(), answered=0, ejected={0}) is None
    assert pin_after(story(trip(), DOWN, DOWN, DOWN)[2], answered=None, ejected={0}) is None


def test_what_happens_to_a_later_choice_is_not_the_pins_matter():
    assert pin_after(story(trip(), DOWN, UNKNOWN)[2], answered=2, ejected={1}) is None


def test_candidates_that_nobody_could_turn_to_cost_no_attempt():
    asked, _, _ = story(
        replace(trip(max_attempts=1), order=(0, 1, 2)), broken(Cause.KEY_MISSING), broken(Cause.OVERFLOW), DOWN
    )
    assert asked == [0, 1, 2]

"""Places at one provider, counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.models import CircuitBreakers
from sidecar.errors import Unavailable
from sidecar.upstream.limits import Gate, Overloaded


def gate(connections=2, pending=1, requests=2):
    return Gate("openai", CircuitBreakers(connections, pending, requests))


def test_the_defaults_are_envoys():
    thresholds = CircuitBreakers()
    assert (thresholds.max_connections, thresholds.max_pending_requests, thresholds.max_requests) == (1024,) * 3


@pytest.mark.parametrize(("connections", "requests"), [(2, 9), (9, 2)])
def test_the_smaller_of_connections_and_requests_run_and_the_next_waits(connections, requests):
    places = gate(connections=connections, requests=requests)
    slots = [places.enter() for _ in range(3)]
    assert [places.waits(slot) for slot in slots] == [False, False, True]
    assert (places.running, places.pending) == (2, 1)


def test_one_more_is_refused_and_told_when_to_come_back():
    places = gate()
    for _ in range(3):
        places.enter()
    with pytest.raises(Overloaded, match="openai") as caught:
        places.enter()
    assert isinstance(caught.value, Unavailable)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "overloaded", 1.0)
    assert (places.running, places.pending) == (2, 1)


def test_a_place_that_comes_free_goes_to_who_has_waited_longest():
    places = gate(connections=1, pending=2)
    running, first, second = (places.enter() for _ in range(3))
    assert places.leave(running) is first
    assert not places.waits(first)
    assert places.leave(first) is second
    assert places.leave(second) is None
    assert (places.running, places.pending) == (0, 0)


def test_who_gives_up_waiting_is_passed_over():
    places = gate(connections=1, pending=2)
    running, first, second = (places.enter() for _ in range(3))
    assert places.leave(first) is None
    assert places.leave(running) is second


def test_leaving_twice_frees_no_second_place():
    places = gate(connections=1, pending=2)
    running, first, _ = (places.enter() for _ in range(3))
    assert places.leave(running) is first
    assert places.leave(running) is None
    assert (places.running, places.pending) == (1, 1)


def enter(places, slots):
    try:
        slots.append(places.enter())
    except Overloaded:
        assert places.running + places.pending == len(slots)


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 3), st.integers(0, 3))
def test_no_limit_is_ever_passed_and_nobody_waits_beside_a_free_place(steps, running, pending):
    places, slots = gate(running, pending, running), []
    for step in steps:
        if slots and step > 10:
            places.leave(slots.pop(step % len(slots)))
        else:
            enter(places, slots)
        assert places.running + places.pending == len(slots)
        assert places.running <= running
        assert places.pending <= pending
        assert not places.pending or places.running == running

"""Waiting for a place at a provider, and giving it back."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.models import CircuitBreakers
from sidecar.upstream.limits import Overloaded
from sidecar.upstream.places import Places


def places(running=1, pending=2):
    return Places(CircuitBreakers(running, pending, running))


async def test_a_free_place_is_running_at_once_and_a_taken_one_is_waited_for():
    gates = places()
    first, second = gates.enter("p"), gates.enter("p")
    assert (first.running, second.running, gates.load("p"), gates.load("q")) == (True, False, (1, 1), (0, 0))
    waiting = asyncio.ensure_future(gates.turn(second, 10))
    await asyncio.sleep(0)
    gates.leave(first)
    await waiting
    assert (second.running, gates.load("p")) == (True, (1, 0))


async def test_who_waits_for_too_long_is_told_and_leaves_no_place_behind():
    gates = places()
    first, second = gates.enter("p"), gates.enter("p")
    with pytest.raises(Overloaded, match="p had no place for another request"):
        await gates.turn(second, 0.001)
    gates.leave(second)
    assert gates.load("p") == (1, 0)
    gates.leave(first)
    assert gates.load("p") == (0, 0)


async def test_a_turn_that_comes_while_its_client_hangs_up_goes_to_the_next():
    gates = places()
    first, second, third = gates.enter("p"), gates.enter("p"), gates.enter("p")
    turns = [asyncio.ensure_future(gates.turn(slot, 10)) for slot in (second, third)]
    await asyncio.sleep(0)
    gates.leave(first)
    turns[0].cancel()
    await turns[1]
    assert (second.running, third.running, gates.load("p")) == (False, True, (1, 0))


async def test_raised_limits_let_in_at_once_who_waits_in_the_order_they_came():
    gates = places()
    first, second, third = gates.enter("p"), gates.enter("p"), gates.enter("p")
    turns = [asyncio.ensure_future(gates.turn(slot, 10)) for slot in (second, third)]
    await asyncio.sleep(0)
    gates.configure(CircuitBreakers(2, 2, 2))
    await turns[0]
    assert (second.running, third.running, gates.load("p")) == (True, False, (2, 1))
    gates.configure(CircuitBreakers(9, 2, 9))
    await turns[1]
    for slot in (first, second, third):
        gates.leave(slot)
    assert gates.load("p") == (0, 0)


async def test_lowered_limits_put_nobody_out_and_let_nobody_in_until_they_hold():
    gates = places(running=3)
    slots = [gates.enter("p") for _ in range(3)]
    gates.configure(CircuitBreakers(1, 1, 1))
    waiting = gates.enter("p")
    with pytest.raises(Overloaded):
        gates.enter("p")
    for slot in slots[:2]:
        gates.leave(slot)
        assert (gates.load("p")[1], waiting.running) == (1, False)
    gates.leave(slots[2])
    assert (gates.load("p"), waiting.running) == ((1, 0), True)


@given(st.lists(st.integers(0, 20), max_size=60), st.integers(1, 3), st.integers(0, 3))
def test_no_limit_is_ever_passed_and_leaving_twice_frees_no_second_place(steps, running, pending):
    gates, inside, left = places(running, pending), [], []
    for step in steps:
        if inside and step > 12:
            left.append(inside.pop(step % len(inside)))
            gates.leave(left[-1])
        elif left and step > 10:
            gates.leave(left[step % len(left)])
        else:
            with suppress(Overloaded):
                inside.append(gates.enter("p"))
        assert gates.load("p") == (min(len(inside), running), max(len(inside) - running, 0))
        assert sum(slot.running for slot in inside) == gates.load("p")[0]


async def test_other_limits_hold_for_providers_that_come_later():
    gates = places()
    gates.leave(gates.enter("p"))
    gates.configure(CircuitBreakers(2, 1, 2))
    assert [gates.enter(name).running for name in ("p", "p", "q", "q")] == [True] * 4

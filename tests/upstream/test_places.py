"""Waiting for a place at a provider, and giving it back."""

import asyncio

import pytest

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

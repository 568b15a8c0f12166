"""Copies of pins: used like the pins they are of, and told of later."""

import struct

import pytest

from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.stores.copies import Copies

PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
LATE = Failover(0.0, "late", None)
HELD = Held(PIN, expires_in_s=10, turns=3, age_s=7, last_failover=LATE)


@pytest.fixture
def copies():
    """Three at most; `copies.calls` counts how often it was said that there is something to tell."""
    copies = Copies(3, lambda: copies.calls.append(1))
    copies.calls = []
    return copies


def told(copies, now):
    return [(copy.name, *struct.unpack_from(">Id", words), words[12:]) for copy, _, words in copies.untold(now)]


def test_a_copy_is_used_as_its_pin_would_be(copies):
    copies.put(b"a", b"pin", HELD, began=100)
    assert copies.use(b"a", 104, ttl_s=10) == Held(PIN, 10, 4, 11, LATE)
    assert copies.use(b"a", 113, ttl_s=10) == Held(PIN, 10, 5, 20, LATE)


def test_a_time_to_live_that_is_fixed_goes_on(copies):
    copies.put(b"a", b"pin", HELD, began=100)
    assert copies.use(b"a", 104, ttl_s=None) == Held(PIN, 6, 4, 11, LATE)
    assert copies.use(b"a", 110, ttl_s=None) is None


def test_a_copy_whose_time_is_over_is_none_and_is_not_used(copies):
    copies.put(b"a", b"pin", HELD, began=100)
    assert [copies.use(b"a", 110, ttl_s=10), copies.use(b"b", 100, ttl_s=10), told(copies, 110)] == [None, None, []]


def test_uses_are_told_of_once_with_how_long_ago_the_last_was(copies):
    copies.put(b"a", b"pin", HELD, began=100)
    copies.put(b"b", b"other", HELD, began=100)
    copies.use(b"a", 101, ttl_s=10)
    copies.use(b"a", 102, ttl_s=10)
    copies.use(b"b", 103, ttl_s=10)
    assert copies.calls == [1]
    assert copies.has_to_tell_of(b"a")
    assert told(copies, 104) == [(b"a", 2, 2.0, b"pin"), (b"b", 1, 1.0, b"other")]
    assert [told(copies, 104), copies.has_to_tell_of(b"a")] == [[], False]
    copies.use(b"a", 105, ttl_s=10)
    assert [copies.calls, told(copies, 105)] == [[1, 1], [(b"a", 1, 0.0, b"pin")]]


def test_uses_of_a_copy_that_another_has_replaced_are_told_of_with_its_own(copies):
    """Two reads of one pin may be under way, and the first one's copy is used before the second is answered."""
    copies.put(b"a", b"pin", HELD, began=100)
    copies.use(b"a", 101, ttl_s=10)
    copies.use(b"a", 102, ttl_s=10)
    copies.put(b"a", b"pin", HELD, began=100)
    copies.use(b"a", 103, ttl_s=10)
    assert told(copies, 104) == [(b"a", 3, 1.0, b"pin")]


def test_uses_of_a_copy_that_was_forgotten_are_told_of_all_the_same(copies):
    copies.put(b"a", b"pin", HELD, began=100)
    copies.use(b"a", 101, ttl_s=10)
    copies.forget(b"a")
    copies.forget(b"never was")
    assert [copies.use(b"a", 101, ttl_s=10), told(copies, 102)] == [None, [(b"a", 1, 1.0, b"pin")]]
    copies.put(b"a", b"pin", HELD, began=100)
    copies.use(b"a", 101, ttl_s=10)
    copies.clear()
    assert [len(copies), told(copies, 101)] == [0, [(b"a", 1, 0.0, b"pin")]]


def test_what_did_not_arrive_is_told_again_with_what_came_since(copies):
    copies.put(b"a", b"pin", HELD, began=100)
    copies.put(b"b", b"pin", HELD, began=100)
    for name in (b"a", b"a", b"b"):
        copies.use(name, 101, ttl_s=10)
    lost = copies.untold(101)
    copies.use(b"a", 103, ttl_s=10)
    for copy, uses, _ in lost:
        copies.not_told(copy, uses)
    assert told(copies, 104) == [(b"a", 3, 1.0, b"pin"), (b"b", 1, 3.0, b"pin")]


def test_over_its_bound_the_least_recently_used_copy_goes(copies):
    for name in (b"a", b"b", b"c"):
        copies.put(name, b"pin", HELD, began=100)
    copies.use(b"a", 101, ttl_s=10)
    copies.put(b"d", b"pin", HELD, began=101)
    copies.put(b"a", b"pin", HELD, began=101)
    found = [name for name in (b"a", b"b", b"c", b"d") if copies.use(name, 102, ttl_s=10)]
    assert [found, len(copies)] == [[b"a", b"c", b"d"], 3]

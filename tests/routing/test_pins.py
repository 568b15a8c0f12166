"""The pin table: what it keeps, for how long, and what goes first. Time is a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Pin, Reason
from sidecar.routing.pins import PinTable

PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), "prose", Reason.ROUTED, 0.0)


def test_a_claimed_pin_is_found_again():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    assert pins.get("a", now=1).pin is PIN


def test_a_session_never_seen_has_no_pin():
    assert PinTable(ttl_s=10, capacity=2).get("a", now=0) is None


def test_the_second_claim_gets_the_first_ones_pin():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    assert pins.claim("a", OTHER, now=1).pin is PIN


def test_over_capacity_the_least_recently_used_pin_goes():
    pins = PinTable(ttl_s=10, capacity=2)
    for session in "abc":
        pins.claim(session, PIN, now=0)
    assert [pins.get(session, now=0) is not None for session in "abc"] == [False, True, True]


def test_using_a_pin_saves_it_from_eviction():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    pins.claim("b", PIN, now=0)
    pins.get("a", now=1)
    pins.claim("c", PIN, now=2)
    assert [pins.get(session, now=2) is not None for session in "abc"] == [True, False, True]


def test_of_10_001_sessions_in_a_table_of_10_000_exactly_the_least_recently_used_is_gone():
    gone = []
    pins = PinTable(ttl_s=600, capacity=10_000, removed=gone.append)
    for session in range(10_000):
        pins.claim(str(session), PIN, now=session / 1000)
    pins.get("0", now=10)  # used again: now 1 is the oldest
    pins.claim("10000", PIN, now=11)
    missing = [session for session in range(10_001) if pins.get(str(session), now=12) is None]
    assert (missing, gone, len(pins)) == ([1], ["evicted"], 10_000)


def test_sliding_time_to_live_counts_from_the_last_use():
    pins = PinTable(ttl_s=600, capacity=2)
    pins.claim("a", PIN, now=0)
    assert all(pins.get("a", now) is not None for now in range(599, 24 * 3600, 599))
    last = max(range(599, 24 * 3600, 599))
    assert pins.get("a", last + 600) is None


def test_fixed_time_to_live_counts_from_the_first_decision():
    pins = PinTable(ttl_s=600, capacity=2, policy=TtlPolicy.FIXED)
    pins.claim("a", PIN, now=0)
    assert pins.get("a", now=599).expires_in_s == pytest.approx(1)
    assert pins.get("a", now=600) is None


def test_expires_in_tells_how_long_the_pin_lasts_if_the_session_stays_silent():
    pins = PinTable(ttl_s=600, capacity=2)
    assert pins.claim("a", PIN, now=0).expires_in_s == 600
    assert pins.get("a", now=100).expires_in_s == 600


def test_an_expired_pin_never_counts_as_a_hit_and_can_be_claimed_anew():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    assert pins.claim("a", OTHER, now=10).pin is OTHER


@pytest.mark.parametrize("policy", TtlPolicy)
def test_an_expired_pin_goes_before_a_live_one_even_when_it_was_used_later(policy):
    gone = []
    pins = PinTable(ttl_s=10, capacity=2, policy=policy, removed=gone.append)
    pins.claim("old", PIN, now=0)
    pins.claim("young", PIN, now=5)
    pins.get("old", now=6)  # fixed: most recently used, and yet the first to expire
    pins.claim("new", PIN, now=14)
    survivor = "young" if policy is TtlPolicy.FIXED else "old"
    assert pins.get(survivor, now=14) is not None
    assert gone == (["expired"] if policy is TtlPolicy.FIXED else ["evicted"])


def test_a_move_replaces_whatever_was_pinned():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    pins.move("a", OTHER, now=1)
    assert pins.get("a", now=1).pin is OTHER


def test_a_move_that_expects_another_pin_changes_nothing_and_gives_the_one_that_holds():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    late = Pin(("late",), None, Reason.ROUTED, 1.0)
    assert pins.move("a", late, now=1, instead_of=OTHER).pin is PIN
    assert pins.move("a", late, now=1, instead_of=PIN).pin is late


def test_deleting_says_whether_there_was_a_pin():
    pins = PinTable(ttl_s=10, capacity=2, policy=TtlPolicy.FIXED)
    pins.claim("a", PIN, now=0)
    assert [pins.delete("a"), pins.delete("a"), len(pins)] == [True, False, 0]


def test_a_sweep_forgets_the_expired_and_only_those():
    pins = PinTable(ttl_s=10, capacity=9, policy=TtlPolicy.FIXED)
    for now in range(5):
        pins.claim(str(now), PIN, now)
    assert (pins.sweep(12), [key for key, _ in pins.items(12)]) == (3, ["3", "4"])


class Reference:
    """The same promises in the plainest words, as slow as they come."""

    def __init__(self, ttl_s, capacity, policy):
        self.ttl_s, self.capacity, self.sliding = ttl_s, capacity, policy is TtlPolicy.SLIDING
        self.kept = []  # [key, pin, expires_at], least recently used first

    def get(self, key, now):
        self.kept = [entry for entry in self.kept if entry[2] > now]
        entry = next((entry for entry in self.kept if entry[0] == key), None)
        if entry is None:
            return None
        self.kept.remove(entry)
        self.kept.append(entry)
        if self.sliding:
            entry[2] = now + self.ttl_s
        return entry[1]

    def claim(self, key, pin, now):
        if (held := self.get(key, now)) is not None:
            return held
        if len(self.kept) >= self.capacity:
            del self.kept[0]
        self.kept.append([key, pin, now + self.ttl_s])
        return pin


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["get", "claim"]), st.sampled_from("abcdef"), st.integers(0, 4)), max_size=60
)


@pytest.mark.parametrize("policy", TtlPolicy)
@given(operations=OPERATIONS, capacity=st.integers(1, 4))
def test_the_table_and_a_plain_reference_agree_over_any_history(policy, operations, capacity):
    table, reference = PinTable(ttl_s=7, capacity=capacity, policy=policy), Reference(7, capacity, policy)
    now = 0
    for number, (operation, key, waits) in enumerate(operations):
        now += waits
        if operation == "get":
            held = table.get(key, now)
            assert (held and held.pin) == reference.get(key, now)
        else:
            pin = Pin((f"model-{number}",), None, Reason.ROUTED, now)
            assert table.claim(key, pin, now).pin == reference.claim(key, pin, now)
        assert len(table) <= capacity


def test_a_fixed_time_to_live_goes_on_when_a_pin_moves():
    pins = PinTable(ttl_s=10, capacity=2, policy=TtlPolicy.FIXED)
    pins.claim("a", PIN, now=0)
    assert pins.move("a", OTHER, now=4, instead_of=PIN).expires_in_s == 6
    assert pins.get("a", now=9.9).pin is OTHER
    assert pins.get("a", now=10) is None

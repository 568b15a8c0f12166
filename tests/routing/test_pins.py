"""The pin table: what it keeps, for how long, and what goes first. Time is a number."""

import tracemalloc
from collections import Counter

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.config.models import TtlPolicy
from sidecar.routing.decision import Failover, Held, Pin, Reason, from_pin
from sidecar.routing.pins import PinTable

FAILOVER = Failover(5.0, "refused", "openai/gpt-4o-mini")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
OTHER = Pin(("anthropic/claude",), "prose", Reason.ROUTED, 0.0)


def test_a_claimed_pin_is_found_again():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    assert pins.get("a", now=1).pin == PIN


def test_a_session_never_seen_has_no_pin():
    assert PinTable(ttl_s=10, capacity=2).get("a", now=0) is None


def test_the_second_claim_gets_the_first_ones_pin():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    assert pins.claim("a", OTHER, now=1).pin == PIN


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
    pins = PinTable(ttl_s=600, capacity=10_000, removed=lambda *told: gone.append(told))
    for session in range(10_000):
        pins.claim(str(session), PIN, now=session / 1000)
    pins.get("0", now=10)  # used again: now 1 is the oldest
    pins.claim("10000", PIN, now=11)
    missing = [session for session in range(10_001) if pins.get(str(session), now=12) is None]
    assert (missing, gone, len(pins)) == ([1], [("evicted", pytest.approx(10.999), 1)], 10_000)


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
    assert pins.claim("a", OTHER, now=10).pin == OTHER


@pytest.mark.parametrize("policy", TtlPolicy)
def test_an_expired_pin_goes_before_a_live_one_even_when_it_was_used_later(policy):
    gone = []
    pins = PinTable(ttl_s=10, capacity=2, policy=policy, removed=lambda why, *_: gone.append(why))
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
    assert pins.get("a", now=1).pin == OTHER


def test_a_move_that_expects_another_pin_changes_nothing_and_gives_the_one_that_holds():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    late = Pin(("late",), None, Reason.ROUTED, 1.0)
    refused = pins.move("a", late, now=1, instead_of=OTHER)
    assert (refused.held.pin, refused.was) == (PIN, None)
    moved = pins.move("a", late, now=1, instead_of=PIN)
    assert (moved.held.pin, moved.was.pin) == (late, PIN)


def test_deleting_says_whether_there_was_a_pin():
    pins = PinTable(ttl_s=10, capacity=2, policy=TtlPolicy.FIXED)
    pins.claim("a", PIN, now=0)
    assert [pins.delete("a", now=1), pins.delete("a", now=1), len(pins)] == [True, False, 0]


def test_a_sweep_forgets_the_expired_and_only_those():
    pins = PinTable(ttl_s=10, capacity=9, policy=TtlPolicy.FIXED)
    for now in range(5):
        pins.claim(str(now), PIN, now)
    assert (pins.sweep(12), pins.keys()) == (3, ["3", "4"])


def test_a_fixed_time_to_live_goes_on_when_a_pin_moves():
    pins = PinTable(ttl_s=10, capacity=2, policy=TtlPolicy.FIXED)
    pins.claim("a", PIN, now=0)
    assert pins.move("a", OTHER, now=4, instead_of=PIN).held.expires_in_s == 6
    assert pins.get("a", now=9.9).pin == OTHER
    assert pins.get("a", now=10) is None


def test_every_request_is_a_turn_and_a_look_is_none():
    pins = PinTable(ttl_s=10, capacity=2)
    assert pins.claim("a", PIN, now=0).turns == 1
    assert pins.get("a", now=1).turns == 2
    assert [pins.peek("a", now=2).turns, pins.peek("a", now=2).turns] == [2, 2]


@pytest.mark.parametrize("policy", TtlPolicy)
def test_a_look_at_a_pin_neither_lengthens_its_life_nor_saves_it_from_eviction(policy):
    pins = PinTable(ttl_s=10, capacity=2, policy=policy)
    pins.claim("a", PIN, now=0)
    pins.claim("b", PIN, now=1)
    assert pins.peek("a", now=9).expires_in_s == 1
    pins.claim("c", PIN, now=9)
    assert [pins.peek(session, now=9) is not None for session in "abc"] == [False, True, True]


def test_a_pin_is_as_old_as_its_sessions_time_with_the_model_and_the_turns_are_the_sessions():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    assert pins.get("a", now=4).age_s == 4
    same = evolve(PIN, mixed=True)
    assert pins.move("a", same, now=5, instead_of=PIN).held.age_s == 5
    moved = pins.move("a", OTHER, now=6, instead_of=same)
    assert (moved.changed_model, moved.was.age_s, moved.held.age_s, moved.held.turns) == (True, 6, 0, 2)
    assert pins.get("a", now=8).age_s == 2


@pytest.mark.parametrize("policy", TtlPolicy)
def test_a_move_by_no_request_changes_nothing_but_the_pin(policy):
    pins = PinTable(ttl_s=10, capacity=2, policy=policy)
    pins.claim("a", PIN, now=0)
    pins.claim("b", PIN, now=1)
    held = pins.move("a", OTHER, now=4, instead_of=PIN, used=False).held
    assert (held.pin, held.expires_in_s, held.turns) == (OTHER, 6, 1)
    pins.claim("c", PIN, now=5)  # "a" is still the least recently used
    assert pins.peek("a", now=5) is None


@pytest.mark.parametrize("policy", TtlPolicy)
def test_a_pin_made_by_hand_has_no_turn_and_a_whole_life(policy):
    pins = PinTable(ttl_s=10, capacity=2, policy=policy)
    pins.claim("a", PIN, now=0)
    assert pins.move("a", OTHER, now=4, used=False).held.expires_in_s == 10
    assert pins.move("b", OTHER, now=4, used=False).held.turns == 0


def test_whoever_counts_removals_hears_why_how_old_and_how_many_turns():
    told = []
    pins = PinTable(ttl_s=10, capacity=2, removed=lambda *what: told.append(what))
    pins.claim("deleted", PIN, now=0)
    pins.get("deleted", now=3)
    pins.delete("deleted", now=5)
    pins.claim("expired", PIN, now=5)
    assert pins.get("expired", now=400) is None  # noticed late, and over since 15
    pins.claim("evicted", PIN, now=400)
    pins.claim("b", PIN, now=401)
    pins.claim("c", PIN, now=402)
    assert told == [("deleted", 5, 2), ("expired", 10, 1), ("evicted", 2, 1)]


def test_live_pins_are_counted_by_their_model_and_expired_ones_at_no_time():
    pins = PinTable(ttl_s=10, capacity=9)
    for now, (session, pin) in enumerate([("a", PIN), ("b", OTHER), ("c", PIN)]):
        pins.claim(session, pin, now)
    assert dict(pins.counts(now=3)) == {"openai/gpt-4o": 2, "anthropic/claude": 1}
    pins.move("b", PIN, now=4)
    assert dict(pins.counts(now=4)) == {"openai/gpt-4o": 3}
    assert dict(pins.counts(now=10)) == {"openai/gpt-4o": 2}
    assert dict(pins.counts(now=99)) == {}


@pytest.mark.parametrize("swept", [True, False])
def test_a_session_that_returns_within_one_more_life_is_told_from_one_never_seen(swept):
    pins = PinTable(ttl_s=10, capacity=9)
    pins.claim("a", PIN, now=0)
    assert not pins.expired("a", now=9.9)
    if swept:
        pins.sweep(11)
    assert not pins.expired("never", now=12)
    assert [pins.expired("a", now=19.9), pins.expired("a", now=20)] == [True, False]


def test_a_session_with_a_new_pin_has_not_expired_and_neither_has_one_that_was_deleted_or_evicted():
    pins = PinTable(ttl_s=10, capacity=1)
    pins.claim("a", PIN, now=0)
    assert pins.expired("a", now=11)
    pins.claim("a", PIN, now=11)
    assert not pins.expired("a", now=11)
    pins.delete("a", now=11)
    assert not pins.expired("a", now=11)
    pins.claim("a", PIN, now=11)
    pins.claim("b", PIN, now=12)
    assert not pins.expired("a", now=12)


def test_no_more_expired_sessions_are_remembered_than_the_table_has_places():
    pins = PinTable(ttl_s=10, capacity=2)
    for now, key in enumerate("abc"):
        pins.restore(key, Held(PIN, 1), now)
        pins.sweep(now + 1)
    assert [pins.expired(key, now=3) for key in "abc"] == [False, True, True]


def test_the_latest_failover_is_kept_beside_the_pin_until_the_session_has_none():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.note("a", FAILOVER, now=0)
    assert pins.claim("a", PIN, now=0).last_failover is None
    pins.note("a", FAILOVER, now=1)
    assert pins.get("a", now=2) == Held(PIN, 10, 2, 2, FAILOVER)
    assert pins.move("a", OTHER, now=3, instead_of=PIN).held.last_failover == FAILOVER
    pins.delete("a", now=4)
    assert pins.claim("a", PIN, now=5).last_failover is None


@pytest.mark.parametrize("policy", TtlPolicy)
def test_a_restored_pin_has_its_age_its_turns_and_what_is_left_of_its_life(policy):
    pins = PinTable(ttl_s=10, capacity=9, policy=policy)
    pins.claim("long", PIN, now=0)
    told = Held(OTHER, 3, 7, 5, FAILOVER)
    assert pins.restore("a", told, now=0).held == told
    assert pins.peek("a", now=2) == Held(OTHER, 1, 7, 7, FAILOVER)
    assert (pins.sweep(3), pins.keys(), pins.expired("a", 4)) == (1, ["long"], True)


def test_a_restored_pin_lives_no_longer_than_any_other():
    pins = PinTable(ttl_s=10, capacity=9)
    assert pins.restore("a", Held(PIN, 999), now=0).held.expires_in_s == 10


def test_a_pin_that_is_there_is_restored_over_only_when_told_to():
    pins = PinTable(ttl_s=10, capacity=9)
    pins.claim("a", PIN, now=0)
    assert pins.restore("a", Held(OTHER, 3), now=1) is None
    moved = pins.restore("a", Held(OTHER, 3), now=1, overwrite=True)
    assert (moved.changed_model, dict(pins.counts(now=1))) == (True, {OTHER.model: 1})


def test_a_restored_pin_that_was_used_since_lives_on():
    pins = PinTable(ttl_s=10, capacity=9)
    pins.restore("a", Held(PIN, 3), now=0)
    pins.get("a", now=2)
    assert (pins.sweep(4), pins.peek("a", now=4).expires_in_s) == (0, 8)


def test_a_pin_with_three_scores_takes_well_under_500_bytes():
    def fill(count):
        pins = PinTable(ttl_s=600, capacity=count)
        for n in range(count):
            scores = (("code", 0.5 + n / 1e6), ("prose", 0.25 + n / 1e6), ("other", n / 1e6))
            pin = Pin(("openai/gpt", "anthropic/claude"), "code", Reason.ROUTED, 1.7e9 + n, False, "x", n / 1e5, scores)  # noqa: FBT003
            pins.claim(f"0:0:01a20032-68e8-7a77-{n:016}", pin, float(n) / 1e5)
        return pins

    fill(10)  # what is imported and cached once is no pin's
    tracemalloc.start()
    pins = fill(10_000)
    each = tracemalloc.get_traced_memory()[0] / len(pins)
    tracemalloc.stop()
    assert each < 420


@pytest.mark.parametrize("policy", TtlPolicy)
@pytest.mark.parametrize("sessions", [1, 4_000])
def test_restored_pins_take_no_memory_once_they_are_gone(policy, sessions):
    """As beside a shared store, where each pin that another sidecar made is restored here."""

    def restore(count):
        for n in range(count):
            pins.restore(f"{n % sessions:01000}", Held(PIN, 9_999), now=n / 1e6, overwrite=True)

    pins = PinTable(ttl_s=10_000, capacity=10, policy=policy)
    restore(1_000)
    tracemalloc.start()
    restore(4_000)
    more = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert more < 500_000


def test_what_is_forgotten_of_restored_pins_is_not_when_those_that_are_kept_expire():
    pins = PinTable(ttl_s=1_000, capacity=100, policy=TtlPolicy.FIXED)
    pins.claim("long", PIN, now=0)
    for n in range(5_000):
        pins.restore(str(n), Held(PIN, 500 - n % 100), now=0)
        pins.get("long", now=0)
    assert (len(pins), pins.sweep(400), pins.sweep(450), pins.sweep(500)) == (100, 0, 50, 49)


def lives(pins, now):
    """Key -> seconds that its pin will live on, looked at without being used."""
    found = [(key, pins.peek(key, now)) for key in map(str, pins.keys())]
    return {key: held.expires_in_s for key, held in found if held is not None}


def test_a_longer_life_lengthens_every_pins_and_a_shorter_one_shortens_them():
    pins = PinTable(ttl_s=100, capacity=9)
    pins.claim("a", PIN, now=0)
    pins.claim("b", PIN, now=30)
    pins.configure(1000, 9, TtlPolicy.SLIDING, now=40)
    assert lives(pins, 40) == {"a": 960, "b": 990}
    pins.configure(20, 9, TtlPolicy.SLIDING, now=40)
    assert lives(pins, 40) == {"b": 10}
    assert pins.get("b", now=41).expires_in_s == 20


@pytest.mark.parametrize("policy", TtlPolicy)
def test_what_has_expired_does_not_come_back_with_a_longer_life(policy):
    gone = []
    pins = PinTable(ttl_s=10, capacity=9, policy=policy, removed=lambda *told: gone.append(told))
    pins.claim("over", PIN, now=0)
    pins.claim("live", PIN, now=5)
    pins.configure(1000, 9, TtlPolicy.SLIDING, now=10)
    assert pins.get("over", now=10) is None
    assert pins.get("live", now=10) is not None
    assert gone == [("expired", 10, 1)]


def test_from_sliding_to_fixed_a_life_is_counted_from_the_first_decision():
    pins = PinTable(ttl_s=100, capacity=9)
    pins.claim("first made", PIN, now=0)
    pins.claim("then made", PIN, now=30)
    pins.get("first made", now=50)
    pins.configure(100, 9, TtlPolicy.FIXED, now=60)
    assert lives(pins, 60) == {"then made": 70, "first made": 40}
    assert pins.get("first made", now=99).expires_in_s == 1
    assert pins.sweep(100) == 1  # though it was used last


def test_from_fixed_to_sliding_every_life_begins_anew():
    pins = PinTable(ttl_s=100, capacity=9, policy=TtlPolicy.FIXED)
    pins.claim("a", PIN, now=0)
    pins.configure(50, 9, TtlPolicy.SLIDING, now=90)
    assert lives(pins, 90) == {"a": 50}
    assert pins.get("a", now=139).expires_in_s == 50


@pytest.mark.parametrize("policy", TtlPolicy)
def test_a_smaller_table_evicts_exactly_the_least_recently_used(policy):
    gone = []
    pins = PinTable(ttl_s=100, capacity=9, policy=policy, removed=lambda why, *_: gone.append(why))
    for at, session in enumerate("abcde"):
        pins.claim(session, PIN, now=at)
    pins.get("a", now=6)
    pins.configure(100, 2, policy, now=7)
    assert (pins.keys(), gone) == (["e", "a"], ["evicted"] * 3)
    pins.claim("f", PIN, now=8)
    assert pins.keys() == ["a", "f"]
    pins.configure(100, 3, policy, now=8)
    pins.claim("g", PIN, now=8)
    assert pins.keys() == ["a", "f", "g"]


def test_a_smaller_table_loses_expired_pins_before_live_ones():
    pins = PinTable(ttl_s=10, capacity=9, policy=TtlPolicy.FIXED)
    pins.claim("over", PIN, now=0)
    pins.claim("live", PIN, now=5)
    pins.get("over", now=6)
    pins.configure(10, 1, TtlPolicy.FIXED, now=10)
    assert pins.keys() == ["live"]


def test_a_smaller_table_remembers_fewer_that_have_expired():
    pins = PinTable(ttl_s=10, capacity=100)
    for session in range(100):
        pins.claim(str(session), PIN, now=session / 100)
    pins.sweep(12)
    pins.configure(10, 3, TtlPolicy.SLIDING, now=12)
    assert [session for session in range(100) if pins.expired(str(session), now=12)] == [97, 98, 99]


def test_restored_pins_expire_in_their_own_time_under_other_settings():
    pins = PinTable(ttl_s=100, capacity=9)
    pins.claim("own", PIN, now=0)
    pins.restore("restored", Held(PIN, 40, 3, 60), now=0)
    pins.configure(90, 9, TtlPolicy.SLIDING, now=0)
    assert lives(pins, 0) == {"own": 90, "restored": 30}
    assert (pins.sweep(29), pins.sweep(30), pins.keys()) == (0, 1, ["own"])


def test_no_pin_ends_before_it_was_made():
    gone = []
    pins = PinTable(ttl_s=600, capacity=9, removed=lambda *told: gone.append(told))
    pins.restore("young", Held(PIN, 5, 1, 0), now=0)
    pins.configure(60, 9, TtlPolicy.SLIDING, now=1)
    pins.sweep(1)
    assert gone == [("expired", 0, 1)]


class Reference:
    """The same promises in the plainest words, as slow as they come."""

    def __init__(self, ttl_s, capacity, policy):
        self.ttl_s, self.capacity, self.sliding = ttl_s, capacity, policy is TtlPolicy.SLIDING
        self.kept = []  # dicts, least recently used first
        self.ended = {}  # key -> until when its last pin is one that expired lately: as long as it would have lived once more
        self.told = []

    def at(self, key, now):
        for entry in [entry for entry in self.kept if entry["expires_at"] <= now]:
            self.kept.remove(entry)
            self.ended[entry["key"]] = entry["expires_at"] + self.ttl_s
            self.told.append(("expired", entry["expires_at"] - entry["made_at"], entry["turns"]))
        return next((entry for entry in self.kept if entry["key"] == key), None)

    def get(self, key, now):
        entry = self.at(key, now)
        if entry is not None:
            entry["turns"] += 1
            self.use(entry, now)
        return self.held(entry, now)

    def claim(self, key, pin, now):
        return self.get(key, now) or self.put(key, now, pin, 1, now, self.ttl_s)

    def move(self, key, pin, now, instead_of, used):
        entry = self.at(key, now)
        if entry is None:
            return self.put(key, now, pin, int(used), now, self.ttl_s)
        if instead_of in (None, entry["pin"]):
            if entry["pin"].model != pin.model:
                entry["made_at"] = now
            entry["pin"] = pin
            if used or instead_of is None:
                self.use(entry, now, anew=instead_of is None)
        return self.held(entry, now)

    def restore(self, key, held, now, overwrite):
        entry = self.at(key, now)
        if entry is not None and not overwrite:
            return None
        if entry is not None:
            self.kept.remove(entry)
        return self.put(key, now, held.pin, held.turns, now - held.age_s, min(held.expires_in_s, self.ttl_s))

    def delete(self, key, now):
        entry = self.at(key, now)
        if entry is not None:
            self.kept.remove(entry)
            self.told.append(("deleted", now - entry["made_at"], entry["turns"]))
        return entry is not None

    def expired(self, key, now):
        return self.at(key, now) is None and self.ended.get(key, now) > now

    def counts(self, now):
        self.at(None, now)
        return dict(Counter(entry["pin"].model for entry in self.kept))

    def configure(self, ttl_s, capacity, policy, now):
        self.at(None, now)
        sliding = policy is TtlPolicy.SLIDING
        for entry in self.kept:
            if sliding == self.sliding:
                entry["expires_at"] = max(entry["expires_at"] + ttl_s - self.ttl_s, entry["made_at"])
            else:
                entry["expires_at"] = (now if sliding else entry["made_at"]) + ttl_s
        self.ttl_s, self.capacity, self.sliding = ttl_s, capacity, sliding
        self.at(None, now)
        while len(self.kept) > capacity:
            oldest = self.kept.pop(0)
            self.told.append(("evicted", now - oldest["made_at"], oldest["turns"]))

    def put(self, key, now, pin, turns, made_at, life_s):
        if len(self.kept) >= self.capacity:
            oldest = self.kept.pop(0)
            self.told.append(("evicted", now - oldest["made_at"], oldest["turns"]))
        self.ended.pop(key, None)
        entry = {"key": key, "pin": pin, "turns": turns, "made_at": made_at, "expires_at": now + life_s}
        self.kept.append(entry)
        return self.held(entry, now)

    def use(self, entry, now, *, anew=False):
        self.kept.remove(entry)
        self.kept.append(entry)
        if self.sliding or anew:
            entry["expires_at"] = now + self.ttl_s

    def held(self, entry, now):
        return entry and Held(entry["pin"], entry["expires_at"] - now, entry["turns"], now - entry["made_at"])


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["get", "claim", "move", "move if", "move by hand", "restore", "restore over", "delete", "ask", "set"]
        ),
        st.sampled_from("abcdef"),
        st.integers(0, 4),
        st.integers(0, 2),
    ),
    max_size=60,
)


@pytest.mark.parametrize("policy", TtlPolicy)
@given(operations=OPERATIONS, capacity=st.integers(1, 6))
@example(
    operations=[("claim", "b", 0, 0), *[("get", "a", n, 0) for n in (2, 4, 4)], ("set", "a", 0, 0), ("ask", "b", 0, 0)],
    capacity=1,
)
def test_the_table_and_a_plain_reference_agree_over_any_history(policy, operations, capacity):
    told = []
    table = PinTable(ttl_s=7, capacity=capacity, policy=policy, removed=lambda *what: told.append(what))
    reference = Reference(7, capacity, policy)
    now = 0
    for number, (operation, key, waits, chosen) in enumerate(operations):
        now += waits
        pin = Pin((f"model-{chosen}",), None, Reason.ROUTED, number, scores=(("code", number / 7),))
        was = reference.at(key, now)
        if operation == "get":
            assert table.get(key, now) == reference.get(key, now)
        elif operation == "claim":
            assert table.claim(key, pin, now) == reference.claim(key, pin, now)
        elif operation.startswith("move"):
            instead_of = {"move": None, "move if": was and was["pin"], "move by hand": pin}[operation]
            used = operation != "move by hand"
            moved = table.move(key, pin, now, instead_of, used=used)
            assert moved.held == reference.move(key, pin, now, instead_of, used)
        elif operation.startswith("restore"):
            held = Held(pin, 1 + chosen * 4, chosen, 3)
            moved = table.restore(key, held, now, overwrite="over" in operation)
            assert (moved and moved.held) == reference.restore(key, held, now, "over" in operation)
        elif operation == "delete":
            assert table.delete(key, now) == reference.delete(key, now)
        elif operation == "set":
            other = (3 + 4 * chosen, 1 + "abcdef".index(key), list(TtlPolicy)[waits % 2])
            table.configure(*other, now)
            reference.configure(*other, now)
            capacity = 0  # of those that were forgotten with a smaller table, nobody knows that they expired
        else:
            assert table.expired(key, now) <= reference.expired(key, now)
            assert capacity < len("abcdef") or table.expired(key, now) == reference.expired(key, now)
            assert table.peek(key, now) == reference.held(reference.at(key, now), now)
        assert table.counts(now) == reference.counts(now)
        assert table.keys() == [entry["key"] for entry in reference.kept]
        assert sorted(told) == sorted(reference.told)


@pytest.mark.parametrize("policy", TtlPolicy)
def test_a_pin_that_decides_is_used_as_one_that_is_got(policy):
    tables = [PinTable(ttl_s=10, capacity=2, policy=policy) for _ in range(2)]
    decided = []
    for pins in tables:
        pins.claim("a", PIN, now=0)
        pins.claim("b", OTHER, now=1)
        if pins is tables[0]:
            decided.append(from_pin(pins.get("a", now=2), PIN.candidates))
        else:
            decided.append(pins.decided("a", lambda candidates: candidates, now=2))
        pins.claim("c", PIN, now=3)
    assert decided[0].pin_now == decided[1].pin_now == PIN
    assert decided[0] == replace(decided[1], kept=PIN)
    assert tables[0].peek("a", now=4) == tables[1].peek("a", now=4)
    assert [table.keys() for table in tables] == [["a", "c"]] * 2
    assert tables[0].changes == tables[1].changes


def test_a_pin_that_cannot_decide_is_not_used():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    before = pins.peek("a", now=5), pins.changes
    assert pins.decided("a", lambda _candidates: (), now=5) is None
    assert pins.decided("b", lambda candidates: candidates, now=5) is None
    assert (pins.peek("a", now=5), pins.changes) == before
    assert pins.decided("a", lambda candidates: candidates, now=10) is None


def test_what_a_pin_decided_keeps_the_pin_as_it_was_then():
    pins = PinTable(ttl_s=10, capacity=2)
    pins.claim("a", PIN, now=0)
    decided = pins.decided("a", lambda candidates: candidates, now=1)
    pins.move("a", evolve(PIN, mixed=True), now=2)
    assert (decided.pin_now, decided.mixed) == (PIN, False)
    assert pins.decided("a", lambda candidates: candidates, now=3).mixed

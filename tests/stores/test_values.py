"""Pins as bytes: what goes in comes out, what another release wrote is read or passed over, rubbish is unreadable."""

import struct

import msgspec
import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing.decision import Failover, Held, Pin, Reason
from sidecar.stores.values import HEAD, Unreadable, failover_bytes, held_of, is_live, pin_bytes, pin_part

NOW = 1000.0
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)
FAILOVER = Failover(1.5, "refused", "m/m")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.floats(allow_nan=False)
any_pin = st.builds(
    Pin,
    candidates=st.lists(texts, min_size=1, max_size=4).map(tuple),
    route=st.none() | texts,
    reason=st.sampled_from(Reason),
    decided_at_s=numbers,
    mixed=st.booleans(),
    source=texts,
    confidence=st.none() | numbers,
    scores=st.lists(st.tuples(texts, numbers), max_size=3).map(tuple),
)
any_failover = st.none() | st.builds(Failover, numbers, texts, st.none() | texts)


def record(pin, failover=b"", *, version=1, kind="P", expires_at=NOW + 10, made_at=NOW, turns=1):
    return HEAD.pack(version, ord(kind), expires_at, made_at, turns, len(pin), len(failover)) + pin + failover


@given(any_pin, any_failover, st.integers(0, 2**32 - 1))
def test_every_pin_comes_back_as_it_went_in(pin, failover, turns):
    kept = record(pin_bytes(pin), failover_bytes(failover), turns=turns)
    assert held_of(kept, NOW) == Held(pin, 10.0, turns, 0.0, failover)
    assert pin_part(kept) == pin_bytes(pin)


@given(any_pin, any_failover)
def test_equal_pins_are_equal_bytes(pin, failover):
    again = Pin(**{each.name: getattr(pin, each.name) for each in fields(Pin)})
    assert pin_bytes(again) == pin_bytes(pin)


@given(st.binary(max_size=200))
def test_rubbish_is_unreadable(rubbish):
    with pytest.raises(Unreadable):
        held_of(b"\x02" + rubbish, NOW)
    with pytest.raises(Unreadable):
        held_of(b"\x01P" + rubbish[: HEAD.size - 3], NOW)


@given(any_pin, any_failover, st.data())
def test_a_record_that_was_cut_or_bent_is_unreadable_or_a_pin(pin, failover, data):
    kept = bytearray(record(pin_bytes(pin), failover_bytes(failover)))
    at = data.draw(st.integers(0, len(kept) - 1))
    kept[at] ^= data.draw(st.integers(1, 255))
    for bent in (bytes(kept), bytes(kept[:at])):
        try:
            held = held_of(bent, NOW)
        except Unreadable:
            continue
        assert held is None or (held.pin.candidates and isinstance(held.pin.reason, Reason))


def test_what_a_later_release_adds_is_passed_over():
    fields = [*msgspec.msgpack.decode(pin_bytes(PIN)), "a field of later", {"and": "another"}]
    failover = [*msgspec.msgpack.decode(failover_bytes(FAILOVER)), 1]
    kept = record(msgspec.msgpack.encode(fields), msgspec.msgpack.encode(failover)) + b"and a part of later"
    assert held_of(kept, NOW) == Held(PIN, 10.0, 1, 0.0, FAILOVER)


def test_a_reason_of_a_later_release_does_not_cost_the_session_its_model():
    fields = msgspec.msgpack.decode(pin_bytes(PIN))
    fields[2] = "a_reason_of_later"
    held = held_of(record(msgspec.msgpack.encode(fields)), NOW)
    assert (held.pin.candidates, held.pin.reason) == (PIN.candidates, Reason.PINNED)


@pytest.mark.parametrize(
    "kept",
    [
        b"",
        b"\x01",
        record(pin_bytes(PIN), version=2),
        record(pin_bytes(PIN), version=0),
        record(pin_bytes(PIN), kind="Q"),
        record(pin_bytes(PIN))[:-1],
        record(b""),
        record(b"\x80"),
        record(msgspec.msgpack.encode([[], None, "routed", 0.0, False, "", None, []])),
        record(msgspec.msgpack.encode([["m/m"], None, "routed"])),
        record(msgspec.msgpack.encode([[b"\xff"], None, "routed", 0.0, False, "", None, []])),
    ],
)
def test_what_is_no_pin_of_ours_is_unreadable(kept):
    with pytest.raises(Unreadable):
        held_of(kept, NOW)


def test_a_failover_that_cannot_be_read_is_none_and_the_pin_stays():
    assert held_of(record(pin_bytes(PIN), b"\xc1"), NOW).pin == PIN


def test_a_pin_is_live_until_it_expires():
    kept = record(pin_bytes(PIN))
    assert [held_of(kept, NOW + late) is not None for late in (9.9, 10)] == [True, False]
    assert [is_live(kept[: HEAD.size], NOW + late) for late in (9.9, 10)] == [True, False]


def test_a_lease_is_no_pin():
    lease = struct.pack(">BBdd8s", 1, ord("L"), NOW + 1, 0.0, b"somebody")
    assert held_of(lease, NOW) is None
    assert not is_live(lease[: HEAD.size], NOW)


def test_an_ordinary_pin_is_small():
    scores = (("code", 0.91), ("write", 0.05), ("search", 0.04))
    pin = Pin(("openai/gpt-4o", "anthropic/claude"), "code", Reason.ROUTED, 1.7e9, False, "x-session-id", 0.91, scores)  # noqa: FBT003
    assert len(record(pin_bytes(pin))) < 180

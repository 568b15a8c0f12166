"""A pin as the table keeps it: what goes in comes out, and what pins have in common is kept once."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.routing.decision import MOST_SCORES, Pin, Reason
from sidecar.routing.packed import MOST_COMMON, Entry, Kept, Packing

NUMBERS = st.floats(allow_nan=False)
PINS = st.builds(
    Pin,
    st.lists(st.text(max_size=3), min_size=1, max_size=3).map(tuple),
    st.none() | st.text(max_size=3),
    st.sampled_from(Reason),
    NUMBERS,
    st.booleans(),
    st.text(max_size=3),
    st.none() | NUMBERS,
    st.lists(st.tuples(st.text(max_size=3), NUMBERS), max_size=3).map(tuple),
)


@given(pin=PINS)
def test_a_pin_comes_out_as_it_went_in(pin):
    entry = Entry(*Packing().packed(pin, 3.0), expires_at=20.0, turns=2)
    held = entry.held(now=10.0)
    assert (held.pin, held.expires_in_s, held.turns, held.age_s, entry.made_at) == (pin, 10.0, 2, 7.0, 3.0)


def test_what_pins_have_in_common_is_kept_once():
    packing = Packing()
    one, other = (Pin((f"m/{'x' * 2}",), "code", Reason.ROUTED, float(at), scores=(("code", at),)) for at in (1, 2))
    assert packing.packed(one, 0.0)[0] is packing.packed(other, 0.0)[0]


def test_routes_that_clients_invent_are_not_remembered_for_ever():
    packing = Packing()
    for n in range(3 * MOST_COMMON):
        packing.packed(Pin(("m/m",), f"route-{n}", Reason.ROUTED, 0.0), 0.0)
    assert len(packing) <= MOST_COMMON


def test_of_more_scores_than_a_pin_shows_the_best_are_kept():
    scores = tuple((f"route-{n}", 1 / n) for n in range(1, MOST_SCORES + 3))
    entry = Entry(*Packing().packed(Pin(("m/m",), None, Reason.ROUTED, 0.0, scores=scores), 0.0), 20.0, 1)
    assert entry.held(now=0.0).pin.scores == scores[:MOST_SCORES]


@given(pin=PINS, other=PINS)
def test_a_pin_as_it_is_kept_stays_what_it_was_when_its_entry_gets_another(pin, other):
    packing, entry = Packing(), Entry(*Packing().packed(pin, 3.0), 20.0, 1)
    kept = Kept(entry.common, entry.numbers)
    entry.put(*packing.packed(other, 5.0))
    held = entry.held(now=10.0)
    assert (held.pin, held.age_s) == (other, 5.0)
    assert (kept.pin(), kept.mixed) == (pin, pin.mixed)

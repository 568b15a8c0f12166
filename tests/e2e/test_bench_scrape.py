"""How long a scrape held the event loop, of what pings of it took: which scrapes count, and what is told of them."""

import pytest
from attrs import evolve
from bench.harness import scrape

USUAL_S = 100e-6
"""What a ping takes, and what is idle of a scrape."""
FINE = scrape.Scrape(took_s=3e-3, ran_s=2.9e-3, ours_s=3e-3, slowest_s=500e-6)
STOLEN = scrape.Scrape(took_s=8e-3, ran_s=2.9e-3, ours_s=8e-3, slowest_s=5.4e-3)
"""The host had the sidecar's core for 5 ms."""
SEEN_LATE = scrape.Scrape(took_s=8e-3, ran_s=7.9e-3, ours_s=3e-3, slowest_s=5.4e-3)
"""Its answer had come, but our own core was not ours."""


def told(*found, others_s=1.0):
    return scrape.told(found, USUAL_S, 1_071, 2_000.0, others_s=others_s)


def test_a_scrape_held_the_loop_for_what_a_ping_took_longer_than_usual():
    held = told(FINE, FINE)
    assert held.held_us == pytest.approx((400, 400))
    assert held.left_out == 0


@pytest.mark.parametrize("taken", [STOLEN, SEEN_LATE])
def test_a_scrape_during_which_a_core_was_taken_is_left_out_and_counted(taken):
    held = told(FINE, taken)
    assert held.held_us == pytest.approx([400])
    assert held.left_out == 1


def test_a_scrape_that_itself_was_at_work_for_longer_counts():
    slow = scrape.Scrape(took_s=8e-3, ran_s=7.9e-3, ours_s=8e-3, slowest_s=5.4e-3)
    assert max(told(FINE, slow).held_us) == pytest.approx(5_300)


def test_nothing_is_left_out_that_the_clocks_of_the_machine_know_nothing_of():
    held = told(FINE, *[STOLEN] * 10, others_s=0.01)
    assert (held.left_out, max(held.held_us)) == (0, pytest.approx(5_300))


def test_one_who_insists_has_all_scrapes():
    assert told(FINE, STOLEN, others_s=None).left_out == 0


def test_the_facts_of_a_scrape_have_the_median_the_ninth_of_ten_and_the_longest():
    facts = told(*[evolve(FINE, slowest_s=USUAL_S + n * 1e-4) for n in range(1, 11)], STOLEN).facts()
    found = {name: round(spread.middle, 3) for name, spread in facts.items() if "held" in name}
    assert found == {"scrape_held_median_ms": 0.55, "scrape_held_p90_ms": 1.0, "scrape_held_ms": 1.0}
    assert facts["scrape_left_out"].middle == 1


def test_where_every_scrape_is_left_out_none_of_the_times_is_told():
    facts = told(SEEN_LATE).facts()
    assert not [name for name in facts if "held" in name]
    assert facts["scrape_left_out"].middle == 1

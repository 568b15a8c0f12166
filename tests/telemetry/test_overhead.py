"""What the benchmark of telemetry's cost makes of its rounds. Nothing is timed here."""

import runpy
from pathlib import Path

import pytest

BENCH = runpy.run_path(str(Path(__file__).parents[1] / "bench" / "telemetry_overhead.py"))
DECISION, _, STREAM = BENCH["ROWS"]
Measured = BENCH["Measured"]


def rounds(*rates, filled=0.99, starved=0.0, **more):
    return [Measured(rate, 1e6 / rate, filled, starved, **more) for rate in rates]


def summed(base, other, row=DECISION):
    return BENCH["summed"](row, base, other)


def test_a_ratio_is_taken_within_a_round_so_that_what_slows_a_whole_round_changes_none():
    cell = summed(rounds(1000, 500, 2000, 1000), rounds(970, 485, 1940, 970))
    assert (cell.ratio.low, cell.ratio.middle, cell.ratio.high) == pytest.approx((0.97, 0.97, 0.97))
    assert cell.verdict() == "holds"


def test_medians_come_with_their_quarters():
    cell = summed(rounds(*[1000] * 5), rounds(900, 940, 950, 960, 1000))
    assert (cell.ratio.low, cell.ratio.middle, cell.ratio.high) == pytest.approx((0.94, 0.95, 0.96))
    assert cell.verdict() == "too close, or too noisy, to say"


def test_what_costs_more_than_the_goal_in_most_rounds_does_not_hold():
    assert summed(rounds(*[1000] * 4), rounds(900, 910, 920, 930)).verdict() == "does not hold"


@pytest.mark.parametrize("disturbed", [{"starved": 0.2}, {"filled": 0.5}])
def test_a_round_with_somebody_else_on_the_core_or_too_little_load_does_not_count(disturbed):
    base = rounds(*[1000] * 4)
    cell = summed(base, rounds(970, 970, 970) + rounds(10, **disturbed))
    assert (cell.rounds, cell.ratio.low) == (3, pytest.approx(0.97))
    assert summed(base, rounds(970, 970) + rounds(10, 10, **disturbed)).verdict().startswith("not judged")


def test_streams_are_compared_by_the_cores_own_time_and_count_if_their_events_came_apart():
    base, other = rounds(*[100] * 3, filled=0.4), rounds(*[98] * 3, filled=0.4)
    assert summed(base, other, STREAM).ratio.middle == pytest.approx(0.98)
    together = rounds(*[98] * 3, filled=0.4, apart=0.5)
    assert summed(base, together, STREAM).ratio is None


def test_time_spent_waiting_for_a_thread_of_its_own_is_no_starving():
    clocks = BENCH["Clocks"]
    measured = Measured.between(clocks(0.0, 0.0, 0.0, 0.0), clocks(2.0, 1.9, 1.6, 0.4), 1000)
    assert (measured.rate, measured.cpu_us, measured.filled) == pytest.approx((500, 1900, 0.95))
    assert measured.starved == pytest.approx(0.05)


def test_a_round_in_which_nothing_was_answered_does_not_count():
    clocks = BENCH["Clocks"]
    nothing = Measured.between(clocks(0.0, 0.0, 0.0, 0.0), clocks(1.0, 0.98, 0.98, 0.0), 0)
    assert summed(rounds(*[1000] * 4), [*rounds(*[970] * 3), nothing]).rounds == 3

"""Rounds that others disturbed: which are played again, when, and with what they are compared then."""

import math

import pytest
from attrs import evolve
from bench.harness import rounds as rounds_of
from bench.harness import rows, table
from bench.harness.candidates import Candidate, Work
from bench.harness.figures import Measured, Spread, compared, played_again, ratio
from bench.harness.rounds import Asked

FINE, TAKEN = Measured({"per_s": 1.0}), Measured({"per_s": 0.5}, ["the machine was taken from us"], disturbed=True)
TOO_SLOW = Measured({"per_s": 0.5}, ["the load did not fill it"])


class Scripted:
    """Answers of each label one after the other, then FINE; what was played is kept. It has a clock of its own."""

    def __init__(self, **answers):
        self.answers = {label: list(those) for label, those in answers.items()}
        self.played, self.now = [], 0

    def one(self, _row, asked, seconds):
        self.now += seconds * rounds_of.OVERHEAD
        label = asked.entry.label
        self.played.append(label)
        return (self.answers.get(label) or [FINE]).pop(0)


def play(rounds, labels="abc", count=1, *, until=math.inf, **more):
    row = rows.Row("row", rows.Kind.REQUESTS, 1, rows.each(Work.REPLY, *labels), "")
    asked = [Asked(entry, Candidate(), None, None, 0) for entry in row.entries]
    return rounds_of.play(rounds, row, asked, count, until=until, quick=True, clock=lambda: rounds.now, **more)


def test_who_was_starved_is_played_again_at_once_and_the_pivot_with_it():
    rounds = Scripted(c=[TAKEN, TAKEN])
    found = play(rounds)
    assert "".join(rounds.played) == "abc" + "ac" + "ac"
    assert [one.flaws for measured in found.values() for one in measured] == [(), (), ()]
    assert played_again(found) == (4, 1)


def test_the_second_round_goes_back_and_so_does_what_is_played_again_of_it():
    rounds = Scripted(b=[FINE, TAKEN])
    play(rounds, count=2)
    assert "".join(rounds.played) == "abc" + "cba" + "ba"


@pytest.mark.parametrize("flawed", [FINE, TOO_SLOW])
def test_what_would_be_the_same_is_not_played_again(flawed):
    rounds = Scripted(b=[flawed])
    found = play(rounds)
    assert "".join(rounds.played) == "abc"
    assert played_again(found) == (0, 0)


def test_nobody_is_played_for_ever():
    rounds = Scripted(b=[TAKEN] * 99)
    (b,) = play(rounds)["b"]
    assert rounds.played.count("b") == rounds_of.TRIES
    assert b.flaws == TAKEN.flaws
    assert len(b.others) == rounds_of.TRIES - 1


def test_nothing_is_played_again_when_the_time_is_over():
    rounds = Scripted(b=[TAKEN])
    play(rounds, until=-math.inf)
    assert "".join(rounds.played) == "abc"


@pytest.mark.parametrize(
    ("until", "played"),
    [(6, "abc" + "cba"), (9, "abc" + "ab" + "cba"), (11.5, "abc" + "ab" + "ab" + "cba"), (14, "abc" + "cbaba" + "abc")],
)
def test_time_goes_first_into_the_rounds_that_are_needed_then_into_playing_again_then_into_more_rounds(until, played):
    rounds = Scripted(b=[TAKEN] * 99 if until < 13 else [FINE, TAKEN])
    play(rounds, count=3, least=2, until=until * rounds_of.OVERHEAD)
    assert "".join(rounds.played) == played


def test_a_row_that_is_slower_than_it_should_be_gets_fewer_rounds():
    class Slow(Scripted):
        def one(self, row, asked, seconds):
            return super().one(row, asked, seconds * 5)

    rounds = Slow()
    play(rounds, count=9, until=40)
    assert "".join(rounds.played) == "abc" + "cba"


def test_of_what_was_played_again_those_are_compared_that_count_and_were_nearest():
    first, again = Measured({"per_s": 10.0}, turn=1), Measured({"per_s": 20.0}, turn=4)
    late = Measured.of([evolve(TAKEN, turn=2), Measured({"per_s": 20.0}, turn=5)])
    early = Measured({"per_s": 10.0}, turn=3)
    pivot = Measured.of([first, again])
    assert compared([late], [pivot], ratio("per_s")) == Spread(1.0, 1.0, 1.0, 1)
    assert compared([pivot], [late], ratio("per_s")) == Spread(1.0, 1.0, 1.0, 1)
    assert compared([early], [evolve(pivot, turn=2)], ratio("per_s")) == Spread(1.0, 1.0, 1.0, 1)


def test_a_round_that_was_played_again_in_vain_is_still_not_compared():
    vain = Measured.of([evolve(TAKEN, turn=1), evolve(TAKEN, turn=2)])
    assert compared([vain], [Measured({"per_s": 10.0})], ratio("per_s")) is None
    assert compared([vain], [Measured({"per_s": 10.0})], ratio("per_s"), regardless=True) == Spread(0.05, 0.05, 0.05, 1)


def test_the_table_says_what_was_played_again():
    row = rows.Row("row", rows.Kind.REQUESTS, 1, rows.each(Work.REPLY, "a", "b"), "")
    found = {"a": [FINE], "b": [Measured.of([TAKEN, evolve(FINE, turn=1)])]}
    assert "others were on a core: 1; rounds that count by it: 1" in "\n".join(table.row_lines(row, found, {}))
    assert "played again" not in "\n".join(table.row_lines(row, {"a": [FINE], "b": [FINE]}, {}))


def test_what_is_added_is_told_of_every_time_it_was_played():
    found = {
        "direct": [Measured({"p50_us": 10.0})],
        "a": [Measured.of([Measured({"p50_us": 30.0}, ["starved"], turn=1), Measured({"p50_us": 25.0}, turn=2)])],
    }
    rounds_of.add_to_direct(found)
    assert [one.values["added_p50_us"] for one in found["a"][0].tries] == [20.0, 15.0]

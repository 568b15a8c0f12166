"""The arithmetic of the benchmark: what counts, what is compared, what becomes of a target, what the README says."""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from attrs import evolve
from bench.harness import chart, doubles, readme, rows, table, traffic
from bench.harness.clocks import Clocks, Cores, Load, Sample, Use, waited_s
from bench.harness.figures import (
    Measured,
    Spread,
    compared,
    difference,
    middle,
    percentile,
    ratio,
    verdict,
)
from bench.harness.profile import table as profile_table
from bench.harness.reading import Read
from bench.harness.record import Record
from bench.harness.rounds import together
from bench.harness.targets import TARGETS, Target, Verdict, judged

TREE = Path(__file__).parents[2]


def measured(*values, name="per_s", flaws=()):
    return [Measured({name: value}, flaws) for value in values]


def sample(at=0.0, cpu=0.0, threads=None, busy=0.0, load=0.0, helped=None, stolen=0.0):
    return Sample(at, cpu, threads or {}, busy, load, load if helped is None else helped, (0.0, stolen))


# Figures


def test_a_ratio_is_the_median_of_those_within_the_rounds_and_not_that_of_the_medians():
    ours, theirs = measured(100, 50, 10), measured(50, 100, 10)
    assert compared(ours, theirs, ratio("per_s")) == Spread(1.0, 0.5, 2.0, 3)


def test_a_round_in_which_either_was_disturbed_is_not_compared():
    ours = [*measured(10, 10, 10), *measured(1000, flaws=["others were there"])]
    assert compared(ours, measured(10, 10, 10, 10), ratio("per_s")) == Spread(1.0, 1.0, 1.0, 3)
    assert compared(measured(10, 10, 10, 10), ours, ratio("per_s")) == Spread(1.0, 1.0, 1.0, 3)


def test_with_too_few_rounds_that_count_nothing_is_compared_unless_one_insists():
    ours = [*measured(10, 20), *measured(30, flaws=["starved"])]
    assert compared(ours, measured(10, 10, 10), ratio("per_s")) is None
    assert compared(ours, measured(10, 10, 10), ratio("per_s"), regardless=True) == Spread(2.0, 1.0, 3.0, 3)


def test_nothing_is_compared_with_nothing():
    assert compared([], [], ratio("per_s")) is None
    assert compared(measured(1), measured(0), ratio("per_s")) is None
    assert compared(measured(1), measured(1, name="p50_us"), difference("per_s")) is None


def test_a_median_is_that_of_the_rounds_that_count_while_there_are_any():
    assert middle([*measured(1), *measured(99, flaws=["starved"])], "per_s").middle == 1
    assert middle(measured(99, flaws=["starved"]), "per_s").middle == 99
    assert middle(measured(1), "p50_us") is None


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        ([970, 970, 970, 970], "holds"),
        ([900, 940, 950, 960, 1000], "too close, or too noisy, to say"),
        ([900, 910, 920, 930], "does not hold"),
    ],
)
def test_a_bound_holds_when_three_of_four_rounds_say_so(rates, says):
    assert verdict(compared(measured(*rates), measured(*[1000] * len(rates)), ratio("per_s")), 0.95) == says
    assert verdict(None, 0.95).startswith("not judged")


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (0.0, 1), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(share, value):
    assert percentile(range(100, 0, -1), share) == value


# Who was starved


def test_who_had_its_core_and_filled_it_counts():
    use = Use.between(sample(), sample(at=1, cpu=0.97, threads={1: (0.97, 0.01)}, busy=0.98, load=0.6))
    assert use.flaws(Load.HURRIED) == ()


def test_who_waited_for_others_on_its_core_was_starved():
    use = Use.between(sample(), sample(at=1, cpu=0.6, threads={1: (0.6, 0.4)}, busy=1.0))
    assert use.flaws(Load.STEADY) == ("others were on its core for 40% of the time",)


def test_waiting_for_ones_own_threads_is_no_starvation():
    threads = {1: (0.7, 0.25), 2: (0.25, 0.7)}
    assert waited_s({}, threads) == pytest.approx(0)
    assert Use.between(sample(), sample(at=1, cpu=0.95, threads=threads, busy=0.95)).starved == pytest.approx(0)


def test_nobody_waits_for_more_than_what_others_had_of_the_core():
    threads = {1: (0.5, 0.9), 2: (0.45, 0.9)}
    assert Use.between(sample(), sample(at=1, cpu=0.95, threads=threads, busy=0.97)).starved == pytest.approx(0.02)


def test_what_was_before_the_round_is_not_in_it():
    before = sample(at=10, cpu=5, threads={1: (5.0, 3.0)}, busy=50, load=20)
    assert (
        Use.between(before, sample(at=11, cpu=5.95, threads={1: (5.95, 3.0)}, busy=50.95, load=20.5)).flaws(
            Load.HURRIED
        )
        == ()
    )


@pytest.mark.parametrize(("load", "says"), [(0.99, "the load's core was full"), (0.5, "the load did not fill it")])
def test_a_core_that_was_not_filled_says_nothing_of_what_it_can_do(load, says):
    use = Use.between(sample(), sample(at=1, cpu=0.5, threads={1: (0.5, 0.0)}, busy=0.5, load=load))
    assert use.flaws(Load.HURRIED) == (f"it used 50% of its core only: {says}",)


def test_times_are_not_taken_by_a_load_that_is_late_itself():
    use = Use.between(sample(), sample(at=1, cpu=0.5, threads={1: (0.5, 0.0)}, busy=0.5, load=0.97))
    assert use.flaws(Load.STEADY) == ("the load's own core was full (97%)",)


def test_one_request_after_the_other_may_fill_the_core_of_load_and_provider_between_them():
    assert Use.between(sample(), sample(at=1, load=1.0)).flaws(Load.ALONE) == ()


@pytest.mark.parametrize("load", [Load.ALONE, Load.STEADY])
def test_times_are_not_taken_with_others_on_the_core_of_the_load(load):
    use = Use.between(sample(), sample(at=1, load=0.8, helped=0.5))
    assert use.flaws(load) == ("others were on the load's core for 30% of the time",)


def test_paced_pieces_that_come_together_cost_less_and_do_not_count():
    assert not list(together(Read(streams=2, reads=2 * traffic.PIECES), paced=True))
    assert list(together(Read(streams=2, reads=traffic.PIECES), paced=True))
    assert not list(together(Read(streams=2, reads=traffic.PIECES), paced=False))


def test_a_machine_that_was_given_to_others_says_nothing():
    use = Use.between(sample(), sample(at=1, cpu=0.95, threads={1: (0.95, 0.0)}, busy=0.95, stolen=0.1))
    assert use.flaws(Load.HURRIED) == ("the machine was taken from us for 10% of the time",)


def test_what_was_taken_of_one_core_is_not_hidden_by_the_other():
    before, after = sample(), evolve(sample(at=1, cpu=0.95, threads={1: (0.95, 0.0)}, busy=0.95), stolen_s=(0.05, 0.0))
    assert Use.between(before, after).flaws(Load.HURRIED) == ("the machine was taken from us for 5% of the time",)


@pytest.mark.parametrize(
    ("load", "after", "by_others"),
    [
        (Load.HURRIED, {"cpu": 0.95, "load": 0.5}, False),
        (Load.HURRIED, {"cpu": 0.95, "load": 0.5, "stolen": 0.1}, True),
        (Load.HURRIED, {"cpu": 0.7, "load": 0.99}, False),
        (Load.HURRIED, {"cpu": 0.7, "load": 0.99, "helped": 0.7}, True),
        (Load.STEADY, {"cpu": 0.2, "load": 0.99}, False),
        (Load.ALONE, {"cpu": 0.2, "load": 0.9, "helped": 0.5}, True),
    ],
)
def test_only_what_others_did_may_be_over_the_next_time(load, after, by_others):
    use = Use.between(sample(), sample(at=1, threads={1: (after["cpu"], 0.0)}, busy=after["cpu"], **after))
    assert use.disturbed(load) is by_others


def test_the_clocks_of_a_process_that_works_run():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) as busy:
        try:
            clocks = Clocks(busy.pid, Cores(0, 0))
            before = clocks.sample()
            while (after := clocks.sample()).cpu_s == before.cpu_s:
                pass
        finally:
            busy.kill()
    assert clocks.pids == [busy.pid]
    assert Use.between(before, after).cpu_s > 0


# Targets


def outcome(target, **more):
    found = {"row": {"sidecar": measured(90, 90, 90), "Envoy": measured(100, 100, 100), **more}}
    return judged(target, found, {"start_s": Spread.of([0.6])})


@pytest.mark.parametrize(
    ("least", "stretch", "verdict"),
    [(0.95, None, Verdict.MISSED), (0.8, 1.0, Verdict.MET), (0.8, 0.85, Verdict.STRETCH), (0.9, None, Verdict.MET)],
)
def test_a_target_is_missed_or_met_or_its_stretch_is(least, stretch, verdict):
    assert outcome(Target("t", "per_s", least, stretch, "row", theirs="Envoy")).verdict is verdict


def test_a_missed_target_says_by_how_much():
    missed = outcome(Target("t", "per_s", 1.2, None, "row", theirs="Envoy"))
    assert missed.gap == pytest.approx(0.25)
    assert table.target_line(missed).endswith("missed by 25%")


def test_an_upper_bound_is_kept_from_below():
    assert outcome(Target("t", "start_s", 0.8, 0.5, most=True)).verdict is Verdict.MET
    assert outcome(Target("t", "start_s", 0.5, None, most=True)).verdict is Verdict.MISSED


def test_a_difference_has_a_unit_of_its_own():
    target = Target("t", "per_s", 0.01, None, "row", "sidecar", "Envoy", most=True, less=True, scale=1e-3, unit=" ms")
    assert outcome(target).found.middle == pytest.approx(-0.01)


def test_what_was_starved_is_not_judged_and_says_why():
    target = Target("t", "per_s", 1, None, "row", theirs="Envoy")
    said = outcome(target, Envoy=measured(1, 1, 1, flaws=["others were on its core for 40% of the time"]))
    assert (said.verdict, said.why) == (
        Verdict.UNJUDGED, "Envoy: in 3 of 3 rounds others were on its core for 40% of the time"
    )  # fmt: skip


def test_what_was_not_measured_is_not_judged():
    assert outcome(Target("t", "pin_bytes", 1)).why == "not measured"
    assert outcome(Target("t", "per_s", 1, None, "row", theirs="nginx")).why == "nginx was not measured"


def test_every_target_names_a_row_and_entries_that_there_are():
    known = {row.name: {entry.label for entry in row.entries} for row in rows.ROWS}
    for target in TARGETS:
        if target.row:
            assert {target.ours, target.theirs} <= known[target.row], target.name


# What is sent


@pytest.mark.parametrize(("size", "about"), [(traffic.SMALL, 5), (traffic.LARGE, 5_000), (traffic.HUGE, 10_000)])
@pytest.mark.parametrize("wire", traffic.Wire)
def test_a_request_has_the_size_that_its_row_names(size, about, wire):
    assert abs(len(traffic.request("gpt-4o-mini", size, wire=wire)) - size) <= about


@pytest.mark.parametrize("program", [None, doubles.INTERPRETED], ids=["as found", "without a compiler"])
@pytest.mark.parametrize("wire", traffic.Wire)
def test_a_provider_of_streams_sends_all_pieces_at_once_or_at_a_pace(tmp_path, program, wire):
    with doubles.streams(min(os.sched_getaffinity(0)), tmp_path, program) as (port, _):
        for paced in (False, True):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            began = time.monotonic()
            connection.request("POST", traffic.PATHS[wire], traffic.request("m", wire=wire, stream=True, paced=paced))
            said = connection.getresponse().read()
            connection.close()
            assert said.count(b"word ") == traffic.PIECES - 2
            assert traffic.ENDS[wire] in said
            assert not paced or time.monotonic() - began > 0.8 * traffic.PIECES * traffic.PACE_S


# What people read


def record(**more):
    found = {
        "reply-16": {
            "sidecar": measured(90, 100, 110),
            "Envoy": measured(100, 100, 100),
            "LiteLLM": measured(1, 1, 1),
            "nginx": measured(300, 300, 300, flaws=["the load did not fill it"]),
        }
    }
    programs = {
        name: {"settings": "", "missing": "", "loaded_bytes": 80e6, "ready_s": 0.5} for name in found["reply-16"]
    }
    facts = {"pin_bytes": Spread.of([380.0])}
    return Record(
        "2026-01-31",
        "a machine",
        quick=False,
        took_s=1.0,
        **{"rows": found, "missing": {}, "facts": facts, "programs": programs, **more},
    )


@pytest.mark.parametrize(
    "b", [Measured({"per_s": 1.0}), Measured.of([Measured({}, ["starved"], disturbed=True), Measured({}, turn=2)])]
)
def test_a_record_comes_back_from_its_file_as_it_was(tmp_path, b):
    written = record(rows={"row": {"a": measured(1), "b": [b]}}, again={"row": [1, 1]})
    written.write(tmp_path / "found.json")
    assert Record.read(tmp_path / "found.json") == written


def test_a_record_from_before_anything_was_played_again_can_still_be_read(tmp_path):
    record().write(tmp_path / "found.json")
    said = json.loads((tmp_path / "found.json").read_text())
    del said["again"]
    (tmp_path / "found.json").write_text(json.dumps(said))
    assert Record.read(tmp_path / "found.json") == record()


def test_the_section_has_ratios_and_leaves_out_what_cannot_be_compared():
    said = readme.section(record())
    assert "| LiteLLM | 100 |" in said
    assert "| Envoy | 1.00 |" in said
    assert "| nginx | – |" in said
    assert "380 bytes each" in said
    assert "2026-01-31, a machine" in said


def test_the_section_tells_how_long_a_scrape_holds_the_loop_at_most_and_mostly():
    facts = {"scrape_series": 1_071.0, "scrape_held_ms": 0.91, "scrape_held_median_ms": 0.45}
    said = readme.section(record(facts={name: Spread.of([value]) for name, value in facts.items()}))
    assert "A scrape of 1,071 series holds the event loop for 0.91 ms at most, 0.45 in the middle." in said


def test_the_section_takes_the_place_of_the_one_before():
    before = f"above\n{readme.BEGIN}\nold\n{readme.END}\nbelow\n"
    after = readme.put(before, readme.section(record()))
    assert after.startswith("above\n<!-- performance -->")
    assert after.endswith("<!-- /performance -->\nbelow\n")
    assert "old" not in after
    assert readme.put(after, readme.section(record())) == after


def test_a_readme_without_the_marks_is_not_written():
    with pytest.raises(ValueError, match="are not there"):
        readme.put("nothing", "section")


def test_the_chart_has_a_bar_for_each_that_was_compared():
    drawn = chart.svg(record())
    assert [name for name, _ in chart.beside_envoy(record())] == ["sidecar", "Envoy", "LiteLLM"]
    assert drawn.count('<rect class="bar') == 3
    assert "nginx" not in drawn


def test_without_rounds_that_count_there_is_no_chart():
    assert chart.svg(record(rows={"reply-16": {"sidecar": measured(1, flaws=["starved"])}})) is None


def test_the_report_writes_both_files(tmp_path):
    record().write(tmp_path / "found.json")
    (tmp_path / "README.md").write_text(f"{readme.BEGIN}\n{readme.END}\n")
    argv = [sys.executable, TREE / "tests/bench/report.py", tmp_path / "found.json"]
    subprocess.run([*argv, "--readme", tmp_path / "README.md", "--chart", tmp_path / "chart.svg"], check=True)  # noqa: S603 - ours
    assert "LiteLLM" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "chart.svg").read_text().startswith("<svg ")


def test_a_profile_tells_our_modules_and_the_functions_that_are_nearest():
    stacks = "main (/x/sidecar/cli.py:1);send (/x/sidecar/upstream/client.py:7);write (/y/site-packages/aiohttp/http.py:3) 3\n"
    said = "\n".join(profile_table(stacks + "main (/x/sidecar/cli.py:1) 1\n"))
    assert "aiohttp" in said
    assert "sidecar/upstream/client.py send" in said
    assert "75.0%" in said

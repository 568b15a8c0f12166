"""
What telemetry costs: requests per second with everything told, and with nothing.

    python tests/bench/telemetry_overhead.py [--quick] [--json FILE]      three minutes to five; --quick, 40 s to 70

One sidecar for each column, all on one core, which one at a time has to itself; the load and the providers have the
other. Every round asks each of them for a second, in turns that go back and forth (`harness`).

    nothing      the baseline: the same program composed without telemetry (untold.py)
    defaults     metrics, the last minutes for the console, the event loop's lag, usage read from answers
    everything   likewise, and the access log as JSON into a file
    1 % traced   the defaults, and spans of that share of requests to a local receiver; and of all requests

A stream must come in pieces to cost what it costs, so nobody can hurry it: its rate is that of the sidecar's own time on
its core. A ratio is taken within a round, and a round counts only when nobody else was on the sidecar's core: one in which somebody
was is played again while there is time.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from harness import doubles, installing, roster, table
from harness.candidates import Entry, Here, Work
from harness.clocks import Cores
from harness.figures import compared, middle, ratio, verdict
from harness.record import Record, machine, today
from harness.rounds import Rounds, play, ready
from harness.rows import Kind, Row
from harness.sidecars import Sidecar

LIMIT_S, QUICK_LIMIT_S = 5 * 60, 70
GOAL = 0.05
"""Of the requests per second may be lost."""
BASE = "nothing"


class Column(Sidecar):
    """`told`: what the configuration says of telemetry; `watched`: whether anything is told at all."""

    def __init__(self, name, told="", *, watched=True, judged=False):
        super().__init__(name)
        self.more, self.judged = told, judged
        if not watched:
            self.program = (str(Path(__file__).with_name("untold.py")),)


TRACED = "tracing: {{random_sampling: %d, endpoint: 'http://127.0.0.1:{plain}/v1/traces'}}\n"
COLUMNS = (
    Column(BASE, "telemetry: {{inject_usage: false}}\n", watched=False),
    Column("defaults", judged=True),
    Column("everything", "telemetry: {{access_log: '{folder}/access.log'}}\n", judged=True),
    Column("1 % traced", TRACED % 1),
    Column("all traced", TRACED % 100),
)
WORKS = (
    ("decision", Kind.REQUESTS, 16, Work.DECISION, "a decision of a pinned session"),
    ("reply", Kind.REQUESTS, 16, Work.REPLY, "a small proxied reply"),
    ("stream", Kind.PACED, 20, Work.PACED, "50 pieces, one every 10 ms, 20 streams open"),
)


def rows(columns):
    for name, kind, connections, work, about in WORKS:
        yield Row(name, kind, connections, tuple(Entry(column.name, work) for column in columns), about)


def measure(columns, count, *, quick, cache):
    """{row: {column: [Measured, …]}}"""
    cores = sorted(os.sched_getaffinity(0))
    cores = Cores(cores[0], cores[-1])
    os.sched_setaffinity(0, {cores.load})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        nginx = installing.debian(cache, "nginx", "nginx", "nginx-common")
        providers = stack.enter_context(doubles.providers(nginx, cores.load, folder))
        named = {column.name: column for column in columns}
        programs = stack.enter_context(roster.programs(named, {}, Here(folder, providers, cache), cores))
        found, rounds = {}, Rounds(folder, cores, providers.groups)
        end = time.monotonic() + (QUICK_LIMIT_S if quick else LIMIT_S)
        for left, row in zip(range(len(WORKS), 0, -1), rows(columns), strict=True):
            until = time.monotonic() + (end - time.monotonic()) / left
            asked = [ready(entry, named[entry.candidate], running_of(programs, entry)) for entry in row.entries]
            found[row.name] = play(rounds, row, asked, count, until=until, quick=quick)
    return found


def running_of(programs, entry):
    program = programs[entry.candidate]
    if program.missing:
        raise SystemExit(f"the sidecar of `{entry.candidate}` {program.missing}")
    return program.running


def lines(columns, found, *, regardless):
    for row in rows(columns):
        value = "per_core_s" if row.kind is Kind.PACED or regardless else "per_s"
        base = found[row.name][BASE]
        yield f"{row.name}: {row.about}"
        yield f"  {'':12}{value:>12}{'CPU µs':>10}{'added':>8}   ratio, and its quarters"
        for column in columns:
            ours = found[row.name][column.name]
            rate, cpu, without = middle(ours, value), middle(ours, "cpu_us"), middle(base, "cpu_us")
            said = f"  {column.name:12}{table.number(rate.middle):>12}{cpu.middle:>10.1f}{cpu.middle - without.middle:>+8.1f}"
            yield (
                said
                if column.name == BASE
                else said + judged(column, compared(ours, base, ratio(value), regardless=regardless))
            )


def judged(column, beside):
    said = f"   {beside.middle:.3f} ({beside.quarters[0]:.3f} to {beside.quarters[1]:.3f})" if beside else ""
    return f"{said}   {verdict(beside, 1 - GOAL)}" if column.judged or not beside else said


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no traces: 40 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every round, as JSON")
    parser.add_argument("--cache", type=Path, default=installing.CACHE, help="default: %(default)s")
    parser.add_argument("--regardless", action="store_true", help="compare starved rounds too, by the processor's time")
    wanted = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    count = len(os.sched_getaffinity(0))
    if count < 2:
        sys.exit("two cores are needed: one for the sidecar alone")
    columns = COLUMNS[:3] if wanted.quick else COLUMNS
    found = measure(columns, 3 if wanted.quick else 10, quick=wanted.quick, cache=wanted.cache)
    print("\n".join(lines(columns, found, regardless=wanted.regardless)))
    print(f"The goal: less than {GOAL:.0%} of the requests per second is lost.")
    if wanted.json:
        Record(today(), machine(count), wanted.quick, 0.0, found, {}, {}, {}).write(wanted.json)


if __name__ == "__main__":
    main()

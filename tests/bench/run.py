"""
What the sidecar costs, beside Envoy, nginx, HAProxy, the gateways, and aiohttp itself: one command, one table.

    python tests/bench/run.py                  fifteen minutes at most, once all is installed
    python tests/bench/run.py --quick          two minutes: fewer rounds, and those references that most targets name
    python tests/bench/run.py --only reply-16 paced-400 sizes scrape
    python tests/bench/run.py --json FILE      all rounds too; report.py makes the README's section of it
    python tests/bench/run.py --profile        where the time of a small proxied reply goes, by py-spy

It starts everything itself: providers that are not there, the load, and what is measured. That has one core to itself,
everything else has the other; of each row all are asked in turns, and what is compared is compared within a round.
Rounds in which somebody was starved do not count; they are played again while the time allows, and the table says how many
were. Where too few count nothing is compared (`--regardless` does, by the time that each had on its core).

What others there are is installed into `--cache` at the first run, by pip, npm and apt-get; after that nothing leaves the
loopback. It needs wrk (Debian: apt-get install wrk), better gcc too, and two cores with nothing else to do.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from harness import doubles, installing, profile, roster, rows, scrape, sizes, table, targets
from harness.candidates import Here, Unavailable
from harness.clocks import Cores, resident_bytes
from harness.figures import FEW, Spread, played_again
from harness.record import Record, machine, today
from harness.rounds import Rounds, Wrong, play, ready
from harness.sidecars import Sidecar
from harness.starting import started

FULL_S, QUICK_S = 14.5 * 60, 115
ROUNDS, QUICK_ROUNDS = 5, 2
"""Of each row, at most. Rounds beyond FEW are played only in time that is not needed to play one again."""
EXTRA = ("sizes", "scrape")
RESERVE_S = 30
"""For the extras."""


class Run:
    def __init__(self, wanted, stack):
        self.wanted = wanted
        cores = sorted(os.sched_getaffinity(0))
        self.cores = Cores(cores[0], cores[-1])
        self.machine = machine(len(cores))
        os.sched_setaffinity(0, {cores[-1]})
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.stack = stack
        self.found, self.missing, self.facts = {}, {}, {}

    def start(self):
        chosen = [rows.quickly(row) for row in rows.ROWS if row.name != "paced-1"] if self.wanted.quick else rows.ROWS
        self.rows = [row for row in chosen if self.wants(row.name)]
        names = dict.fromkeys(entry.candidate for row in self.rows for entry in row.entries)
        cache = self.wanted.cache
        nginx = installing.debian(cache, "nginx", "nginx", "nginx-common")
        redis_port, redis = 0, ()
        if rows.REDIS in names:
            redis_port, *redis = self.stack.enter_context(roster.redis(self.cores.load, self.folder))
        candidates = roster.made(names, redis_port)
        missing = roster.install(candidates, cache)
        self.began = time.monotonic()
        providers = self.stack.enter_context(doubles.providers(nginx, self.cores.load, self.folder))
        self.helpers = (*providers.groups, *redis)
        self.here = Here(self.folder, providers, cache)
        self.programs = self.stack.enter_context(roster.programs(candidates, missing, self.here, self.cores))

    def wants(self, name):
        return not self.wanted.only or name in self.wanted.only

    def measure(self):
        end = self.began + (QUICK_S if self.wanted.quick else FULL_S) - RESERVE_S
        rounds = Rounds(self.folder, self.cores, self.helpers)
        most = self.wanted.rounds or (QUICK_ROUNDS if self.wanted.quick else ROUNDS)
        for at, row in enumerate(self.rows):
            asked, until = list(self.asked(row)), self.until(self.rows[at:], end)
            found = play(rounds, row, asked, most, until=until, least=FEW, quick=self.wanted.quick)
            self.found[row.name] = found
            self.note_memory()
            missing = {label: why for (name, label), why in self.missing.items() if name == row.name}
            print("\n".join(table.row_lines(row, found, missing, regardless=self.wanted.regardless)))
            print(flush=True)

    def asked(self, row):
        for entry in row.entries:
            program = self.programs[entry.candidate]
            why = program.missing
            if not why:
                try:
                    if (one := ready(entry, program.candidate, program.running)) is not None:
                        yield one
                except Wrong as exc:
                    why = str(exc)
            if why:
                self.missing[row.name, entry.label] = why

    def until(self, left, end):
        """When the first of the rows that are `left` has had its share of the time: what it does not need is the others'."""
        seconds = [sum(self.programs[entry.candidate].candidate.seconds for entry in row.entries) for row in left]
        now = time.monotonic()
        return now + (end - now) * seconds[0] / sum(seconds)

    def note_memory(self):
        for program in self.programs.values():
            if program.running is not None and program.running.group > 0 and not program.missing:
                program.facts["loaded_bytes"] = resident_bytes(program.running.group, "VmHWM")

    def extras(self):
        times = 2 if self.wanted.quick else 5
        if self.wants("sizes"):
            took = sizes.start_s(self.here, self.cores, times, regardless=self.wanted.regardless)
            if took is None:
                print("start to ready: others were on its core each time\n")
            else:
                self.facts["start_s"] = took
            self.facts["open_stream_kib"] = Spread.of([sizes.open_stream_bytes(self.here, self.cores) / 1024])
            self.facts["import_s"] = sizes.import_s(self.cores.measured, times)
            package, needed = sizes.installed_bytes()
            self.facts["installed_mb"] = Spread.of([package / 1e6])
            self.facts["installed_with_needed_mb"] = Spread.of([(package + needed) / 1e6])
        if self.wants("scrape"):
            self.scrape(20 if self.wanted.quick else 100)
        self.memory_facts()

    def scrape(self, times):
        candidate = Sidecar("sidecar, 1,000 series", more_models=10)
        folder = self.folder / "scraped"
        folder.mkdir()
        command = candidate.command(Here(folder, self.here.providers, self.here.cache))
        with started(command, self.cores.measured, folder) as running:
            candidate.settle(running.port)
            held = scrape.held(candidate, running, times, regardless=self.wanted.regardless)
        self.facts |= held.facts()
        if held.left_out:
            print(f"scrape: {held.left_out} of {held.scrapes} are left out, as a core was taken meanwhile\n")

    def profile(self):
        folder = self.folder / "profiled"
        folder.mkdir()
        candidate = Sidecar()
        command = candidate.command(Here(folder, self.here.providers, self.here.cache))
        with started(command, self.cores.measured, folder) as running:
            candidate.settle(running.port)
            return profile.lines(candidate, running, self.folder, self.cores.load)

    def memory_facts(self):
        """Of the sidecars, and what they grow by for each session."""

        def told(name, fact):
            program = self.programs.get(name)
            return program.facts.get(fact) if program else None

        for fact, name in (("idle_bytes", "resident_idle_mb"), ("loaded_bytes", "resident_loaded_mb")):
            if (size := told(rows.SIDECAR, fact)) is not None:
                self.facts[name] = Spread.of([size / 1e6])
        few, many = "10 sessions", "1,000,000 sessions"
        if (size := told(many, "idle_bytes")) and (base := told(few, "idle_bytes")):
            self.facts["pin_bytes"] = Spread.of([(size - base) / rows.SESSIONS[many]])

    def record(self):
        programs = {
            name: {"settings": one.candidate.settings, "missing": one.missing, **one.facts}
            for name, one in self.programs.items()
            if name != rows.DIRECT
        }
        missing = {f"{row}: {label}": why for (row, label), why in self.missing.items()}
        took_s = time.monotonic() - self.began
        again = {name: counts for name, found in self.found.items() if (counts := list(played_again(found)))[0]}
        return Record(
            today(), self.machine, self.wanted.quick, took_s, self.found, missing, self.facts, programs, again
        )


def shown(record, *, regardless):
    yield from table.program_lines(record.programs)
    yield ""
    yield from table.fact_lines(record.facts)
    yield ""
    asked = [one for one in targets.TARGETS if one.row in record.rows or one.value in record.facts]
    outcomes = [targets.judged(one, record.rows, record.facts, regardless=regardless) for one in asked]
    yield from table.target_lines(outcomes)
    times, mended = (sum(counts[at] for counts in record.again.values()) for at in (0, 1))
    yield from table.again_lines(times, mended)
    yield f"{record.date}, {record.machine}; {record.took_s:.0f} s"


def asked():
    names = [row.name for row in rows.ROWS]
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=[*names, *EXTRA], help=f"of {', '.join([*names, *EXTRA])}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all of it, as JSON")
    parser.add_argument("--cache", type=Path, default=installing.CACHE, help="default: %(default)s")
    parser.add_argument("--regardless", action="store_true", help="compare starved rounds too, by the processor's time")
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="of each row at most, instead of five or, with --quick, two"
    )
    parser.add_argument(
        "--profile", action="store_true", help="only this: where the time of a small proxied reply goes"
    )
    return parser.parse_args()


def main():
    wanted = asked()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for what is measured alone")
    if wanted.profile:
        wanted.only, wanted.quick = ["profile"], False
    wanted.cache = wanted.cache.resolve()
    try:
        with ExitStack() as stack:
            run = Run(wanted, stack)
            run.start()
            if wanted.profile:
                print("\n".join(run.profile()))
                return
            run.measure()
            run.extras()
            record = run.record()
    except Unavailable as exc:
        sys.exit(str(exc))
    print("\n".join(shown(record, regardless=wanted.regardless)))
    if wanted.json:
        record.write(wanted.json)


if __name__ == "__main__":
    main()

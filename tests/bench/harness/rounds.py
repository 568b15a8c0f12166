"""
Asks the entries of a row in turns, forth and back, and tells what each answered and used.

Where others were on a core meanwhile, the round of that entry is played again: at once, in the order of the round, and with
the row's pivot (what most of the others are compared with) once more among them, so that what is compared was measured
within seconds of each other. The others of a long row, which did count, need not be played for the one that did not.
"""

import http.client
import time

from attrs import evolve, frozen

from . import reading, wrk
from .clocks import Clocks, Load, Use
from .figures import Measured, percentile
from .rows import DIRECT, Kind
from .traffic import PIECES

OVERHEAD = 1.25
"""What a round takes by what is asked in it, until one has shown that it takes more."""
TRIES = 5
"""Of an entry in one round, at most."""
APART = 0.9
"""Less of a stream's pieces than this came by themselves, and somebody did not keep up."""
TIMES = ("p50_us", "p99_us", "first_p50_us", "first_p99_us")
"""Of which those of the provider itself are taken off."""


class Wrong(RuntimeError):
    """It does not answer as it must, so its figures would mean nothing."""


@frozen
class Asked:
    """An entry, ready: its candidate serves as `running`, and has shown that it answers `ask` rightly."""

    entry: object
    candidate: object
    running: object
    ask: object
    events: int
    """In its answer, where that is a stream."""


def ready(entry, candidate, running):
    """An Asked; None for what the candidate does not do. Raises Wrong."""
    ask = candidate.ask(entry.work, running.port)
    if ask is None:
        return None
    return Asked(entry, candidate, running, ask, looked_at(ask).count(b"data:"))


def looked_at(ask):
    """One answer, checked. The third counts: caches, and prices of models, are there by then."""
    connection = http.client.HTTPConnection("127.0.0.1", ask.port, timeout=30)
    try:
        for _ in range(3):
            connection.request("POST", ask.path, ask.body, ask.headers)
            answer = connection.getresponse()
            said = answer.read()
    except (OSError, http.client.HTTPException) as exc:
        raise Wrong(f"no answer: {exc!r}") from exc
    finally:
        connection.close()
    missing = [part for part in ask.holds if part not in said]
    if answer.status != 200 or missing:
        raise Wrong(
            f"answers {answer.status} {said[:200]!r}" + (f", which lacks {missing[0][:60]!r}" if missing else "")
        )
    return said


class Rounds:
    """`folder`: for the scripts of wrk. `helpers`: the process groups of the providers, and of what else they need."""

    def __init__(self, folder, cores, helpers):
        self.folder, self.cores, self.helpers = folder, cores, helpers

    def one(self, row, asked, seconds):
        """A Measured."""
        if row.kind in (Kind.STREAMS, Kind.PACED):
            return self._streams(row, asked, seconds)
        clocks = Clocks(asked.running.group, self.cores, self.helpers)
        before = clocks.sample()
        answered = wrk.ask(asked.ask, self.folder, connections=row.connections, seconds=seconds)
        # wrk needs a moment to start, in which nobody works: filled is what was full while it asked.
        use = evolve(Use.between(before, clocks.sample()), wall_s=answered.wall_s)
        load = Load.ALONE if row.kind is Kind.ALONE else Load.HURRIED
        flaws = list(use.flaws(load))
        if answered.failed:
            flaws.append(f"{answered.failed} of {answered.requests} requests failed")
        if not answered.requests:
            return Measured({}, (*flaws, "nothing was answered"))
        values = {"per_s": answered.requests / answered.wall_s, "p50_us": answered.p50_us, "p99_us": answered.p99_us}
        return Measured({**values, **_used(use, answered.requests)}, flaws, use.disturbed(load))

    def _streams(self, row, asked, seconds):
        paced = row.kind is Kind.PACED
        clocks = Clocks(asked.running.group, self.cores, self.helpers)
        streams = reading.Streams(asked.ask.port, asked.ask.request, asked.events, row.connections, waves=paced)
        try:
            came, before, after = reading.ask(streams, seconds, clocks)
        except TimeoutError:
            return Measured({}, ("its streams did not end in time",))
        use = Use.between(before, after)
        load = (Load.ALONE if row.connections == 1 else Load.STEADY) if paced else Load.HURRIED
        flaws = list(use.flaws(load))
        if came.failed:
            flaws.append(f"{came.failed} of {came.failed + came.streams} streams were not whole")
        if not came.streams:
            return Measured({}, (*flaws, "no stream was whole"))
        flaws += together(came, paced=paced)
        return Measured(_stream_values(came, use, paced=paced), flaws, use.disturbed(load))


def _stream_values(came, use, *, paced):
    values = {
        "per_s": came.streams / use.wall_s,
        "first_p50_us": percentile(came.first_s, 0.5) * 1e6,
        "first_p99_us": percentile(came.first_s, 0.99) * 1e6,
        **_used(use, came.streams),
    }
    if "cpu_us" in values:
        values["piece_us"] = values["cpu_us"] / PIECES
    if paced and came.gaps_s:
        values["gap_p99_us"] = percentile(came.gaps_s, 0.99) * 1e6
        values["apart"] = came.reads / (came.streams * PIECES)
    return values


def together(came, *, paced):
    """What is wrong with how the pieces of paced streams came, a sentence or none."""
    apart = came.reads / (came.streams * PIECES)
    if paced and apart < APART:
        yield f"{1 - apart:.0%} of the pieces came together with others: somebody did not keep up"


def _used(use, count):
    """Microseconds of processor for each, and how many a core would do; nothing where no process was looked at."""
    if not use.cpu_s:
        return {}
    return {"cpu_us": use.cpu_s / count * 1e6, "per_core_s": count / use.cpu_s, "filled": use.filled, "load": use.load}


def play(rounds, row, asked, count, *, until, least=None, quick=False, clock=time.monotonic):
    """
    {label: [Measured, …]}, one of each round: `count` rounds, fewer when the clock would say more than `until`, one at
    least. Time that `least` rounds (as many as `count`, if not given) can spare goes into playing again.

    An entry that fails in a round has nothing for it. One warming second goes before.
    """
    if not quick:
        for one in asked:
            rounds.one(row, one, 1)
    played = Played(rounds, row, asked, until=until, quick=quick, clock=clock)
    for number in range(count):
        round_s = played.takes_s(asked)
        if number and clock() + round_s > until:
            break
        to_come = max(0, min(count, least or count) - number - 1)
        played.round(asked if number % 2 == 0 else asked[::-1], spare_s=to_come * round_s)
    add_to_direct(played.found)
    return played.found


class Played:
    """What was played of a row. `found`: {label: [Measured, …]}."""

    def __init__(self, rounds, row, asked, *, until, quick, clock):
        self.rounds, self.row, self.until, self.quick, self.clock = rounds, row, until, quick, clock
        self.found = {one.entry.label: [] for one in asked}
        self.turn, self.overhead = 0, OVERHEAD

    def takes_s(self, asked):
        return sum(map(self._seconds, asked)) * self.overhead

    def round(self, order, *, spare_s):
        """One more of each in `order`; what was disturbed up to TRIES times, while the time but for `spare_s` allows it."""
        tries = {one.entry.label: [] for one in order}
        now = order
        for _ in range(TRIES):
            self._all(now, tries)
            now = disturbed(order, tries, self.row.pivot)
            if not now or self.clock() + self.takes_s(now) + spare_s > self.until:
                break
        for label, those in tries.items():
            self.found[label].append(Measured.of(those))

    def _all(self, those, tries):
        began = self.clock()
        for one in those:
            self.turn += 1
            measured = self.rounds.one(self.row, one, self._seconds(one))
            tries[one.entry.label].append(evolve(measured, turn=self.turn))
        self.overhead = max(self.overhead, (self.clock() - began) / sum(map(self._seconds, those)))

    def _seconds(self, one):
        return 1 if self.quick else one.candidate.seconds


def disturbed(order, tries, pivot):
    """Of `order`, those to be played again: those that do not count because of others, and with them the pivot."""
    labels = {label for label, those in tries.items() if all(one.disturbed for one in those)}
    return [one for one in order if labels and one.entry.label in {*labels, pivot}]


def add_to_direct(found):
    """What is added to the provider's own time, within the round, where it was asked too."""
    direct = found.get(DIRECT, ())
    for label, measured in found.items():
        if label != DIRECT:
            for at, (ours, alone) in enumerate(zip(measured, direct, strict=False)):
                measured[at] = evolve(_added(ours, alone), others=[_added(one, alone) for one in ours.others])


def _added(one, direct):
    values = one.values
    added = {
        f"added_{name}": values[name] - direct.values[name]
        for name in TIMES
        if name in values and name in direct.values
    }
    return evolve(one, values={**values, **added})

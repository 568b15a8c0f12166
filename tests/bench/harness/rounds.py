"""Asks the entries of a row in turns, forth and back, and tells what each answered and used."""

import http.client
import time

from attrs import evolve, frozen

from . import reading, wrk
from .clocks import Clocks, Load, Use
from .figures import Measured, percentile
from .rows import Kind
from .traffic import PIECES

APART = 0.9
"""Less of a stream's pieces than this came by themselves, and somebody did not keep up."""


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
        flaws = list(use.flaws(Load.ALONE if row.kind is Kind.ALONE else Load.HURRIED))
        if answered.failed:
            flaws.append(f"{answered.failed} of {answered.requests} requests failed")
        if not answered.requests:
            return Measured({}, (*flaws, "nothing was answered"))
        values = {"per_s": answered.requests / answered.wall_s, "p50_us": answered.p50_us, "p99_us": answered.p99_us}
        return Measured({**values, **_used(use, answered.requests)}, flaws)

    def _streams(self, row, asked, seconds):
        paced = row.kind is Kind.PACED
        clocks = Clocks(asked.running.group, self.cores, self.helpers)
        streams = reading.Streams(asked.ask.port, asked.ask.request, asked.events, row.connections, waves=paced)
        try:
            came, before, after = reading.ask(streams, seconds, clocks)
        except TimeoutError:
            return Measured({}, ("its streams did not end in time",))
        use = Use.between(before, after)
        flaws = list(use.flaws((Load.ALONE if row.connections == 1 else Load.STEADY) if paced else Load.HURRIED))
        if came.failed:
            flaws.append(f"{came.failed} of {came.failed + came.streams} streams were not whole")
        if not came.streams:
            return Measured({}, (*flaws, "no stream was whole"))
        return Measured(_stream_values(came, use, paced=paced), (*flaws, *together(came, paced=paced)))


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


def play(rounds, row, asked, count, *, until, quick=False):
    """
    [Measured, …] of each label, a round each: `count` rounds, fewer when the clock (time.monotonic) says `until`.

    An entry that fails in a round has nothing for it. One warming second goes before.
    """
    found = {one.entry.label: [] for one in asked}
    for one in asked:
        if not quick:
            rounds.one(row, one, 1)
    for number in range(count):
        if number and time.monotonic() > until:
            break
        turn = asked if number % 2 == 0 else reversed(asked)
        for one in turn:
            found[one.entry.label].append(rounds.one(row, one, 1 if quick else one.candidate.seconds))
    add_to_direct(found)
    return found


def add_to_direct(found):
    """What is added to the provider's own time, by the round, where it was asked too."""
    direct = found.get("direct", ())
    for label, measured in found.items():
        if label == "direct":
            continue
        for at, (ours, alone) in enumerate(zip(measured, direct, strict=False)):
            added = {
                f"added_{name}": ours.values[name] - alone.values[name]
                for name in ("p50_us", "p99_us", "first_p50_us", "first_p99_us")
                if name in ours.values and name in alone.values
            }
            measured[at] = Measured({**ours.values, **added}, ours.flaws)

"""
What a group of processes used of its core, and whether a round says anything about it.

A round does not count when somebody else was on the core of the thing measured, when the host gave one of the two cores
to others (steal), when the load could not fill what was to be filled, or, where times were taken, when the load's own core
was full or had others on it. What others did may be over soon: such a round is worth playing again. What the load or
the thing measured cannot do is the same the next time.

Times are seconds; a group is the processes of one process group, all threads of them.
"""

import os
import time
from enum import StrEnum
from pathlib import Path

from attrs import frozen

STARVED = 0.03
"""More of a round than this spent waiting for the core, and somebody else was on it."""
FILLED = 0.9
"""Less of a round than this spent at work, and the load was not enough."""
FULL = 0.93
"""More of the load's core in use than this, and the load was late itself."""
CROWDED = 0.08
"""More of the load's core used by others than this, the system's own work counted, and its times are theirs too."""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Load(StrEnum):
    HURRIED = "hurried"
    """As fast as it is answered: the thing measured must be the limit."""
    STEADY = "steady"
    """Less than it can do: the load must not be the limit."""
    ALONE = "alone"
    """One request after the other: load and providers never work at once, so they may fill their core between them."""


@frozen
class Cores:
    """The one of what is measured, and the one of all else."""

    measured: int
    load: int


@frozen
class Sample:
    """Of a group at one moment."""

    at_s: float
    cpu_s: float
    threads: dict[int, tuple[float, float]]
    """(seconds run, seconds ready to run and waiting) by the thread's id."""
    busy_s: float
    """Of the core that is measured, by whomever."""
    load_s: float
    """Of the load's core."""
    helped_s: float
    """Of it, by the load and the providers."""
    stolen_s: tuple[float, float]
    """Taken by the host: of the core that is measured, and of the load's."""


@frozen
class Use:
    """What was used between two samples, as shares of the time between them."""

    wall_s: float
    cpu_s: float
    starved: float
    load: float
    crowded: float
    """The load's core, by others."""
    stolen: float
    """Of that core of the two that more was taken of: it comes in bursts to one of them, which their mean would hide."""

    @property
    def filled(self):
        return self.cpu_s / self.wall_s

    @classmethod
    def between(cls, before, after):
        wall_s, cpu_s = after.at_s - before.at_s, after.cpu_s - before.cpu_s
        others_s = (
            after.busy_s - before.busy_s - cpu_s
        )  # who waits, waits for somebody: no more than this is starvation
        starved_s = max(0.0, min(waited_s(before.threads, after.threads), others_s))
        load_s = after.load_s - before.load_s
        stolen_s = max(now - then for then, now in zip(before.stolen_s, after.stolen_s, strict=True))
        crowd_s = max(0.0, load_s - (after.helped_s - before.helped_s))
        return cls(wall_s, cpu_s, starved_s / wall_s, load_s / wall_s, crowd_s / wall_s, stolen_s / wall_s)

    def flaws(self, load):
        """Sentences that say why it does not count; none, and it does."""
        return (*self._disturbances(load), *self._limits(load))

    def disturbed(self, load):
        """Whether others are why it does not count."""
        crowded = self.crowded > CROWDED and any(self._limits(load))
        return crowded or any(self._disturbances(load))

    def _disturbances(self, load):
        if self.starved > STARVED:
            yield f"others were on its core for {self.starved:.0%} of the time"
        if self.stolen > STARVED:
            yield f"the machine was taken from us for {self.stolen:.0%} of the time"
        if load is not Load.HURRIED and self.crowded > CROWDED:
            yield f"others were on the load's core for {self.crowded:.0%} of the time"

    def _limits(self, load):
        if load is Load.HURRIED and self.filled < FILLED:
            limit = "the load's core was full" if self.load > FULL else "the load did not fill it"
            yield f"it used {self.filled:.0%} of its core only: {limit}"
        if load is Load.STEADY and self.load > FULL:
            yield f"the load's own core was full ({self.load:.0%})"


def waited_s(before, after):
    """How long the busiest thread waited for others than those of its own group, which are on the same core."""
    spent = []
    for thread, (ran, waited) in after.items():
        was_ran, was_waited = before.get(thread, (0.0, 0.0))
        spent.append((ran - was_ran, waited - was_waited))
    if not spent:
        return 0.0
    ran, waited = max(spent)
    return waited - (sum(one for one, _ in spent) - ran)


class Clocks:
    """Reads those of the process group `group`; -1 is nobody's. `helpers`: the groups of the providers."""

    def __init__(self, group, cores, helpers=()):
        self.cores = cores
        self.pids = members(group)
        self.helping = [pid for helper in helpers for pid in members(helper)]

    def sample(self):
        threads = {thread: spent for pid in self.pids for thread, spent in _threads(pid)}
        busy_s, stolen_s = cores()
        cpu_s = sum(map(spent_s, self.pids))
        at = self.cores
        ours = os.times()  # wrk is a child that has ended by now
        helped_s = sum(map(spent_s, self.helping)) + sum(ours[:4])
        stolen = stolen_s[at.measured], stolen_s[at.load]
        return Sample(time.perf_counter(), cpu_s, threads, busy_s[at.measured], busy_s[at.load], helped_s, stolen)


def members(group):
    """The ids of the processes in the group `group`."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            if int(text.rpartition(")")[2].split()[2]) == group:
                found.append(int(entry.name))
    return sorted(found)


def _threads(pid):
    """(its id, (seconds run, seconds ready to run and waiting)) of each thread: /proc/PID/task/TID/schedstat."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            run_ns, waited_ns, _ = map(int, (task / "schedstat").read_text().split())
        except OSError:
            continue
        yield int(task.name), (run_ns / 1e9, waited_ns / 1e9)


def spent_s(pid):
    """
    Seconds of processor of all its threads: utime + stime as /proc/PID/stat has them, exact (clock_getcpuclockid(3)), but for
    what a thread has run since the last tick, which is missing until it waits for something. What the host took is not in
    it, nor is waiting for a core.
    """
    return time.clock_gettime((~pid << 3) | 2)


def cores():
    """({core: seconds it was busy}, {core: seconds stolen}): /proc/stat, proc(5); both in whole ticks."""
    busy_s, stolen_s = {}, {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            user, nice, system, _idle, _io, irq, soft, steal, *_ = map(int, ticks)
            busy_s[int(name[3:])] = (user + nice + system + irq + soft) * TICK_S
            stolen_s[int(name[3:])] = steal * TICK_S
    return busy_s, stolen_s


def resident_bytes(group, kind="VmRSS"):
    """Of all processes of the group together, now; `VmHWM`: each at its most. /proc/PID/status, proc(5)."""
    status = (Path(f"/proc/{pid}/status").read_text() for pid in members(group))
    return sum(int(text.partition(f"{kind}:")[2].split()[0]) * 1024 for text in status if f"{kind}:" in text)

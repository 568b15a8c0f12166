"""
What the sidecar's process is made of over time, and whether it grows once its caches are full.

Resident memory moves in steps and its neighbours in time are alike, so a line through all samples would seem far surer
than it is. The samples are put into a dozen blocks in order of time, and the line is laid through their means by least
squares; the spread is the standard error of that slope.
"""

import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
from attrs import define, field, frozen

BLOCKS = 12
EVERY_S = 0.5
LOOKS_EVERY_S = 8.0
"""At its objects, and at what memory they need. A burst of large bodies leaves a hundred megabytes more with glibc, which
come and go: no line could be laid through that."""


@frozen
class Sample:
    """`at_s`: monotonic. `blocks`: of Python's allocator; None when the admin port was between two processes."""

    at_s: float
    resident_bytes: int
    descriptors: int
    blocks: int | None


@frozen
class Slope:
    """Growth per minute, give or take `spread`, over `minutes`."""

    per_minute: float
    spread: float
    minutes: float
    first: float
    last: float

    @property
    def surely(self):
        """What it grows by at least."""
        return self.per_minute - 2 * self.spread


@frozen
class Growth:
    """Of one process, since its caches were full. `kinds`: of objects, and how many more there were at the end."""

    pid: int
    resident_bytes: Slope
    blocks: Slope
    kinds: dict


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(pid):
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def slope(left):
    """Of [(seconds, value), …], at least `BLOCKS`."""
    size = len(left) / BLOCKS
    means = [_mean(left[int(n * size) : int((n + 1) * size)]) for n in range(BLOCKS)]
    middle_x, middle_y = _mean(means)
    across = sum((x - middle_x) ** 2 for x, _ in means)
    rise = sum((x - middle_x) * (y - middle_y) for x, y in means) / across
    rest = sum((y - middle_y - rise * (x - middle_x)) ** 2 for x, y in means)
    spread = (rest / (BLOCKS - 2) / across) ** 0.5
    return Slope(rise * 60, spread * 60, (left[-1][0] - left[0][0]) / 60, means[0][1], means[-1][1])


def _mean(points):
    return tuple(sum(column) / len(points) for column in zip(*points, strict=True))


@define
class Watch:
    """Samples of every process that served, by its id."""

    sidecar: object
    samples: dict = field(factory=dict)
    looks: dict = field(factory=dict)
    """Process id -> [(when, what `watched.counts` says), …]."""

    async def go_on(self):
        looked_at = 0.0
        while True:
            with suppress(OSError, aiohttp.ClientError, ValueError, TimeoutError):
                pid = self.sidecar.pid
                blocks = await self._blocks()
                sample = Sample(time.monotonic(), resident_bytes(pid), descriptors(pid), blocks)
                self.samples.setdefault(pid, []).append(sample)
                if sample.at_s - looked_at > LOOKS_EVERY_S:
                    looked_at = sample.at_s
                    self.looks.setdefault(pid, []).append((looked_at, await self.sidecar.counts()))
            await asyncio.sleep(EVERY_S)

    async def _blocks(self):
        async with asyncio.timeout(5):
            status, text = await self.sidecar.ask("/memory")
        return json.loads(text)["python"]["allocated_blocks"] if status == 200 else None

    @property
    def longest(self):
        """The samples of the process that served longest."""
        return max(self.samples.values(), key=lambda samples: samples[-1].at_s - samples[0].at_s, default=[])

    def grown(self, steady_s):
        """A Growth of each process that served on for long enough when its caches had been full for `steady_s`."""
        for pid, full_at in self.sidecar.full_at.items():
            since = full_at + steady_s
            left = [
                (each.at_s, each.blocks) for each in self.samples.get(pid, []) if each.at_s >= since and each.blocks
            ]
            looks = [(at_s, look) for at_s, look in self.looks.get(pid, []) if at_s >= since]
            if min(len(left), len(looks)) >= BLOCKS:
                resident = slope([(at_s, look["resident_bytes"]) for at_s, look in looks])
                yield Growth(pid, resident, slope(left), _more(looks[0][1]["kinds"], looks[-1][1]["kinds"]))


def _more(before, after):
    """Kind -> how many more there are, the most first."""
    more = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    return dict(sorted(((kind, count) for kind, count in more.items() if count > 0), key=lambda each: -each[1]))

"""
What the sidecar's process is made of over time, and whether it grows.

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

WARM_UP = 0.2
"""The share of a process's samples that does not count."""
BLOCKS = 12
EVERY_S = 0.5


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
        """What it grows by at least: 0 where it may be standing still."""
        return max(0.0, self.per_minute - 2 * self.spread)


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def descriptors(pid):
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def slope(points):
    """Of [(seconds, value), …], without the warm-up; None where there are too few."""
    left = points[int(len(points) * WARM_UP) :]
    if len(left) < BLOCKS:
        return None
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

    async def go_on(self):
        while True:
            with suppress(OSError, aiohttp.ClientError, ValueError, TimeoutError):
                pid = self.sidecar.pid
                blocks = await self._blocks()
                sample = Sample(time.monotonic(), resident_bytes(pid), descriptors(pid), blocks)
                self.samples.setdefault(pid, []).append(sample)
            await asyncio.sleep(EVERY_S)

    async def _blocks(self):
        async with asyncio.timeout(5):
            status, text = await self.sidecar.ask("/memory")
        return json.loads(text)["python"]["allocated_blocks"] if status == 200 else None

    @property
    def longest(self):
        """The samples of the process that served longest."""
        return max(self.samples.values(), key=lambda samples: samples[-1].at_s - samples[0].at_s, default=[])

    def resident(self):
        """Slope in bytes."""
        return slope([(sample.at_s, sample.resident_bytes) for sample in self.longest])

    def objects(self):
        """Slope in blocks of Python's allocator."""
        return slope([(sample.at_s, sample.blocks) for sample in self.longest if sample.blocks is not None])

"""
How long a scrape of `/metrics` keeps the event loop from others.

Seen from outside: one connection asks for `/healthz` without pause; what the slowest answer of those that a scrape
overlaps takes longer than such answers take else, the loop was held. A scrape counts only when neither the sidecar nor
this process waited for its core meanwhile.
"""

import asyncio
import json
import statistics
import time
from contextlib import suppress
from pathlib import Path

import uvloop
from attrs import frozen

from .figures import Spread
from .sidecars import answered

SERIES = 1_000
WAITED_S = 1e-4
"""More than this of waiting for a core, and a scrape tells nothing."""


@frozen
class Held:
    """`loop_us` and `cpu_us`: microseconds for each scrape, the second of the sidecar's processor, all told."""

    series: int
    loop_us: Spread | None
    cpu_us: float
    counted: int
    scrapes: int


def fill(candidate, port):
    """Requests for one of its models after the other, until there are `SERIES`. Gives how many there are."""
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hello"}]})
    for n in range(candidate.more_models):
        if (found := series(candidate.admin)) >= SERIES:
            return found
        answered(candidate.admin, "PUT", f"/pins/more-{n}", json.dumps({"model": f"openai/more-{n}"}))
        for path in ("/routing/v1/chat/completions", "/v1/chat/completions"):
            answered(port, "POST", path, body, {"X-Session-Id": f"more-{n}"})
    return series(candidate.admin)


def series(admin):
    lines = answered(admin, "GET", "/metrics")[1].splitlines()
    return sum(bool(line) and not line.startswith(b"#") for line in lines)


def held(candidate, running, scrapes, *, regardless=False):
    """A Held. `regardless`: scrapes count in which somebody waited for a core too."""
    count = fill(candidate, running.port)
    return uvloop.run(_held(candidate.admin, running, scrapes, count, 1.0 if regardless else WAITED_S))


async def _held(admin, running, scrapes, count, most_s):
    asking, scraping = await _Asking.connected(running.port), await _Asking.connected(admin)
    answers = []
    pinging = asyncio.create_task(_ping(asking, answers))
    await asyncio.sleep(0.2)
    took, cpu_s = [], []
    for _ in range(scrapes):
        began, before = time.perf_counter(), _clocks(running.group)
        await scraping.get("/metrics")
        ended, after = time.perf_counter(), _clocks(running.group)
        await asyncio.sleep(0.02)
        if after[1] - before[1] < most_s and after[2] - before[2] < most_s:
            took.append(max((b - a for a, b in answers if b > began and a < ended), default=0.0))
    usual = statistics.median(b - a for a, b in answers)
    pinging.cancel()
    with suppress(asyncio.CancelledError):
        await pinging
    for _ in range(scrapes):
        before = _clocks(running.group)[0]
        await scraping.get("/metrics")
        cpu_s.append(_clocks(running.group)[0] - before)
    loop = Spread.of((one - usual) * 1e6 for one in took) if took else None
    return Held(count, loop, statistics.median(cpu_s) * 1e6, len(took), scrapes)


def _clocks(pid):
    """Seconds that the sidecar ran, that it waited, and that we waited: /proc/PID/schedstat, of the first thread."""
    ran, waited, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    _, ours, _ = map(int, Path("/proc/self/schedstat").read_text().split())
    return ran / 1e9, waited / 1e9, ours / 1e9


async def _ping(asking, answers):
    while True:
        began = time.perf_counter()
        await asking.get("/healthz")
        answers.append((began, time.perf_counter()))


class _Asking:
    """One connection, one GET after the other."""

    @classmethod
    async def connected(cls, port):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def get(self, path):
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        if length:
            await self.reader.readexactly(int(length))
        else:
            await self.reader.readuntil(b"\r\n0\r\n\r\n")

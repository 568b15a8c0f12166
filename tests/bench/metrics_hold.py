"""
How long a scrape keeps the event loop to itself, beside prometheus_client's encoders in the same run.

    python tests/bench/metrics_hold.py [--quick] [--json]      half a minute; --quick, five seconds

A task beside the scrape does nothing but look at the clock at each turn of the loop: its longest wait is how long a
request might have waited. The clock is that of the thread, so that what else the machine does is no part of it. All ways take turns; shown are the median scrape's longest wait and the worst of nine in ten,
and how long the whole scrape took with nobody else there.
"""

import argparse
import asyncio
import gzip
import json
import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop
from attrs import asdict, frozen
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.registry import Collector

from sidecar.telemetry.exposition import GZIP_LEVEL, expose
from sidecar.telemetry.merge import Merged, reading
from sidecar.telemetry.meter import Metrics

GOAL_MS = 1.0
SIZES = (1000, 5000)
WORKERS = 4
OPENMETRICS = "application/openmetrics-text"


@frozen
class Row:
    way: str
    series: int
    held_ms: float
    held_p90_ms: float
    took_ms: float


def counted(series: int) -> Metrics:
    """About so many series: most are buckets, as they are in a sidecar at work."""
    metrics = Metrics(models=("openai/gpt-4o",), routes=())
    lines = sum(len(family.samples) for family in metrics.registry.collect())
    for store in range(max(0, series - lines) // 20):
        metrics.store_counter(f"store{store}", "get")()
        metrics.store_timer(f"store{store}", "get")(0.0001 * store)
    return metrics


def merged(series: int) -> Merged:
    everybody = Merged()
    for number in range(WORKERS):
        everybody.join(str(number)).read(reading(counted(series).registry))
    return everybody


async def held(scrape: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """The longest wait for a turn of the loop while it lasted, and what all of it took, in milliseconds."""
    waits: list[float] = []

    async def turn() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            waits.append(now - before)
            before = now

    task = asyncio.create_task(turn())
    await asyncio.sleep(0)
    began = time.thread_time()
    await scrape()
    took = time.thread_time() - began
    await asyncio.sleep(0)
    task.cancel()
    return max(waits) * 1000, took * 1000


def ways(registry: Collector) -> dict[str, Callable[[], Awaitable[object]]]:
    async def theirs(encoder: Callable[[Collector], bytes], level: int) -> None:
        body = encoder(registry)
        if level:
            gzip.compress(body, level)

    return {
        "text": lambda: expose(registry, "", ""),
        "text, prometheus_client": lambda: theirs(generate_latest, 0),
        "OpenMetrics": lambda: expose(registry, OPENMETRICS, ""),
        "OpenMetrics, prometheus_client": lambda: theirs(openmetrics_latest, 0),
        "text, gzip": lambda: expose(registry, "", "gzip"),
        "text, gzip, prometheus_client": lambda: theirs(generate_latest, GZIP_LEVEL),
        "two names": lambda: expose(registry, "", "", ["sidecar_ready", "sidecar_store_duration_seconds_sum"]),
    }


async def measured(rounds: int) -> list[Row]:
    scrapes: dict[tuple[str, int], Callable[[], Awaitable[object]]] = {}
    for series in SIZES:
        scrapes |= {(way, series): scrape for way, scrape in ways(counted(series).registry).items()}
        scrapes |= {(f"{way}, of {WORKERS}", series): scrape for way, scrape in ways(merged(series)).items()}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {key: [] for key in scrapes}
    for _ in range(rounds):
        for key, scrape in scrapes.items():
            found[key].append(await held(scrape))
    return [_row(way, series, those) for (way, series), those in found.items()]


def _row(way: str, series: int, those: list[tuple[float, float]]) -> Row:
    holds = sorted(hold for hold, _ in those)
    took = statistics.median(took for _, took in those)
    return Row(way, series, statistics.median(holds), holds[int(len(holds) * 0.9)], took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measured(5 if asked.quick else 40))
    if asked.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    print(f"{'':<44}{'series':>7}{'held, ms':>10}{'p90':>8}{'took':>8}   goal: held ≤ {GOAL_MS:g} ms")
    for row in rows:
        print(f"{row.way:<44}{row.series:>7}{row.held_ms:>10.2f}{row.held_p90_ms:>8.2f}{row.took_ms:>8.2f}")


if __name__ == "__main__":
    main()

"""
How long a scrape keeps the event loop to itself, beside prometheus_client's encoders in the same run.

    python tests/bench/metrics_hold.py [--quick] [--json]      half a minute; --quick, five seconds

A scrape first has everything told that waits for it (`sidecar.telemetry.telling`): each finds as many small answers to
proxied requests as may wait, with their usage unread, and lines of the access log to be written.

A task beside the scrape does nothing but look at the clock at each turn of the loop: its longest wait is how long a
request might have waited. The clock is that of the thread, so that what else the machine does is no part of it. All
ways take turns; shown are the median scrape's longest wait and the worst of nine in ten, and how long the whole scrape
took with nobody else there.
"""

import argparse
import asyncio
import gzip
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial

import uvloop
from aiohttp import HttpVersion11
from attrs import asdict, frozen
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.registry import Collector

from sidecar.listener.answers import Way
from sidecar.listener.decisions import Decided
from sidecar.listener.ended import Ended
from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.access import json_line
from sidecar.telemetry.exposition import GZIP_LEVEL, expose
from sidecar.telemetry.merge import Merged, reading
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.recent import Recent
from sidecar.telemetry.telling import MOST, Telling
from sidecar.telemetry.trace import Traces
from sidecar.upstream.order import Attempted
from sidecar.wire.formats import Format

GOAL_MS = 1.0
SIZES = (1000, 5000)
WORKERS = 4
OPENMETRICS = "application/openmetrics-text"
MODEL = "openai/gpt-4o"
ENDPOINT = "/v1/chat/completions"
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}}' % (b"x" * 1000)
)


@frozen
class Row:
    way: str
    series: int
    held_ms: float
    held_p90_ms: float
    took_ms: float


def ended(number: int) -> Ended:
    """A proxied request of a pinned session, just over."""
    now = time.monotonic()
    decision = Decision((MODEL,), None, Reason.PINNED, Lookup.HIT, pinned=True)
    way = Way(ENDPOINT, Traces().of({}), decided=Decided(decision, SessionKey(f"s{number}", source="x-session-id")))
    way.requested, way.model, way.operation = "gpt-4o", MODEL, "chat"
    way.journal.attempts.append(Attempted(MODEL, MODEL, now, "", "answered", 0.3, 0.3, 200, 0.3))
    way.journal.unread, way.journal.first_byte_at = (Format.CHAT, "application/json", ANSWER), now
    return Ended(
        way,
        200,
        None,
        None,
        now,
        now + 0.3,
        time.time(),
        "POST",
        HttpVersion11,
        "127.0.0.1",
        "OpenAI/Python 1.99.9",
        300,
    )


def behind(metrics: Metrics) -> Callable[[], None]:
    """What leaves `metrics` as far behind as they ever are."""
    record_of = partial(Ended.record, pseudonyms=Pseudonyms())
    telling = Telling(record_of, [json_line], Ended.count, [metrics.told, Recent(time.time).told])
    metrics.before_read(telling.catch_up)
    those = [ended(number) for number in range(MOST - 1)]

    def wait() -> None:
        for each in those:
            telling.told(each)

    return wait


def counted(series: int) -> Metrics:
    """About so many series: most are buckets, as they are in a sidecar at work."""
    metrics = Metrics(models=(MODEL,), routes=())
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


async def held(scrape: Callable[[], Awaitable[object]], wait: Callable[[], None]) -> tuple[float, float]:
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
    wait()
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
    scrapes: dict[tuple[str, int], tuple[Callable[[], Awaitable[object]], Callable[[], None]]] = {}
    for series in SIZES:
        metrics = counted(series)
        wait = behind(metrics)
        scrapes |= {(way, series): (scrape, wait) for way, scrape in ways(metrics.registry).items()}
        of_all = ways(merged(series)).items()  # each worker has told everything before its parent writes
        scrapes |= {(f"{way}, of {WORKERS}", series): (scrape, lambda: None) for way, scrape in of_all}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {key: [] for key in scrapes}
    for _ in range(rounds):
        for key, (scrape, wait) in scrapes.items():
            found[key].append(await held(scrape, wait))
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

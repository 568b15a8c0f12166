"""
Bytes per pin in the memory store.

    python tests/bench/pin_memory.py [PINS]

Fills a table with PINS (default 100,000) sessions that are named as agents name them (UUIDs) and routed to one of ten
routes, with the scores of three, and prints what the process grew by for each: the resident set of a fresh process, and
what Python allocated.
"""

import gc
import sys
import tracemalloc
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from sidecar.routing.decision import Pin, Reason
from sidecar.routing.pins import PinTable
from sidecar.routing.session import SessionKey

ROUTES = [(f"route-{n}", (f"openai/model-{n}", f"anthropic/model-{n}")) for n in range(10)]


def unlike(_n: int) -> str:
    return str(uuid.uuid4())


def fill(
    count: int,
    now: float = 0.0,
    *,
    name: Callable[[int], str] = unlike,
    routes: Sequence[tuple[str, tuple[str, ...]]] = ROUTES,
    ttl_s: float = 600,
) -> PinTable:
    """A table of so many pins. `name`: what its n-th session is called; `now`: when the first was made."""
    table = PinTable(ttl_s=ttl_s, capacity=count)
    for n in range(count):
        route, models = routes[n % len(routes)]
        scores = tuple((routes[(n + k) % len(routes)][0], 0.9 - 0.2 * k - n / 1e7) for k in range(3))
        pin = Pin(models, route, Reason.ROUTED, 1.7e9 + n, source="session-id", confidence=scores[0][1], scores=scores)
        table.claim(SessionKey(name(n)).encoded, pin, now + n / count)
    return table


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    gc.collect()
    before = resident_bytes()
    table = fill(count)
    print(f"{count:,} pins: {(resident_bytes() - before) / len(table):.0f} bytes each, by resident set")
    del table
    tracemalloc.start()
    table = fill(count)
    print(f"{count:,} pins: {tracemalloc.get_traced_memory()[0] / len(table):.0f} bytes each, by Python's own count")


if __name__ == "__main__":
    main()

"""
What a snapshot of the pin table costs: time, bytes, and how long the event loop is kept from others meanwhile.

    python tests/bench/pin_snapshot.py [PINS …]

For each number of PINS (default 10,000), pins as `pin_memory.py` makes them are written to a file in a temporary
folder (`TMPDIR`), while another task notes how late the event loop is, and read into an empty table.
"""

import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from pin_memory import fill

from sidecar.routing.pins import PinTable
from sidecar.stores.snapshot import Snapshot


async def lateness(worst: list[float]) -> None:
    """
    Notes how long the event loop took to come round, at worst, in seconds: by the clock, and by what its thread worked
    meanwhile. The first is longer where other processes want the processor too.
    """
    while True:
        began, at_work = time.perf_counter(), time.thread_time()
        await asyncio.sleep(0)
        worst[0] = max(worst[0], time.perf_counter() - began)
        worst[1] = max(worst[1], time.thread_time() - at_work)


def kept(table: PinTable, path: Path) -> Snapshot:
    return Snapshot(table, path, interval_s=3600, offered=bool, clock=time.monotonic, wall=time.time)


async def write(count: int, path: Path) -> list[float]:
    """How long the event loop was kept from others, as `lateness` has it."""
    table = fill(count, time.monotonic())
    snapshot = kept(table, path)
    table.get(table.keys()[0], time.monotonic())  # something is new
    worst = [0.0, 0.0]
    watching = asyncio.create_task(lateness(worst))
    await asyncio.sleep(0)
    began, cpu = time.perf_counter(), time.process_time()
    await snapshot.write()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    watching.cancel()
    print(f"{count:,} pins written in {took * 1e3:,.0f} ms ({used * 1e3:,.0f} ms of a processor)")
    return worst


async def read(count: int, path: Path) -> None:
    table = PinTable(ttl_s=600, capacity=count)
    began = time.perf_counter()
    async with kept(table, path):
        print(f"    {len(table):,} read in {(time.perf_counter() - began) * 1e3:,.0f} ms")


def main() -> None:
    for count in map(int, sys.argv[1:] or ["10000"]):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pins"
            (held_s, at_work_s), size = asyncio.run(write(count, path)), path.stat().st_size
            print(f"    {size:,} bytes, {size / count:.0f} each")
            print(
                f"    event loop held for {held_s * 1e3:.1f} ms at most, at work for {at_work_s * 1e3:.1f} ms at most"
            )
            asyncio.run(read(count, path))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    main()

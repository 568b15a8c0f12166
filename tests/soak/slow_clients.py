#!/usr/bin/env python3
"""
Clients that hold connections and give nothing for it, and one that wants answers meanwhile.

    tests/soak/slow_clients.py [--idle 5000] [--drip 1000] [--seconds 10]

`idle` have had an answer and keep their connection; `drip` send a byte of a head each second. Said at the end: how long
the one that asks had to wait, without them and beside them, and what the sidecar counted. Exits 1 when an answer failed,
an idle connection was lost, or one that drips was still served after its time.
"""

import argparse
import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASK = b"GET /healthz HTTP/1.1\r\nhost: sidecar\r\n\r\n"
DRIPPED = b"GET /healthz HTTP/1.1\r\nhost: sidecar\r\nx-more: " + b"a" * 1000
HEADER_TIMEOUT_S = 4
AT_ONCE = 100
CONFIG = f"""
listeners:
  - type: model
    port: 0
    limits: {{header_timeout: {HEADER_TIMEOUT_S}s}}
admin: {{port: 0}}
model_providers:
  - {{model: openai/gpt-4o-mini, default: true, base_url: "http://127.0.0.1:9/v1", access_key: none}}
"""


@asynccontextmanager
async def sidecar():
    """(port, admin's base) of a program of its own."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sidecar.yaml"
        config.write_text(CONFIG)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar.cli", "up", str(config), cwd=ROOT, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield await _told(process)
        finally:
            process.terminate()
            await process.wait()


async def _told(process):
    found = {}
    while not {"decisions", "admin"} <= found.keys():
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        if not line:
            raise SystemExit("the sidecar does not start")
        word, _, rest = line.decode().partition(" ")
        found[word] = rest.strip().partition(" ")[0]
    base = found["decisions"].partition("/routing")[0]
    return int(base.rpartition(":")[2]), "/".join(found["admin"].split("/")[:3])


async def opened(port, count):
    found = []
    while len(found) < count:
        found += await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(min(AT_ONCE, count - len(found))))
        )
    return found


async def answered(reader, writer):
    """Seconds."""
    began = time.perf_counter()
    writer.write(ASK)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    await reader.readexactly(len(b'{"status":"ok"}'))
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(head[:40])
    return time.perf_counter() - began


async def asking(port, seconds):
    """How long each answer took, to one that asks fifty times a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    until, took = time.monotonic() + seconds, []
    while time.monotonic() < until:
        took.append(await answered(reader, writer))
        await asyncio.sleep(0.02)
    writer.close()
    return took


async def dripping(reader, writer):
    """How many seconds it was borne."""
    began = time.monotonic()
    with suppress(ConnectionError):
        for byte in DRIPPED:
            writer.write(bytes([byte]))
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 1)
                break
    writer.close()
    return time.monotonic() - began


def told(name, took):
    p99 = statistics.quantiles(took, n=100)[98]
    print(f"{name}: {len(took)} answers, p50 {statistics.median(took) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")


def counted(admin):
    with urllib.request.urlopen(f"{admin}/stats?filter=http_limits|http_connections&usedonly") as answer:  # noqa: S310 - ours
        return answer.read().decode().strip()


async def run(options):
    async with sidecar() as (port, admin):
        told("alone", await asking(port, 2))
        idle = await opened(port, options.idle)
        for connection in idle:
            await answered(*connection)
        began = [asyncio.ensure_future(dripping(*each)) for each in await opened(port, options.drip)]
        told(f"beside {options.idle} idle ones and {options.drip} that drip", await asking(port, options.seconds))
        late = [each for each in began if not each.done()]
        borne = [each.result() for each in began if each.done()]
        kept = sum(not reader.at_eof() for reader, _ in idle)
        print(f"idle connections kept: {kept} of {options.idle}")
        if borne:
            print(f"dripping: {len(borne)} cut, after {min(borne):.1f} to {max(borne):.1f} s; left: {len(late)}")
        print(await asyncio.to_thread(counted, admin))
        for each in late:
            each.cancel()
        return int(bool(late) or kept < options.idle)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--drip", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the sidecar inherits it
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())

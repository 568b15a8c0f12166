"""
What the sidecar costs on the way: first-byte latency added, and memory per open stream.

    python tests/bench/proxy_latency.py [--json]

Three processes on loopback: a provider double, the sidecar (`sidecar up`), and this one, the client. The sidecar has a
core to itself where there are two; double and client share the other. The client keeps its connections and asks one
thing at a time, once straight to the double and once through the sidecar, in turns of so many, so that whatever else
the machine does meets both alike. Latency is from the first byte of the request leaving to the first byte of the
answer's body arriving.

Memory: so many streams are opened through the sidecar, all paced, all read; once each has brought its first event, the
sidecar's resident set is compared with that before.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from attrs import asdict, frozen

ROUNDS = 20
PER_ROUND = 50
WARM_UP = 200
STREAMS = (100, 400)
PACE_S = 0.5
"""Between two events of a paced stream."""

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
HISTORY = [{"role": role, "content": "lorem ipsum dolor sit amet " * 20} for role in ("user", "assistant") * 10]


class Double(asyncio.Protocol):
    """Answers every request with three events, at once; or, where it asks to be paced, with one every PACE_S."""

    def connection_made(self, transport):
        self.transport = transport
        self.received = b""
        self.timer = None

    def connection_lost(self, _exc):
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data):
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.received = body[length:]
        if b'"paced"' in body[:length]:
            self.transport.write(HEAD)
            self.tick()
        else:
            self.transport.write(HEAD + CHUNK * 3 + END)

    def tick(self):
        self.transport.write(CHUNK)
        self.timer = asyncio.get_running_loop().call_later(PACE_S, self.tick)


async def double():
    server = await asyncio.get_running_loop().create_server(Double, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Asking(asyncio.Protocol):
    """One connection of the client."""

    def connection_made(self, transport):
        self.transport = transport
        self.heard = b""
        self.first_byte = self.ended = None

    def data_received(self, data):
        self.heard += data
        if not self.first_byte.done() and len(self.heard) > self.heard.find(b"\r\n\r\n") + 4 > 4:
            self.first_byte.set_result(time.perf_counter())
        if not self.ended.done() and self.heard.endswith(END):
            self.ended.set_result(None)

    def connection_lost(self, exc):
        for waiting in (self.first_byte, self.ended):
            if waiting is not None and not waiting.done():
                waiting.set_exception(exc or ConnectionError("closed"))
                waiting.exception()  # seen: somebody waits for at most one of them

    async def first_byte_s(self, request):
        loop = asyncio.get_running_loop()
        self.heard, self.first_byte, self.ended = b"", loop.create_future(), loop.create_future()
        began = time.perf_counter()
        self.transport.write(request)
        arrived = await self.first_byte
        if not self.heard.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(self.heard[:300])
        return arrived - began


async def connection(port):
    return (await asyncio.get_running_loop().create_connection(Asking, "127.0.0.1", port))[1]


def request(model):
    body = json.dumps({"model": model, "stream": True, "messages": HISTORY}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer key\r\nx-session-id: run-{model}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@frozen
class Latency:
    """In milliseconds. `ratio`: through the sidecar to straight, median of the rounds, and their least and most."""

    direct_p50_ms: float
    direct_p99_ms: float
    through_p50_ms: float
    through_p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    requests: int


async def latency(direct_port, through_port):
    sent = request("bench")
    direct, through = await connection(direct_port), await connection(through_port)
    for _ in range(WARM_UP):
        await asked(direct, sent)
        await asked(through, sent)
    rounds = []
    for number in range(ROUNDS):
        pair = [(direct, []), (through, [])]
        for one, times in pair if number % 2 else reversed(pair):
            times.extend([await asked(one, sent) for _ in range(PER_ROUND)])
        rounds.append([times for _, times in pair])
    return told(rounds)


async def asked(one, sent):
    took_s = await one.first_byte_s(sent)
    await one.ended
    return took_s * 1000


def told(rounds):
    straight = sorted(took for direct, _ in rounds for took in direct)
    through = sorted(took for _, way in rounds for took in way)
    ratios = sorted(statistics.median(way) / statistics.median(direct) for direct, way in rounds)
    p50, p99 = len(straight) // 2, len(straight) * 99 // 100
    return Latency(
        straight[p50], straight[p99], through[p50], through[p99], through[p50] - straight[p50], through[p99] - straight[p99],
        statistics.median(ratios), ratios[0], ratios[-1], len(through),
    )  # fmt: skip


@frozen
class Memory:
    streams: int
    kib_each: float
    """Of the sidecar's resident set."""


async def memory(port, pid, streams):
    before = resident_kib(pid)
    opened = [await connection(port) for _ in range(streams)]
    await asyncio.gather(*(one.first_byte_s(request("paced")) for one in opened))
    await asyncio.sleep(2 * PACE_S)
    kib = resident_kib(pid) - before
    if any(one.ended.done() for one in opened):
        raise RuntimeError("a stream ended while it was counted as open")
    for one in opened:
        one.transport.abort()
    await asyncio.sleep(PACE_S)
    return Memory(streams, kib / streams)


def resident_kib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


@contextmanager
def process(*command, core):
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603 - ours
    try:
        os.sched_setaffinity(started.pid, {core})
        yield started
    finally:
        started.terminate()
        started.wait(30)


@asynccontextmanager
async def bench():
    """(port of the double, port of a sidecar, its process id)"""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(process(sys.executable, __file__, "--double", core=cores[-1]))
        port = int(behind.stdout.readline())
        config = folder / "bench.yaml"
        entry = f"base_url: 'http://127.0.0.1:{port}', access_key: key"
        config.write_text(
            f"model_providers:\n  - {{model: openai/bench, {entry}, default: true}}\n  - {{model: openai/paced, {entry}}}\n"
        )
        up = (sys.executable, "-m", "sidecar.cli", "up", str(config), "--port", "0", "--admin-port", "0")
        sidecar = stack.enter_context(process(*up, core=cores[0]))
        line = next(line for line in sidecar.stdout if line.startswith("decisions"))
        yield port, int(line.partition("/routing")[0].rpartition(":")[2]), sidecar.pid


async def measure():
    async with bench() as (direct, through, _):
        found = await latency(direct, through)
    held = []
    for streams in STREAMS:  # a fresh sidecar for each: memory once taken is not given back
        async with bench() as (_, through, pid):
            one = await connection(through)
            for _ in range(WARM_UP):
                await asked(one, request("bench"))
            held.append(await memory(through, pid, streams))
    return found, held


def table(found, held):
    yield f"first byte, {found.requests} requests each    p50 ms   p99 ms"
    yield f"  straight                        {found.direct_p50_ms:8.3f} {found.direct_p99_ms:8.3f}"
    yield f"  through the sidecar             {found.through_p50_ms:8.3f} {found.through_p99_ms:8.3f}"
    yield f"  added                           {found.added_p50_ms:8.3f} {found.added_p99_ms:8.3f}"
    yield f"  ratio of medians                {found.ratio:8.2f} ({found.ratio_low:.2f} to {found.ratio_high:.2f} by round)"
    for one in held:
        yield f"open streams: {one.streams:4}   {one.kib_each:6.1f} KiB of the sidecar's resident set each"


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="the same as JSON, after the table")
    parser.add_argument("--double", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.double:
        asyncio.run(double())
        return
    found, held = asyncio.run(measure())
    print("\n".join(table(found, held)))
    if wanted.json:
        print(json.dumps({"latency": asdict(found), "memory": [asdict(one) for one in held]}, indent=2))


if __name__ == "__main__":
    main()

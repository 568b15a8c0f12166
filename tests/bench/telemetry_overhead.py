"""
What telemetry costs: requests per second with everything told, and with nothing.

    python tests/bench/telemetry_overhead.py [--quick] [--json]      three minutes; --quick, 40 seconds

One sidecar for each column, all started at once on a core of their own, which one at a time has to itself: every round
asks each of them for a second, in turns that go back and forth, so that whatever else the machine does meets all alike.
On the other core are the load and a provider double that answers canned bytes.

    nothing      the baseline: the same program composed without telemetry (untold.py)
    defaults     metrics, the last minutes for the console, the event loop's lag, usage read from answers
    everything   likewise, and the access log as JSON into a file
    1 % traced   the defaults, and spans of that share of requests to a local receiver; and of all requests

    decision     POST /routing/v1/chat/completions of a pinned session, as fast as they are answered (wrk)
    reply        POST /v1/chat/completions of a pinned session, a small answer in JSON (wrk)
    stream       likewise, 50 events, one every few milliseconds, for some clients at once

A stream must come in pieces to cost what it costs, so nobody can hurry it: its rate is that of the sidecar's own time on
its core. A ratio is taken within a round; shown are the medians of the rounds, and quarters of them on either side. A
round counts only when nobody else was on the sidecar's core and the load was enough to fill it.

It needs wrk (Debian: apt-get install wrk) and two cores with nothing else to do.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from attrs import asdict, define, field, frozen

GOAL = 0.05
"""Of the requests per second may be lost."""
SECONDS = 1
"""How long a column is asked in each round; wrk counts in whole ones."""
CONNECTIONS = 16
STREAMS = 20
STREAMS_EACH = 5
EVENTS = 50
PACE_S = 0.004
"""Between two events of a stream."""
STARVED = 0.03
"""More of a round than this spent waiting for the core, and somebody else was on it."""
FILLED = 0.95
"""Less of a round than this spent at work, and the load was not enough."""
APART = 0.95
"""Less of a stream's events than this came by themselves, and the sidecar did not keep up."""
FEW = 3
"""Rounds must count for a ratio to be judged."""

SAID = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "bench-2026-01-01"}
COST = {"usage": {"prompt_tokens": 20, "completion_tokens": EVENTS, "prompt_tokens_details": {"cached_tokens": 10}}}
WORD = {"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def event(said):
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    data = b"data: %b\n\n" % text
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(body, kind):
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
WORDS = event({**SAID, **WORD})
LAST = event({**SAID, **STOP})
USAGE = event({**SAID, "choices": [], **COST})
DONE = event(b"[DONE]")
MESSAGE = {"index": 0, "message": {"role": "assistant", "content": "word " * EVENTS}, "finish_reason": "stop"}
REPLY = whole(json.dumps({**SAID, "choices": [MESSAGE], **COST}).encode(), b"application/json")
TAKEN = whole(b"", b"application/x-protobuf")


# The other end: a provider, and a receiver of spans


class Double(asyncio.Protocol):
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
        if head.startswith(b"POST /v1/traces"):
            self.transport.write(TAKEN)
        elif b'"stream":true' in body:
            self.transport.write(HEAD)
            self.tick(EVENTS, USAGE if b'"include_usage":true' in body else b"")
        else:
            self.transport.write(REPLY)

    def tick(self, left, usage):
        if left:
            self.transport.write(WORDS)
            self.timer = asyncio.get_running_loop().call_later(PACE_S, self.tick, left - 1, usage)
        else:
            self.transport.write(LAST + usage + DONE + END)


async def double():
    server = await asyncio.get_running_loop().create_server(Double, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# The load


HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer key", "X-Session-Id": "bench"}


@frozen
class Row:
    name: str
    path: str
    stream: bool = False

    @property
    def body(self):
        ask = {"model": "bench", "messages": [{"role": "user", "content": "Write a function that reverses a list"}]}
        return json.dumps(ask | ({"stream": True} if self.stream else {}), separators=(",", ":"))


ROWS = (
    Row("decision", "/routing/v1/chat/completions"),
    Row("reply", "/v1/chat/completions"),
    Row("stream", "/v1/chat/completions", stream=True),
)

LUA = """
wrk.method, wrk.body = "POST", {body}
{headers}
done = function(summary)
  local e = summary.errors
  io.write(summary.requests, " ", e.connect + e.read + e.write + e.status + e.timeout, "\\n")
end
"""


def script(row):
    headers = "\n".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in HEADERS.items())
    return LUA.format(body=json.dumps(row.body), headers=headers)


def hurried(port, row, folder):
    """As many requests as are answered in SECONDS: how many that was."""
    lua = folder / f"{row.name}.lua"
    lua.write_text(script(row))
    wrk = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(lua), f"http://127.0.0.1:{port}{row.path}")
    said = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    answered, errors = map(int, said.splitlines()[-1].split())
    if errors:
        raise RuntimeError(f"{row.name}: {errors} of {answered} requests failed")
    return answered


class Reading(asyncio.Protocol):
    """Reads one stream after the other, over one connection."""

    def __init__(self, request, count):
        self.request, self.left = request, count
        self.heard, self.pieces = b"", 0
        self.through = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        self.heard += data
        if not self.heard.endswith(END):
            return
        if not self.heard.startswith(b"HTTP/1.1 200") or b"[DONE]" not in self.heard:
            self.through.set_exception(RuntimeError(self.heard[:300]))
            return
        self.pieces += self.heard.count(b"\n\n\r\n")  # two events in one piece have one of these between them
        self.heard, self.left = b"", self.left - 1
        if self.left:
            self.transport.write(self.request)
        else:
            self.transport.close()
            self.through.set_result(self.pieces)

    def connection_lost(self, exc):
        if not self.through.done():
            self.through.set_exception(exc or ConnectionError("closed"))


async def paced(port, row):
    """A few streams for each of some clients: how many that was, and what share of their events came in pieces apart."""
    head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    length = len(row.body)
    request = f"POST {row.path} HTTP/1.1\r\nHost: bench\r\n{head}Content-Length: {length}\r\n\r\n{row.body}".encode()
    loop = asyncio.get_running_loop()
    reading = []
    for _ in range(STREAMS):
        reading.append((await loop.create_connection(lambda: Reading(request, STREAMS_EACH), "127.0.0.1", port))[1])
        await asyncio.sleep(PACE_S / STREAMS)  # not all in step
    pieces = await asyncio.gather(*(one.through for one in reading))
    streams = STREAMS * STREAMS_EACH
    return streams, sum(pieces) / (streams * EVENTS)


# What is measured


@frozen
class Clocks:
    """Of a sidecar, in seconds: its time on the core, that of its main thread, how long that one waited for it."""

    wall_s: float
    cpu_s: float
    main_s: float
    waited_s: float

    @classmethod
    def of(cls, pid):
        main_ns, waited_ns, _ = map(int, Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split())
        cpu_s = time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3)
        return cls(time.monotonic(), cpu_s, main_ns / 1e9, waited_ns / 1e9)


@frozen
class Measured:
    """One column of one row in one round."""

    rate: float
    """Requests per second."""
    cpu_us: float
    """Per request, on the sidecar's core."""
    filled: float
    """Of the time, at work."""
    starved: float
    """Of the time, ready to work while somebody else was on the core; waiting for its own threads is not that."""

    apart: float = 1.0
    """Of a stream's events, how many came by themselves: those that come together cost less."""

    @classmethod
    def between(cls, before, after, requests, apart=1.0):
        wall_s, cpu_s = after.wall_s - before.wall_s, after.cpu_s - before.cpu_s
        others_s = cpu_s - (after.main_s - before.main_s)
        waited_s = max(0.0, after.waited_s - before.waited_s - others_s)
        each_s = cpu_s / max(requests, 1)  # none at all: everybody was starved, and the round does not count
        return cls(requests / wall_s, each_s * 1e6, cpu_s / wall_s, waited_s / wall_s, apart)

    def counts(self, row):
        return (
            self.rate > 0 and self.starved < STARVED and (self.apart >= APART if row.stream else self.filled >= FILLED)
        )

    def worth(self, row):
        """What is compared: requests per second; of streams, per second of the core."""
        return 1e6 / self.cpu_us if row.stream else self.rate


@frozen
class Spread:
    """Median and quarters."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


def ratios(base, other):
    """Of each round, where `base` and `other` have the same rounds."""
    return Spread.of([theirs / ours for ours, theirs in zip(base, other, strict=True)])


@frozen
class Column:
    name: str
    watched: bool = True
    telemetry: str = ""
    sampled: float | None = None
    judged: bool = False


COLUMNS = (
    Column("nothing", watched=False, telemetry="inject_usage: false"),
    Column("defaults", judged=True),
    Column("everything", telemetry="access_log: {folder}/access.log", judged=True),
    Column("1 % traced", sampled=1),
    Column("all traced", sampled=100),
)

CONFIG = """
version: v0.4.0
model_providers:
  - {{model: openai/bench, base_url: 'http://127.0.0.1:{port}', access_key: key, default: true}}
  - {{model: openai/other, base_url: 'http://127.0.0.1:{port}', access_key: key}}
routing_preferences:
  - {{name: code_generation, description: writing and changing program code, models: [openai/bench, openai/other]}}
  - {{name: complex_reasoning, description: comparing options and analysing trade-offs, models: [openai/other]}}
"""


def config(column, folder, port):
    text = CONFIG.format(port=port)
    if column.telemetry:
        text += f"telemetry: {{{column.telemetry.format(folder=folder)}}}\n"
    if column.sampled is not None:
        text += f"tracing: {{random_sampling: {column.sampled}, endpoint: 'http://127.0.0.1:{port}/v1/traces'}}\n"
    path = folder / f"{column.name.replace(' ', '-').replace('%', 'percent')}.yaml"
    path.write_text(text)
    return path


@define
class Sidecar:
    column: Column
    pid: int
    port: int
    measured: list[Measured] = field(factory=list)


@contextmanager
def process(*command, core):
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # it begins there, with all the threads it will have
    try:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
    finally:
        os.sched_setaffinity(0, here)
    try:
        yield started
    finally:
        started.terminate()
        with suppress(subprocess.TimeoutExpired):
            started.wait(10)
        started.kill()
        started.stdout.close()


def sidecar(column, folder, port, core, stack):
    program = ("-m", "sidecar.cli", "up") if column.watched else (str(Path(__file__).parent / "untold.py"),)
    where = (str(config(column, folder, port)), "--port", "0", "--admin-port", "0")
    started = stack.enter_context(process(sys.executable, *program, *where, core=core))
    line = next((line for line in started.stdout if line.startswith("decisions")), None)
    if line is None:
        raise RuntimeError(f"the sidecar of `{column.name}` did not start")
    return Sidecar(column, started.pid, int(line.partition("/routing")[0].rpartition(":")[2]))


def ask(one, row, folder):
    before = Clocks.of(one.pid)
    count, apart = asyncio.run(paced(one.port, row)) if row.stream else (hurried(one.port, row, folder), 1.0)
    return Measured.between(before, Clocks.of(one.pid), count, apart)


def measure(columns, rounds, rows=ROWS):
    """{row: {column: [Measured, a round each]}}"""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.sched_setaffinity(0, {cores[-1]})
        behind = stack.enter_context(process(sys.executable, __file__, "--double", core=cores[-1]))
        port = int(behind.stdout.readline())
        asked = [sidecar(column, folder, port, cores[0], stack) for column in columns]
        found = {}
        for row in rows:
            found[row.name] = {one.column.name: [] for one in asked}
            for one in asked:
                ask(one, row, folder)  # warm
            for number in range(rounds):
                for one in asked if number % 2 else reversed(asked):
                    found[row.name][one.column.name].append(ask(one, row, folder))
    return found


# What it comes to


@frozen
class Cell:
    """Of one column of one row. `ratio`: of its rate to the baseline's; None where nothing can be said."""

    rate: Spread
    cpu_us: float
    ratio: Spread | None
    rounds: int
    """That count, in which neither this column nor the baseline was disturbed."""

    def verdict(self):
        if self.ratio is None:
            return "not judged: the core was not the sidecar's own, or the load was not enough"
        if self.ratio.low >= 1 - GOAL:
            return "holds"
        return "does not hold" if self.ratio.high < 1 - GOAL else "too close, or too noisy, to say"


def summed(row, base, other):
    good = [(a, b) for a, b in zip(base, other, strict=True) if a.counts(row) and b.counts(row)]
    pairs = [(a.worth(row), b.worth(row)) for a, b in good or list(zip(base, other, strict=True))]
    ratio = ratios([a for a, _ in pairs], [b for _, b in pairs]) if len(good) >= min(FEW, len(base)) else None
    return Cell(Spread.of([b for _, b in pairs]), statistics.median(b.cpu_us for b in other), ratio, len(good))


def table(found):
    for row in ROWS:
        if row.name not in found:
            continue
        base = found[row.name]["nothing"]
        unit = "streams per second of the core" if row.stream else "requests per second"
        yield f"{row.name:12}{unit:>31}   µs each   added   ratio, and its quarters   rounds"
        for column in COLUMNS:
            if column.name in found[row.name]:
                yield line(column, summed(row, base, found[row.name][column.name]), summed(row, base, base).cpu_us)


def line(column, cell, base_us):
    rate = f"{cell.rate.middle:9.0f} ({cell.rate.low:.0f} to {cell.rate.high:.0f})"
    said = f"  {column.name:12}{rate:>29}  {cell.cpu_us:8.1f}  {cell.cpu_us - base_us:+6.1f}"
    if cell.ratio is not None:
        said += f"   {cell.ratio.middle:.3f} ({cell.ratio.low:.3f} to {cell.ratio.high:.3f})   {cell.rounds:6}"
    return f"{said}   {cell.verdict()}" if column.judged else said


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, no traces: 40 seconds")
    parser.add_argument("--json", action="store_true", help="every round as JSON, after the table")
    parser.add_argument("--double", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.double:
        asyncio.run(double())
        return
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two cores are needed: one for the sidecar alone")
    found = measure(COLUMNS[:3], 3) if wanted.quick else measure(COLUMNS, 10)
    print("\n".join(table(found)))
    print(f"The goal: less than {GOAL:.0%} of the requests per second is lost.")
    if wanted.json:
        print(json.dumps({row: {name: [asdict(one) for one in each] for name, each in columns.items()}
                          for row, columns in found.items()}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()

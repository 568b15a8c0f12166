"""
How many bytecodes of Python a request costs the sidecar: a count, so that a busy machine changes nothing about it.

The sidecar, a provider and a client share one event loop; what the last two do is left out. So is what telemetry does of
many requests at once (`Telling.catch_up`): when it does that is up to the clock, and `instructions.py` has it. Counted is
everything else that runs between a request's first byte and its answer's last one, libraries too, but only what is
written in Python. Told is the cheapest of several requests of one pinned session: a timer that falls into one of them is
no part of it.

The count depends on the interpreter's minor version, as the compiler does, and on nothing else.
"""

import asyncio
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from attrs import define, evolve, field

from sidecar.config import read_text
from sidecar.server import serve
from sidecar.telemetry.telling import Telling

from . import traffic
from .candidates import JSON, Ask
from .traffic import Wire

PATHS = {"decision": "/routing/v1/chat/completions", "reply": traffic.PATHS[Wire.CHAT]}
"""Works by name: a decision of a pinned session, and a plain reply through its provider."""
WARMING, COUNTED = 30, 12
"""Requests: caches, and what is made at first use, are there after the first of them."""
LATER = Telling.catch_up.__code__
CONFIG = """
model_providers:
  - {{model: openai/gpt-4o-mini, base_url: 'http://127.0.0.1:{port}/v1', access_key: sk-bench, default: true}}
  - {{model: openai/gpt-4o, base_url: 'http://127.0.0.1:{port}/v1', access_key: sk-bench}}
routing_preferences:
  - name: code_generation
    description: generating new code, writing functions, or creating boilerplate
    models: [openai/gpt-4o-mini, openai/gpt-4o]
"""
BODY = traffic.reply(Wire.CHAT)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\nx-request-id: bench\r\n\r\n%b" % (len(BODY), BODY)
)


@define
class Cost:
    """
    Of what this thread runs inside `with Cost() as cost`. `bytecodes`: {(code, line): how many}; `calls`: {code: how often
    it was called or resumed}. What traced before (a debugger, coverage) does so again afterwards.
    """

    bytecodes: Counter = field(factory=Counter)
    calls: Counter = field(factory=Counter)
    _before: object = None

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._called)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _called(self, frame, _event, _arg):
        if not told_of(frame):
            return None
        frame.f_trace = self._ran  # before the next line: Python 3.12 watches the opcodes of those only that have one
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        self.calls[frame.f_code] += 1
        return self._ran

    def _ran(self, frame, event, _arg):
        if event == "opcode":
            self.bytecodes[frame.f_code, frame.f_lineno] += 1
        return self._ran

    @property
    def total(self):
        return self.bytecodes.total()

    def functions(self):
        """[(bytecodes, calls, code)], the dearest first."""
        found = Counter()
        for (code, _), count in self.bytecodes.items():
            found[code] += count
        return [(count, self.calls[code], code) for code, count in found.most_common()]


def told_of(frame):
    if frame.f_code.co_filename == __file__:
        return False
    while frame is not None:
        if frame.f_code is LATER:
            return False
        frame = frame.f_back
    return True


class Provider(asyncio.Protocol):
    """Answers each request, which comes in one piece, with ANSWER."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, _data):
        self.transport.write(ANSWER)


class Client(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if blank and len(body) >= int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            self.answered.set_result(self.received)

    async def asked(self, request):
        self.received, self.answered = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answered


@asynccontextmanager
async def sidecar():
    """The port of a sidecar with a provider, both on this event loop."""
    loop = asyncio.get_running_loop()
    provider = await loop.create_server(Provider, "127.0.0.1", 0)
    text = CONFIG.format(port=provider.sockets[0].getsockname()[1])
    config = read_text(text, "bench.yaml", {}).config
    config = evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=0))
    async with provider, serve(config) as serving:
        yield serving.listener[1]


async def cost(port, path):
    """The Cost of the cheapest of COUNTED requests."""
    request = Ask(port, path, JSON | {"X-Session-Id": "bench"}, traffic.request("gpt-4o-mini"), ()).request
    transport, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    for _ in range(WARMING):
        answer = await client.asked(request)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"answers {answer[:200]!r}")
    found = []
    for _ in range(COUNTED):
        with Cost() as one:
            await client.asked(request)
        found.append(one)
    transport.abort()
    return min(found, key=lambda one: one.total)


async def _costs():
    async with sidecar() as port:
        return {name: await cost(port, path) for name, path in PATHS.items()}


def costs():
    """{work: Cost}, in about a second."""
    return uvloop.run(_costs())


def lines(name, one, functions, dearest):
    """Of a Cost: its sum, so many `functions` that cost most, and so many lines."""
    yield f"{name}: {one.total:,} bytecodes, {one.calls.total()} calls"
    for count, calls, code in one.functions()[:functions]:
        yield f"  {count:7,} {calls:5}  {short(code.co_filename)} {code.co_qualname}"
    for (code, line), count in one.bytecodes.most_common(dearest):
        yield f"  {count:7,}  {short(code.co_filename)}:{line} {code.co_qualname}"


def short(path):
    """From the package on."""
    parts = Path(path).parts
    return "/".join(next((parts[at:] for at, part in enumerate(parts) if part in ("sidecar", "site-packages")), parts))

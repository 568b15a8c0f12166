"""The programs of a soak: providers, the sidecar, and its configurations. Each is ended by its process id."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import aiohttp
from attrs import define, field
from ports import free_port
from redis_servers import redis_server

HERE = Path(__file__).parent
PLACES = {"openai/alpha": None, "anthropic/beta": None, "openai/gamma": None, "custom/delta": "responses"}
"""Models, and the interface where the name does not tell it."""
ROUTES = (
    ("code", "generating new code, writing functions", ["anthropic/beta", "openai/alpha"]),
    ("reasoning", "complex reasoning, analysis of trade-offs", ["openai/gamma", "anthropic/beta"]),
    ("translation", "translating text between languages", ["custom/delta", "openai/alpha"]),
    ("summaries", "summarizing texts and meeting notes", ["openai/dead", "openai/gamma"]),
)
DEAD = "openai/dead"
"""A model whose port nobody listens on: its session's first choice is always refused."""
START_S = 30
SOAK = {"session_max_entries": 20_000}
"""Of `routing`, for a soak: pins that live for a minute or so, and no end to their number."""
SOAK_TTL_S = (60, 80)


def config(ports, folder, *, version=0, redis=None, **more):
    """The configuration as JSON, which is YAML. Odd versions have other routes, times to live and keys."""
    odd = version % 2
    (folder / "key").write_text(("soak-key-one", "soak-key-two")[odd])
    providers = [_provider(model, port) for model, port in ports.items()]
    routes = [_route(*route, odd=odd) for route in ROUTES if route[2][0] in ports]
    cache = {"type": "redis", "url": redis} if redis else {"snapshot": str(folder / "pins"), "snapshot_interval": "2s"}
    routing = {"session_ttl_seconds": (300, 400)[odd], "session_max_entries": 2000, "session_cache": cache}
    said = {
        "model_providers": providers,
        "routing_preferences": routes,
        "routing": {**routing, **more.pop("routing", {})},
        "outlier_detection": {"base_ejection_time": "1s", "max_ejection_time": "2s"},
        "telemetry": {"access_log": str(folder / "access.log"), **more.pop("telemetry", {})},
        "drain": {"timeout_seconds": 20},
        **more,
    }
    return json.dumps(said, indent=1)


def _provider(model, port):
    waits = {"connect": "2s", "first_byte": "3s", "idle": "2s"}
    said = {"model": model, "base_url": f"http://127.0.0.1:{port}", "access_key_file": "key", "timeouts": waits}
    if PLACES.get(model):
        said["provider_interface"] = PLACES[model]
    return {**said, "default": model == "openai/alpha"}


def _route(name, description, models, *, odd):
    said = {
        "name": name,
        "description": description,
        "models": models if name == "summaries" else models[:: -1 if odd else 1],
    }
    return {**said, "examples": ["Give me the gist of this report"]} if odd and name == "summaries" else said


@define
class Process:
    """One program. `log`: what it says on standard error."""

    words: list
    log: Path
    environ: dict = field(factory=dict)
    before: object = None
    process: asyncio.subprocess.Process = None

    @property
    def pid(self):
        return self.process.pid

    async def start(self, word):
        """Until a line of its standard output begins with `word`."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *map(str, self.words), env={"PATH": os.environ["PATH"], **self.environ},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, preexec_fn=self.before,
                cwd=HERE.parents[1],
            )  # fmt: skip
        async with asyncio.timeout(START_S):
            while line := (await self.process.stdout.readline()).decode():
                if line.startswith(word):
                    return self
        raise AssertionError(f"{self.words} ended: {self.log.read_text()[-2000:]}")

    async def end(self, sign=signal.SIGTERM):
        """Its exit code."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(sign)
            try:
                async with asyncio.timeout(40):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        return self.process.returncode if self.process is not None else None


@define
class Sidecar:
    """The sidecar on two ports of its own, whichever process that is."""

    folder: Path
    stack: object
    port: int = field(factory=free_port)
    admin: int = field(factory=free_port)
    process: Process = None
    past: list = field(factory=list)
    full_at: dict = field(factory=dict)
    """Process id -> when its caches were full, by the monotonic clock."""
    environ: dict = field(factory=dict)
    before: object = None
    http: aiohttp.ClientSession = None

    @property
    def log(self):
        return self.folder / "sidecar.log"

    @property
    def pid(self):
        return self.process.pid

    def write(self, text):
        """As an editor does: another file, renamed."""
        other = self.folder / "config.new"
        other.write_text(text)
        other.rename(self.folder / "config.yaml")

    async def start(self, *arguments):
        if self.http is None:
            self.http = await self.stack.enter_async_context(
                aiohttp.ClientSession(
                    f"http://127.0.0.1:{self.admin}", connector=aiohttp.TCPConnector(force_close=True)
                )
            )
        ports = ("--port", self.port, "--admin-port", self.admin)
        words = [HERE / "watched.py", self.folder, "up", self.folder / "config.yaml", *ports, *arguments]
        process = Process(words, self.log, self.environ, self.before)
        self.stack.push_async_callback(process.end)
        await process.start("sessions")
        self.past.append(process)
        self.process = process
        return self

    async def ask(self, path, method="GET"):
        """(status, text), from the admin port."""
        async with self.http.request(method, path) as answer:
            return answer.status, await answer.text()

    async def counts(self):
        """What the process itself counts: see `watched`."""
        reader, writer = await asyncio.open_unix_connection(str(self.folder / f"{self.pid}.sock"))
        try:
            return json.loads(await reader.read())
        finally:
            writer.close()

    def flaws(self):
        """What its log holds that none should."""
        lines = self.log.read_text().splitlines()
        return [
            line for line in lines if any(word in line for word in FLAWS) and not any(word in line for word in MEANT)
        ]


FLAWS = (
    "Traceback",
    "never retrieved",
    "never awaited",
    "Exception ignored",
    "was destroyed",
    "unhandled",
    " ERROR ",
    " CRITICAL ",
)
MEANT = ("the new configuration is refused", "model_providers must be a list")
"""What it says of the bad configurations that it is given on purpose."""


async def providers(stack, folder, models=tuple(PLACES)):
    """{model: port} of a process of doubles, and that process."""
    ports = {model: free_port() for model in models}
    process = Process([HERE / "provider.py", *ports.values()], folder / "provider.log")
    stack.push_async_callback(process.end)
    await process.start("ready")
    return ports, process


async def told(port):
    """What a double counted."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/told") as answer:
        return json.loads(await answer.read())


def redis(stack, folder):
    """A Redis that keeps what it was told through a SIGKILL."""
    return stack.enter_context(redis_server(folder / "redis", "--appendonly", "yes", "--appendfsync", "always"))


async def until(true, what, patience_s=20.0):
    """Waits for `true()`, which may be awaitable. Raises with `what` was waited for."""
    end = time.monotonic() + patience_s
    while True:
        found = true()
        if await found if asyncio.iscoroutine(found) else found:
            return
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain: {what}")
        await asyncio.sleep(0.05)

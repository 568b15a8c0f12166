"""
What clients see when the Redis behind two sidecars fails: real servers, real faults. With -s it prints the table.

Every session is asked about with a prompt that, routed anew, would give it another model.
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager

import pytest
from attrs import define, evolve, field, frozen
from ports import free_port
from redis_servers import cluster, redis_server, sentinels
from running import CODE, CONFIG, REASONING, chat

KNOWN, NEW, TURNS, AT_ONCE = 30, 20, 4, 5
PASSWORD = "correct"
COMMAND_TIMEOUT_S = 0.25
SLACK_S = 0.9
"""What a busy machine may add to a request."""


@define
class Redis:
    """One that fails when told to, and is well again."""

    url: str
    fail: Callable[[], object]
    mend: Callable[[], object]
    more: dict = field(factory=dict)
    """Keys of `session_cache`."""


@define
class Seen:
    """What clients saw while it failed."""

    requests: int = 0
    errors: int = 0
    worst_s: float = 0.0
    kept: int = 0
    """Sessions from before the fault that had their model at each request in it."""
    made_kept: int = 0
    """Sessions that began in the fault and had one model, in it and after it."""
    shared: int = 0
    """Of both, those for which the other sidecar has the same model afterwards."""


@contextmanager
def one(folder, fail, mend, *options, **more):
    with redis_server(folder, *options, **more) as server:
        yield Redis(server.url, lambda: fail(server), lambda: mend(server))


def killed(folder):
    return one(folder, lambda server: server.kill(), lambda server: server.start())


def restarted_before_anybody_looks(folder):
    return one(folder, lambda server: (server.kill(), server.start()), nothing)


def frozen_process(folder):
    return one(folder, lambda server: server.freeze(), lambda server: server.thaw())


def paused(folder):
    return one(folder, lambda server: server.cli("CLIENT", "PAUSE", "1500", "ALL"), nothing)


def full(folder):
    return one(
        folder,
        lambda server: server.cli("CONFIG", "SET", "maxmemory", "1mb"),
        lambda server: server.cli("CONFIG", "SET", "maxmemory", "0"),
        "--maxmemory-policy",
        "noeviction",
    )


@contextmanager
def wrong_password(folder):
    def rotate(server, password):
        server.cli("CONFIG", "SET", "requirepass", password)
        server.password = password
        server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")

    more = ("--requirepass", PASSWORD)
    with redis_server(folder, *more, password=PASSWORD) as server:
        again, other = (lambda: rotate(server, PASSWORD)), (lambda: rotate(server, "another"))
        yield Redis(server.url, other, again, {"password": PASSWORD})


def nothing(_server=None):
    """It cannot be mended, or mends itself."""


@contextmanager
def silent(_folder):
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Redis(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", nothing, nothing)


@contextmanager
def black_hole(_folder):
    """An address that answers no SYN: its queue of connections is full."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - its only argument
            waiting.connect_ex(listening.getsockname())
        yield Redis(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", nothing, nothing)


@contextmanager
def refused(_folder):
    """Nobody listens."""
    yield Redis(f"redis://127.0.0.1:{free_port()}/0", nothing, nothing)


@contextmanager
def failing_over(folder):
    with sentinels(folder) as watched:
        yield Redis(watched.url, lambda: watched.master().kill(), nothing)


@contextmanager
def cluster_node_lost(folder):
    with cluster(folder) as servers:
        yield Redis(servers.url, servers.nodes[0].kill, servers.nodes[0].start)


@frozen
class Fault:
    name: str
    made: Callable
    comes_back: bool = True
    more: dict = field(factory=dict)
    """Keys of `session_cache`."""


FAULTS = (
    Fault("kill -9, then started empty", killed),
    Fault("restarted empty, unnoticed", restarted_before_anybody_looks),
    Fault("SIGSTOP, then SIGCONT", frozen_process),
    Fault("CLIENT PAUSE", paused),
    Fault("full: maxmemory, noeviction", full),
    Fault("wrong password", wrong_password),
    Fault("nobody listens", refused, comes_back=False),
    Fault("connects, never answers", silent, comes_back=False),
    Fault("black hole", black_hole, comes_back=False),
    Fault("Sentinel fails over", failing_over),
    Fault("Cluster loses a node", cluster_node_lost),
)
WITH_COPIES = [
    evolve(fault, name=f"{fault.name}, copies", more={"copies": 1000})
    for fault in FAULTS
    if fault.made in {killed, restarted_before_anybody_looks, frozen_process, paused, full, failing_over}
]


def config(redis):
    cache = {
        "type": "redis",
        "url": redis.url,
        "command_timeout": f"{COMMAND_TIMEOUT_S * 1000:.0f}ms",
        "connect_timeout": "200ms",
        "breaker": {"failures": 3, "cooldown_seconds": 0.2},
        **redis.more,
    }
    return f"{CONFIG}\nrouting: {json.dumps({'session_cache': cache})}\n"


class Clients:
    """Sessions of one sidecar, and what they see."""

    def __init__(self, sidecar):
        self.sidecar = sidecar
        self.models = {}
        self.seen = Seen()

    async def ask(self, session, prompt, sidecar=None):
        """The model, or None for whatever is no decision."""
        began = time.monotonic()
        status, body, _ = await (sidecar or self.sidecar).decide(chat(prompt), x_session_id=session)
        self.seen.worst_s = max(self.seen.worst_s, time.monotonic() - began)
        self.seen.requests += 1
        self.seen.errors += status != 200
        self.models.setdefault(session, set()).add(body.get("model"))

    async def converse(self, name, count, turns, *, first=0):
        """`count` sessions, some at once, each with turns that change their subject."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(n):
            async with gate:
                for turn in range(first, first + turns):
                    await self.ask(f"{name}{n}", (CODE, REASONING)[(n + turn) % 2])

        await asyncio.gather(*map(one, range(count)))

    def with_one_model(self, name):
        return sum(len(models) == 1 for session, models in self.models.items() if session.startswith(name))


async def settled(sidecar):
    for _ in range(1000):
        async with sidecar.client.get(f"{sidecar.admin}/ready?verbose") as answer:
            if "[+] store: redis, up\n" in await answer.text():
                return
        await asyncio.sleep(0.01)
    raise AssertionError("the store did not come back")


@pytest.fixture(scope="module")
def table():
    rows = []
    yield rows
    if rows:
        head = ("fault", "requests", "errors", "worst ms", "pins kept", "made in it", "shared after it")
        print(f"\n{head[0]:30}" + "".join(f"{word:>16}" for word in head[1:]))  # noqa: T201 - asked for with -s
        for row in rows:
            print(f"{row[0]:30}" + "".join(f"{word:>16}" for word in row[1:]))  # noqa: T201 - likewise


@pytest.mark.parametrize("fault", [*FAULTS, *WITH_COPIES], ids=lambda fault: fault.name)
async def test_no_client_sees_that_the_store_fails(fault, start, tmp_path, table):
    with fault.made(tmp_path) as redis:
        redis.more |= fault.more
        sidecar, other = await start(config(redis)), await start(config(redis))
        clients = Clients(sidecar)
        if fault.comes_back:
            await settled(sidecar)
        await clients.converse("known", KNOWN, 1)
        clients.seen = seen = Seen() if fault.comes_back else clients.seen
        await asyncio.to_thread(redis.fail)
        await asyncio.gather(clients.converse("known", KNOWN, TURNS, first=1), clients.converse("new", NEW, TURNS))
        row = (seen.requests, seen.errors, f"{seen.worst_s * 1000:.0f}")
        await asyncio.to_thread(redis.mend)
        if fault.comes_back:
            await settled(sidecar)
            await settled(other)
            # Twice: on a machine that is slow, one answer of the store may come too late to be waited for.
            await clients.converse("known", KNOWN, 2, first=2)
            await clients.converse("new", NEW, 2, first=1)
            seen.shared = await _shared(clients, other)
        seen.kept, seen.made_kept = clients.with_one_model("known"), clients.with_one_model("new")
    shared = f"{seen.shared} of {KNOWN + NEW}" if fault.comes_back else "-"
    table.append((fault.name, *row, f"{seen.kept} of {KNOWN}", f"{seen.made_kept} of {NEW}", shared))

    assert seen.errors == 0
    assert seen.worst_s < COMMAND_TIMEOUT_S + SLACK_S
    assert (seen.kept, seen.made_kept) == (KNOWN, NEW)
    assert seen.shared == (KNOWN + NEW if fault.comes_back else 0)


async def _shared(clients, other):
    """Sessions for which the other sidecar, which never saw them, has the same model."""
    before = {session: set(models) for session, models in clients.models.items()}
    shared = Clients(other)
    for n, session in enumerate(before):
        await shared.ask(session, (REASONING, CODE)[n % 2])
    return sum(shared.models[session] == models for session, models in before.items())

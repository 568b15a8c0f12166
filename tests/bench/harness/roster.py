"""Everything that is measured, started one after the other, each on the core that is measured."""

from contextlib import ExitStack, contextmanager

from attrs import define, field

from . import installing
from .candidates import Here, Unavailable
from .clocks import resident_bytes
from .gateways import ClaudeCodeRouter, LiteLLM, Portkey, Switchyard, TensorZero
from .proxies import Direct, Envoy, HAProxy, Hello, Nginx, Textbook
from .rows import DIRECT, REDIS, SESSIONS, SIDECAR
from .sidecars import Sidecar
from .starting import NotStarted, Running, free_port, spawned, started

ALL = (Envoy, Nginx, HAProxy, Textbook, Hello, LiteLLM, Portkey, TensorZero, ClaudeCodeRouter, Switchyard)


@define
class Program:
    """One of them. `missing`: why it cannot be measured."""

    candidate: object
    running: Running | None = None
    missing: str = ""
    facts: dict[str, float] = field(factory=dict)
    """`ready_s`, `idle_bytes`, `installed_bytes`, where they are known."""


def made(names, redis_port):
    """Candidates by name."""
    found = {one.name: one() for one in ALL}
    found[SIDECAR] = Sidecar(SIDECAR)
    found[REDIS] = Sidecar(REDIS, store=f"type: redis, url: 'redis://127.0.0.1:{redis_port}'")
    found |= {name: Sidecar(name, sessions=count) for name, count in SESSIONS.items()}
    return {name: found[name] for name in names if name in found}


def install(candidates, cache):
    """{name: why not} of those that cannot be had."""
    missing = {}
    for name, candidate in candidates.items():
        try:
            candidate.install(cache)
        except Unavailable as exc:
            missing[name] = str(exc)
    return missing


@contextmanager
def programs(candidates, missing, here, cores):
    """{name: Program}, all that start, started."""
    with ExitStack() as stack:
        found = {DIRECT: Program(Direct(here.providers), Running(-1, here.providers.plain, 0.0))}
        for number, (name, candidate) in enumerate(candidates.items()):
            found[name] = program = Program(candidate, missing=missing.get(name, ""))
            if program.missing:
                continue
            folder = here.folder / f"program-{number}"
            folder.mkdir()
            try:
                _start(program, Here(folder, here.providers, here.cache), cores.measured, stack)
            except (NotStarted, Unavailable, OSError) as exc:
                program.missing = f"did not start: {exc}"
        yield found


def _start(program, here, core, stack):
    candidate = program.candidate
    program.running = stack.enter_context(started(candidate.command(here), core, here.folder))
    candidate.settle(program.running.port)
    program.facts["ready_s"] = program.running.ready_s
    program.facts["idle_bytes"] = resident_bytes(program.running.group)
    if (folder := candidate.install(here.cache)) is not None:
        program.facts["installed_bytes"] = installing.size_bytes(folder)


@contextmanager
def redis(core, folder):
    """(port, process group) of a Redis server of our own, on the load's core."""
    port = free_port()
    argv = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    with spawned((*argv, "--dir", str(folder)), core) as process:
        yield port, process.pid

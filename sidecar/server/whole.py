"""A sidecar of several workers, as its parent puts it together."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from attrs import evolve, frozen

from sidecar.admin.answers import Group
from sidecar.admin.app import AdminApp
from sidecar.admin.dump import ConfigDump, InForce
from sidecar.admin.guard import Guard
from sidecar.admin.listeners import Bound
from sidecar.admin.process import Orders
from sidecar.admin.reload import Reload
from sidecar.admin.state import State
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Secret
from sidecar.errors import SidecarError
from sidecar.server.changes import files_of, signature, watched
from sidecar.server.reloading import Again, Reloads
from sidecar.server.seat import Seat
from sidecar.server.sharing import reserved
from sidecar.server.sockets import admin_runner, listening
from sidecar.server.stopping import Stop
from sidecar.server.team import Team
from sidecar.server.tls import Tls
from sidecar.server.together import (
    ClustersOfAll,
    ConsoleOfAll,
    HandedOn,
    ListenersOfAll,
    ProcessOfAll,
    ReadinessOfAll,
    StatsOfAll,
)
from sidecar.server.watching import metrics_of
from sidecar.server.worker import Assignment
from sidecar.server.workers import Workers
from sidecar.telemetry import log as logs
from sidecar.telemetry.merge import Merged, reading
from sidecar.telemetry.meter import Metrics

PARENT = "parent"
"""What the label `worker` says of this process."""


@frozen
class Whole:
    """Where it listens, and its processes."""

    listener: tuple[str, int]
    admin: tuple[str, int]
    workers: Workers
    reloads: Reloads


@frozen
class _Parts:
    reloads: Reloads
    state: State
    merged: Merged
    metrics: Metrics
    workers: Workers
    team: Team
    listeners: ListenersOfAll
    tls: Tls


@asynccontextmanager
async def serve_workers(config: Config, stop: Stop, again: Again | None = None) -> AsyncIterator[Whole]:
    """
    As `serve`, with `config.workers` processes that listen; `stop` is asked for when an operator wants it. Raises
    CannotBind, and ConfigError or SidecarError for what workers cannot start with.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder())
        port = stack.enter_context(ExitStack())
        listener = port.enter_context(reserved(config.listener.address, config.listener.port))
        made = _made(config, again, _Assigning(listener[1], folder, secrets.token_hex(32)))
        app = AdminApp(_groups(made, lambda: stop.ask("/quitquitquit")), Guard(config.admin.address)).build()
        opened = listening(admin_runner(app), config.admin.address, config.admin.port, tls=made.tls.admin)
        admin, _ = await stack.enter_async_context(opened)
        made.listeners.opened(Bound("admin", *admin))
        await stack.enter_async_context(made.workers)
        made.listeners.opened(Bound("listener", *listener))
        made.listeners.drained_by(_closing(made, port), int)
        stack.push_async_callback(made.listeners.aclose)
        stack.push_async_callback(made.reloads.aclose)
        if again is not None:
            changed = partial(made.reloads.reload, "a file changed")
            await stack.enter_async_context(watched(made.reloads.known, changed))
        yield Whole(listener, admin, made.workers, made.reloads)


@frozen
class _Assigning:
    """What all workers are given alike, whatever the configuration."""

    port: int
    folder: Path
    key: str
    """What they hash callers and conversations with, where the configuration says nothing."""

    def assignments(self, config: Config, generation: int = 1) -> dict[int, Assignment]:
        key = config.telemetry.session_hash_key
        if key is None or key.reveal() is None:
            key = Secret(self.key)
        shared = evolve(
            config,
            listener=evolve(config.listener, port=self.port),
            telemetry=evolve(config.telemetry, session_hash_key=key),
        )
        numbers = range(1, config.workers + 1)
        return {
            number: Assignment(shared, Seat(number, str(self.folder / str(number))), generation) for number in numbers
        }


def _made(config: Config, again: Again | None, assigning: _Assigning) -> _Parts:
    state, merged = State(), Merged()
    team = Team(lambda: workers.up, lambda: workers.restarts, config.workers)
    workers = Workers(assigning.assignments(config), state, merged, team.greet, time.monotonic)
    metrics = metrics_of(config, Catalog.of(config))

    tls = Tls(config)

    async def install(in_force: InForce) -> None:
        shown = await asyncio.to_thread(tls.prepared, in_force.config)
        await workers.assign(assigning.assignments(in_force.config, in_force.generation))
        if in_force.config.telemetry.log_level is not reloads.in_force.config.telemetry.log_level:
            logs.set_level(in_force.config.telemetry.log_level)
            team.levels.clear()
        shown()

    known = signature(files_of(config))
    reloads = Reloads(InForce(config, 1, time.time()), again, install, metrics, known)
    metrics.watch("sidecar_ready", lambda: {(): state.is_ready})
    metrics.watch("sidecar_worker_restarts", lambda: {(): workers.restarts})
    return _Parts(
        reloads, state, merged, metrics, workers, team, ListenersOfAll(state, config.drain.timeout_s, team), tls
    )


def _groups(made: _Parts, quit_: Callable[[], None]) -> list[Group]:
    state, team = made.state, made.team
    own = made.merged.join(PARENT)

    def in_force() -> InForce:
        return made.reloads.in_force

    return [
        ConsoleOfAll(team),
        ReadinessOfAll(state, team, made.reloads.describe),
        StatsOfAll(made.merged, team, lambda: own.read(reading(made.metrics.registry))),
        ClustersOfAll(team),
        ConfigDump(in_force),
        HandedOn(team),
        made.listeners,
        Reload(made.reloads.reload),
        ProcessOfAll(team, state, in_force, made.listeners, Orders(quit=quit_, reopen_logs=_nothing)),
    ]


def _nothing() -> None:
    """The parent writes no access log."""


def _closing(made: _Parts, port: ExitStack) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        await made.listeners.close_all()
        port.close()  # nobody else could have it before

    return close


@contextmanager
def _folder() -> Iterator[Path]:
    """For the workers' sockets; only this user may enter it. Raises SidecarError."""
    try:
        made = tempfile.TemporaryDirectory(prefix="sidecar-", ignore_cleanup_errors=True)
    except OSError as exc:
        raise SidecarError("several workers need a folder for their sockets, and none can be made: set TMPDIR") from exc
    with made as path:
        yield Path(path)

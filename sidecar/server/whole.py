"""A sidecar of several workers, as its parent puts it together."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from attrs import evolve, frozen

from sidecar.admin.answers import Group
from sidecar.admin.app import AdminApp
from sidecar.admin.dump import ConfigDump, InForce
from sidecar.admin.guard import Guard
from sidecar.admin.listeners import Bound
from sidecar.admin.process import Orders
from sidecar.admin.state import State
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Secret
from sidecar.errors import SidecarError
from sidecar.server.seat import Seat
from sidecar.server.sharing import reserved
from sidecar.server.sockets import STOP_S, admin_runner, listening
from sidecar.server.team import Team
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


@frozen
class _Parts:
    in_force: InForce
    state: State
    merged: Merged
    metrics: Metrics
    workers: Workers
    team: Team
    listeners: ListenersOfAll


@asynccontextmanager
async def serve_workers(config: Config, log_level: str, stopping: asyncio.Event) -> AsyncIterator[Whole]:
    """
    As `serve`, with `config.workers` processes that listen; `stopping` is set when an operator wants it to stop. Raises
    CannotBind, and ConfigError or SidecarError for what workers cannot start with.
    """
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder())
        port = stack.enter_context(ExitStack())
        listener = port.enter_context(reserved(config.listener.address, config.listener.port))
        made = _made(config, _assignments(config, listener[1], log_level, folder))
        app = AdminApp(_groups(made, stopping.set), Guard(config.admin.address)).build()
        opened = listening(admin_runner(app), config.admin.address, config.admin.port)
        admin, _ = await stack.enter_async_context(opened)
        made.listeners.opened(Bound("admin", *admin))
        await stack.enter_async_context(made.workers)
        made.listeners.opened(Bound("listener", *listener))
        made.listeners.drained_by(_closing(made, port), int)
        stack.push_async_callback(made.listeners.aclose)
        yield Whole(listener, admin, made.workers)


def _assignments(config: Config, port: int, log_level: str, folder: Path) -> dict[int, Assignment]:
    """What each is to do. What they hash callers and conversations with must be the same, so it is made here."""
    key = config.telemetry.session_hash_key
    if key is None or key.reveal() is None:
        key = Secret(secrets.token_hex(32))
    shared = evolve(
        config,
        listener=evolve(config.listener, port=port),
        telemetry=evolve(config.telemetry, session_hash_key=key),
    )
    numbers = range(1, config.workers + 1)
    return {number: Assignment(shared, log_level, Seat(number, str(folder / str(number)))) for number in numbers}


def _made(config: Config, assignments: dict[int, Assignment]) -> _Parts:
    state, merged = State(), Merged()
    team = Team(lambda: workers.up, lambda: workers.restarts, len(assignments))
    workers = Workers(assignments, state, merged, team.greet, time.monotonic)
    in_force = InForce(config, loaded_at_unix_s=time.time())
    metrics = metrics_of(config, Catalog.of(config))
    metrics.watch("sidecar_ready", lambda: {(): state.is_ready})
    metrics.watch("sidecar_worker_restarts", lambda: {(): workers.restarts})
    metrics.watch("sidecar_config_last_reload_timestamp_seconds", lambda: {(): in_force.loaded_at_unix_s})
    return _Parts(in_force, state, merged, metrics, workers, team, ListenersOfAll(state, STOP_S, team))


def _groups(made: _Parts, quit_: Callable[[], None]) -> list[Group]:
    state, team = made.state, made.team
    own = made.merged.join(PARENT)

    def in_force() -> InForce:
        return made.in_force

    return [
        ConsoleOfAll(team),
        ReadinessOfAll(state, team),
        StatsOfAll(made.merged, team, lambda: own.read(reading(made.metrics.registry))),
        ClustersOfAll(team),
        ConfigDump(in_force),
        HandedOn(team),
        made.listeners,
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

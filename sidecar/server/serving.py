"""A whole sidecar, from ready to stopped."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from attrs import frozen

from sidecar.admin.answers import Group
from sidecar.admin.app import AdminApp
from sidecar.admin.clusters import Clusters
from sidecar.admin.console import Console
from sidecar.admin.dryrun import Deciding, DryRun
from sidecar.admin.dump import ConfigDump, InForce
from sidecar.admin.guard import Guard as AdminGuard
from sidecar.admin.hand_over import HandOver
from sidecar.admin.listeners import Bound, Listeners
from sidecar.admin.parts import parts
from sidecar.admin.pins import PinsApi
from sidecar.admin.process import Orders, Process
from sidecar.admin.readiness import Readiness
from sidecar.admin.reload import Reload
from sidecar.admin.state import State
from sidecar.admin.stats import Stats
from sidecar.admin.transfer import Import
from sidecar.config.catalog import Catalog
from sidecar.config.models import CacheKind, Config
from sidecar.server.asked import watch
from sidecar.server.changes import files_of, signature, watched
from sidecar.server.deciding import Reader
from sidecar.server.draining import Drainage
from sidecar.server.generation import Generation, Generations, Lasting, generation, session_key
from sidecar.server.keeping import kept, snapshot_parts
from sidecar.server.predecessor import TakeUp, found
from sidecar.server.reloading import Again, Reloads
from sidecar.server.remembering import remembering
from sidecar.server.seat import Numbers, Seat, Trusting
from sidecar.server.sockets import (
    Close,
    Instead,
    Place,
    admin_runner,
    data_runner,
    data_server,
    listening,
    listening_at,
)
from sidecar.server.stopping import Stop
from sidecar.server.tls import Tls
from sidecar.server.watching import metrics_of, watchers
from sidecar.stores.flights import Flights
from sidecar.stores.responses import ResponseStore
from sidecar.stores.snapshot import Snapshot
from sidecar.upstream.client import open_client
from sidecar.upstream.health import Health
from sidecar.upstream.places import Places


@frozen
class Serving:
    """Where a started sidecar listens: (address, port) pairs, the ports that were really taken. A path has port 0."""

    listener: tuple[str, int]
    admin: tuple[str, int]
    stop: Stop
    """Asked for when an operator wants it to end; whoever serves leaves the context then."""
    reloads: Reloads


@frozen
class _Parts:
    """All parts of one process."""

    state: State
    listeners: Listeners
    lasting: Lasting
    snapshot: Snapshot | None
    generations: Generations
    reloads: Reloads

    def now(self) -> Generation:
        return self.generations.now

    def in_force(self) -> InForce:
        return self.generations.now.in_force


@asynccontextmanager
async def serve(
    config: Config,
    stop: Stop | None = None,
    seat: Seat | None = None,
    again: Again | None = None,
    *,
    take_over: bool = False,
    number: int = 1,
    reader: Reader | None = None,
) -> AsyncIterator[Serving]:
    """
    A whole sidecar. `stop` is for a caller who has one to wait for already; with a `seat` it is one worker of several;
    `again` reads the configuration anew; `take_over`: in the place of the one that serves on the same ports, which
    ends; `number`: which of the configurations since the start of the program it is; `reader`: of the embedded
    classifier's weights, where they have been read already. Raises CannotBind when a port is taken, and SidecarError
    when a part cannot start. Leaving it drains.
    """
    stop, known = stop or Stop(), signature(files_of(config))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        state = State()
        other = await enter(found(config)) if take_over else None
        listeners = Listeners(state, config.drain.timeout_s)
        lasting, snapshot = await _lasting(config, reader or Reader(), stack)
        first = await generation(InForce(config, number, time.time()), lasting)
        server = data_server(first.door, fast=config.listener.fast_path, limits=config.listener.limits)
        generations = Generations(first, lasting, server)
        stack.push_async_callback(generations.aclose)
        reloads = Reloads(first.in_force, again, generations.install, lasting.watchers.metrics, known)
        del first  # with the keys in it, once another one is in force
        stack.push_async_callback(reloads.aclose)
        made = _Parts(state, listeners, lasting, snapshot, generations, reloads)
        watch(lasting, state, server, made.now)
        before = None if other is None else await other.introduced(_taking_up(made))
        groups = _groups(made, stop)
        if seat is None:
            groups.append(HandOver(state, lasting.pins.store, stop.hand_over, stop.settled, time.time))
        admin, close_admin = await _admin_port(made, groups, seat, stack, None if before is None else _at_once)
        address, port = config.listener.address, config.listener.port
        instead = None if before is None else before.hand_over
        opened = listening(
            data_runner(server), address, port, shared=seat is not None, instead=instead, tls=lasting.tls.listener
        )
        listener, close = await enter(opened)
        listeners.opened(Bound("listener", *listener))
        listeners.drained_by(close, server.under_way)
        stack.push_async_callback(listeners.aclose)
        if again is not None:
            await enter(watched(reloads.known, lambda: reloads.reload("a file changed")))
        state.name = "serving"
        try:
            yield Serving(listener, admin, stop, reloads)
        finally:
            state.name = "draining"
            if snapshot is not None:
                snapshot.write_soon()  # once more at the end, if there is time for it
            closed = partial(_closed, listeners, snapshot, close_admin if stop.hands_over else None)
            await Drainage(server, reloads.in_force.config.drain, stop, closed, clock=time.monotonic).run()


async def _closed(listeners: Listeners, snapshot: Snapshot | None, close_admin: Close | None) -> None:
    """No client comes any more. With `close_admin` another process serves now: the file of pins is its own, too."""
    await listeners.close_clients()
    if close_admin is not None:
        await close_admin()
        if snapshot is not None:
            await snapshot.leave_off()


async def _at_once() -> None:
    """Nothing to wait for: who asks at the admin port may be told that clients are not served yet."""


def _taking_up(made: _Parts) -> TakeUp | None:
    """None where pins are in a store that both share."""
    now, lasting = made.now(), made.lasting
    if now.config.routing.session_cache.type is not CacheKind.MEMORY:
        return None
    return Import(lasting.pins.store, now.catalog, lasting.watchers.metrics, time.time, overwrite=True).read


async def _lasting(config: Config, reader: Reader, stack: AsyncExitStack) -> tuple[Lasting, Snapshot | None]:
    enter = stack.enter_async_context
    catalog = Catalog.of(config)
    metrics = metrics_of(config, catalog)
    pins = await enter(remembering(config, metrics))
    snapshot = await enter(kept(config.routing.session_cache, catalog, pins.table, metrics))
    state = config.responses_state
    lasting = Lasting(
        pins=pins,
        flights=Flights(),
        health=Health(config.outlier_detection),
        places=Places(config.circuit_breakers),
        client=await enter(open_client()),
        watchers=await enter(watchers(config, metrics)),
        responses=None if state is None else ResponseStore(state, time.monotonic),
        session_key=session_key(config.telemetry.session_hash_key),
        under_way=Counter(),
        tls=Tls(config),
        reader=reader,
    )
    return lasting, snapshot


async def _admin_port(
    made: _Parts, groups: list[Group], seat: Seat | None, stack: AsyncExitStack, instead: Instead | None
) -> tuple[Place, Close]:
    """Where it is, and what closes it; a worker's own has a path and no port."""
    if seat is not None:
        numbers = Numbers(made.lasting.watchers.metrics.registry)
        await stack.enter_async_context(
            listening_at(admin_runner(AdminApp([*groups, numbers], Trusting()).build()), seat.path)
        )
        return (seat.path, 0), _at_once
    address, port = made.now().config.admin.address, made.now().config.admin.port
    app = AdminApp(groups, AdminGuard(address)).build()
    opened = listening(admin_runner(app), address, port, instead=instead, tls=made.lasting.tls.admin)
    admin, close = await stack.enter_async_context(opened)
    made.listeners.opened(Bound("admin", *admin))
    return admin, close


def _groups(made: _Parts, stop: Stop) -> list[Group]:
    """The paths of the admin port."""
    lasting, in_force, now = made.lasting, made.in_force, made.now
    pins, seen = lasting.pins, lasting.watchers
    return [
        Console(seen.recent, pins.near.counts_now),
        Readiness(
            made.state,
            parts(in_force, made.listeners, lambda: now().brain.guard.circuit, pins.near.count_now, pins.describe)
            | snapshot_parts(made.snapshot)
            | {"config": made.reloads.describe},
        ),
        Stats(seen.metrics.registry),
        Clusters(in_force, lambda: lasting.health.snapshot(time.monotonic()), lasting.places.load),
        ConfigDump(in_force),
        PinsApi(pins.store, lambda: now().catalog, lambda: _route_names(now()), seen.metrics, time.time),
        DryRun(lambda: _deciding(now()), time.perf_counter),
        made.listeners,
        Reload(made.reloads.reload),
        Process(made.state, in_force, made.listeners, Orders(partial(stop.ask, "/quitquitquit"), seen.reopen_logs)),
    ]


def _deciding(now: Generation) -> Deciding:
    return Deciding(now.brain.router, now.brain.trial.classify, now.catalog, now.config.listener.max_body_bytes)


def _route_names(now: Generation) -> frozenset[str]:
    return frozenset(route.name for route in now.config.routes)

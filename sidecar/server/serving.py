"""A whole sidecar, from ready to stopped."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import frozen

from sidecar.admin.answers import Group
from sidecar.admin.app import AdminApp
from sidecar.admin.clusters import Clusters
from sidecar.admin.console import Console
from sidecar.admin.dryrun import DryRun
from sidecar.admin.dump import ConfigDump, InForce
from sidecar.admin.guard import Guard as AdminGuard
from sidecar.admin.listeners import Bound, Listeners
from sidecar.admin.parts import parts
from sidecar.admin.pins import PinsApi
from sidecar.admin.process import Orders, Process
from sidecar.admin.readiness import Readiness
from sidecar.admin.state import State
from sidecar.admin.stats import Stats
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Secret
from sidecar.listener.body import Bodies
from sidecar.listener.decisions import Decider
from sidecar.listener.door import Door
from sidecar.listener.forward import Forwarder
from sidecar.listener.http import HttpServer
from sidecar.listener.models import ModelList
from sidecar.listener.naming import Naming
from sidecar.listener.proxy import Proxy
from sidecar.server.deciding import Brain, routing
from sidecar.server.keeping import kept, snapshot_parts
from sidecar.server.seat import Numbers, Seat, Trusting
from sidecar.server.sockets import STOP_S, admin_runner, data_runner, data_server, listening, listening_at
from sidecar.server.watching import Watchers, metrics_of, watch_parts, watchers
from sidecar.stores.responses import ResponseStore
from sidecar.stores.snapshot import Snapshot
from sidecar.upstream.client import Client, open_client
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.failover import Policy
from sidecar.upstream.health import Health
from sidecar.upstream.places import Places


@frozen
class Serving:
    """Where a started sidecar listens: (address, port) pairs, the ports that were really taken. A path has port 0."""

    listener: tuple[str, int]
    admin: tuple[str, int]
    stopping: asyncio.Event
    """Set when an operator wants it to stop; whoever serves leaves the context then."""


@frozen
class _Parts:
    """What is made once for one configuration."""

    config: Config
    catalog: Catalog
    loaded: InForce
    state: State
    listeners: Listeners
    health: Health
    places: Places
    brain: Brain
    snapshot: Snapshot | None
    watchers: Watchers
    client: Client

    def in_force(self) -> InForce:
        return self.loaded


@asynccontextmanager
async def serve(
    config: Config, stopping: asyncio.Event | None = None, seat: Seat | None = None
) -> AsyncIterator[Serving]:
    """
    A whole sidecar. `stopping` is for a caller who has an event to wait for already; with a `seat` it is one worker of
    several. Raises CannotBind when a port is taken, and SidecarError when a part cannot start.
    """
    stopping = stopping or asyncio.Event()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        made = await _made(config, stack)
        state, listeners = made.state, made.listeners
        server = data_server(_door(made), fast=config.listener.fast_path)
        _watch(made, server)
        admin = await _admin_port(made, _groups(made, stopping.set), seat, stack)
        address, port = config.listener.address, config.listener.port
        listener, close = await enter(listening(data_runner(server), address, port, shared=seat is not None))
        listeners.opened(Bound("listener", *listener))
        listeners.drained_by(close, server.under_way)
        stack.push_async_callback(listeners.aclose)
        state.name = "serving"
        try:
            yield Serving(listener, admin, stopping)
        finally:
            state.name = "draining"
            if made.snapshot is not None:
                made.snapshot.write_soon()  # once more at the end, if there is time for it


async def _made(config: Config, stack: AsyncExitStack) -> _Parts:
    catalog, state = Catalog.of(config), State()
    metrics = metrics_of(config, catalog)
    brain = await stack.enter_async_context(routing(config, catalog, metrics))
    return _Parts(
        config=config,
        catalog=catalog,
        loaded=InForce(config, loaded_at_unix_s=time.time()),
        state=state,
        listeners=Listeners(state, STOP_S),
        health=Health(config.outlier_detection),
        places=Places(config.circuit_breakers),
        brain=brain,
        snapshot=await stack.enter_async_context(
            kept(config.routing.session_cache, catalog, brain.pins.table, metrics)
        ),
        watchers=await stack.enter_async_context(watchers(config, metrics)),
        client=await stack.enter_async_context(open_client()),
    )


async def _admin_port(made: _Parts, groups: list[Group], seat: Seat | None, stack: AsyncExitStack) -> tuple[str, int]:
    """Where it is; a worker's own has a path and no port."""
    if seat is not None:
        numbers = Numbers(made.watchers.metrics.registry)
        await stack.enter_async_context(
            listening_at(admin_runner(AdminApp([*groups, numbers], Trusting()).build()), seat.path)
        )
        return seat.path, 0
    address, port = made.config.admin.address, made.config.admin.port
    app = AdminApp(groups, AdminGuard(address)).build()
    admin, _ = await stack.enter_async_context(listening(admin_runner(app), address, port))
    made.listeners.opened(Bound("admin", *admin))
    return admin


def _door(made: _Parts) -> Door:
    config, catalog, router, seen = made.config, made.catalog, made.brain.router, made.watchers
    settings, policy = config.listener, config.routing
    bodies = Bodies(settings.max_body_bytes, settings.timeout_s)
    naming = Naming.of_policy(policy, _session_key(config.telemetry.session_hash_key))
    decider = Decider(router, catalog, naming, policy, time.time)
    dispatcher = Dispatcher(
        client=made.client,
        catalog=catalog,
        health=made.health,
        places=made.places,
        policy=Policy(policy.failover, policy.max_attempts, settings.timeout_s),
        watch=seen.metrics,
    )
    keepalive_s = settings.sse_keepalive_s
    memory = None if config.responses_state is None else ResponseStore(config.responses_state, time.monotonic)
    models = ModelList.of(config, catalog)
    return Door(
        bodies=bodies,
        decider=decider,
        proxy=Proxy(decider, router, dispatcher, keepalive_s, time.time, memory, config.telemetry.inject_usage),
        forwarder=Forwarder(catalog, config.providers, dispatcher, bodies, models, keepalive_s),
        tellers=seen.tellers,
        traces=seen.traces,
        pseudonyms=seen.pseudonyms,
        cors_origins=settings.cors_origins,
        clock=time.monotonic,
        wall=time.time,
    )


def _session_key(given: Secret | None) -> bytes:
    """What callers and conversations are hashed with. Unset, it is this process's own: nobody else knows them again."""
    text = None if given is None else given.reveal()
    return os.urandom(32) if text is None else text.encode()


def _groups(made: _Parts, quit_: Callable[[], None]) -> list[Group]:
    """The paths of the admin port."""
    config, brain, in_force, pins = made.config, made.brain, made.in_force, made.brain.pins
    routes = frozenset(route.name for route in config.routes)
    return [
        Console(made.watchers.recent, pins.near.counts_now),
        Readiness(
            made.state,
            parts(in_force, made.listeners, lambda: brain.guard.circuit, pins.near.count_now, pins.describe)
            | snapshot_parts(made.snapshot),
        ),
        Stats(made.watchers.metrics.registry),
        Clusters(in_force, lambda: made.health.snapshot(time.monotonic()), made.places.load),
        ConfigDump(in_force),
        PinsApi(pins.store, made.catalog, routes, made.watchers.metrics, time.time),
        DryRun(brain.router, brain.trial.classify, made.catalog, time.perf_counter, config.listener.max_body_bytes),
        made.listeners,
        Process(made.state, in_force, made.listeners, Orders(quit=quit_, reopen_logs=made.watchers.reopen_logs)),
    ]


def _watch(made: _Parts, server: HttpServer) -> None:
    """What is asked at each scrape."""
    watch = made.watchers.metrics.watch
    watch_parts(
        made.watchers.metrics, made.config, made.brain, client=made.client, health=made.health, places=made.places
    )
    watch("sidecar_http_requests_in_flight", server.door.in_flight)
    watch("sidecar_http_connections", lambda: {(): len(server.connections)})
    watch("sidecar_ready", lambda: {(): made.state.is_ready})
    watch("sidecar_config_generation", lambda: {(): made.in_force().generation})
    watch("sidecar_config_last_reload_successful", lambda: {(): True})
    watch("sidecar_config_last_reload_timestamp_seconds", lambda: {(): made.in_force().loaded_at_unix_s})

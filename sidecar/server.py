"""
The composition root: every part is made here, in the order in which each needs the ones before, and given what it
needs. The reverse is the order of stopping.
"""

import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from attrs import frozen

from sidecar.admin.app import AdminApp, State
from sidecar.classifiers import Classifier
from sidecar.classifiers.embedded import EmbeddedClassifier
from sidecar.classifiers.embeddings import EmbeddingsClassifier
from sidecar.classifiers.guard import Guard
from sidecar.classifiers.llm import LlmClassifier
from sidecar.config.catalog import Catalog
from sidecar.config.models import ClassifierKind, Config
from sidecar.errors import SidecarError
from sidecar.listener.body import Bodies
from sidecar.listener.decisions import Decider
from sidecar.listener.door import Door
from sidecar.listener.forward import Forwarder
from sidecar.listener.http import HttpServer
from sidecar.listener.models import ModelList
from sidecar.listener.proxy import Proxy
from sidecar.routing.decision import Decision
from sidecar.routing.pins import PinTable
from sidecar.routing.router import Router
from sidecar.routing.session import CLIENT_SOURCES
from sidecar.stores.flights import Flights
from sidecar.stores.memory import MemoryStore
from sidecar.stores.responses import ResponseStore
from sidecar.telemetry.metrics import Metrics
from sidecar.upstream.client import Client, open_client
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.endpoint import Endpoint, open_session
from sidecar.upstream.failover import Policy
from sidecar.upstream.health import Health
from sidecar.upstream.places import Places

log = logging.getLogger("sidecar.server")

STOP_S = 30.0
"""How long requests under way may take to finish once we stop."""


class CannotBind(SidecarError):
    """An address or a port is not ours to take."""

    code = "cannot_bind"


@frozen
class Serving:
    """Where a started sidecar listens: (address, port) pairs, the ports that were really taken."""

    listener: tuple[str, int]
    admin: tuple[str, int]


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[Serving]:
    """
    A whole sidecar, from ready to stopped. Raises CannotBind when a port is taken, and SidecarError when a part
    cannot start.
    """
    catalog = Catalog.of(config)
    metrics = Metrics(models=catalog.models, routes=(route.name for route in config.routes))
    state = State()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        admin = await enter(_listening(_admin_runner(state, metrics), config.admin.address, config.admin.port))
        router = await enter(routing(config, catalog, metrics))
        door = _door(config, catalog, metrics, router, await enter(open_client()))
        listener = await enter(_listening(_data_runner(door), config.listener.address, config.listener.port))
        state.name = "serving"
        try:
            yield Serving(listener, admin)
        finally:
            state.name = "draining"


def _door(config: Config, catalog: Catalog, metrics: Metrics, router: Router, client: Client) -> Door:
    settings, policy = config.listener, config.routing
    bodies = Bodies(settings.max_body_bytes, settings.timeout_s)
    sources = CLIENT_SOURCES if policy.session_sources is None else policy.session_sources
    decider = Decider(router, catalog, sources, time.time)
    dispatcher = Dispatcher(
        client=client,
        catalog=catalog,
        health=Health(config.outlier_detection),
        places=Places(config.circuit_breakers),
        policy=Policy(policy.failover, policy.max_attempts, settings.timeout_s),
        watch=metrics,
    )
    keepalive_s = settings.sse_keepalive_s
    memory = None if config.responses_state is None else ResponseStore(config.responses_state, time.monotonic)
    models = ModelList.of(config, catalog)
    return Door(
        bodies=bodies,
        decider=decider,
        proxy=Proxy(decider, router, dispatcher, keepalive_s, time.time, memory),
        forwarder=Forwarder(catalog, config.providers, dispatcher, bodies, models, keepalive_s),
        metrics=metrics,
        cors_origins=settings.cors_origins,
        clock=time.perf_counter,
    )


@asynccontextmanager
async def routing(config: Config, catalog: Catalog, metrics: Metrics) -> AsyncIterator[Router]:
    """Everything that decides, without anything that listens."""
    policy = config.routing
    table = PinTable(
        ttl_s=policy.session_ttl_seconds,
        capacity=policy.session_max_entries,
        policy=policy.session_ttl_policy,
        removed=metrics.pin_removed,
    )
    store = MemoryStore(table, time.monotonic)
    metrics.count_pins(store.count_now)
    async with _classifier(config) as classifier:
        guard = Guard(
            classifier,
            # The embedded one waits for nobody, and a timer could not interrupt it: 39 µs less per decision without.
            timeout_s=None if policy.classifier.type is ClassifierKind.EMBEDDED else policy.classifier.timeout_s,
            breaker=policy.classifier.breaker,
            clock=time.monotonic,
            observe=metrics.judged,
        )
        flights: Flights[Decision] = Flights()
        yield Router(
            catalog=catalog, routes=config.routes, policy=policy, pins=store, flights=flights, judge=guard.classify
        )


@asynccontextmanager
async def _classifier(config: Config) -> AsyncIterator[Classifier]:
    wanted = config.routing.classifier
    if wanted.type is ClassifierKind.EMBEDDED:
        embedded = EmbeddedClassifier(wanted.threshold)
        embedded.prepare(config.routes)
        yield embedded
        return
    if wanted.base_url is None or wanted.model is None:
        raise SidecarError(f"routing.classifier of type {wanted.type} needs base_url and model")
    async with open_session() as session:
        endpoint = Endpoint(session, wanted.base_url, wanted.access_key)
        if wanted.type is ClassifierKind.LLM:
            yield LlmClassifier(endpoint, wanted.model, wanted.template)
            return
        async with EmbeddingsClassifier(endpoint, wanted.model, wanted.threshold, config.routes) as embeddings:
            yield embeddings


def _data_runner(door: Door) -> web.ServerRunner:
    server = HttpServer(door, auto_decompress=False, access_log=None, keepalive_timeout=75.0, lingering_time=2.0)
    return web.ServerRunner(server, shutdown_timeout=STOP_S / 2)  # aiohttp waits for it twice


def _admin_runner(state: State, metrics: Metrics) -> web.AppRunner:
    return web.AppRunner(AdminApp(state, metrics).build(), access_log=None, shutdown_timeout=1.0)


@asynccontextmanager
async def _listening(runner: web.BaseRunner, address: str, port: int) -> AsyncIterator[tuple[str, int]]:
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address, port).start()
        except OSError as exc:
            raise CannotBind(f"cannot listen on {address}:{port}: {os.strerror(exc.errno or 0)}") from exc
        taken = runner.addresses[0]
        yield str(taken[0]), int(taken[1])
    finally:
        await runner.cleanup()

"""
One configuration at work: all that is made anew when it changes, and nothing else.

    Lasting       pins, connections, health, metrics, logs               once for the process
    Generation    names, routes, classifier, router, the way of a request    once for each configuration

A request belongs to the generation in force when it came, to its end: a running stream keeps the providers it was
started with. A generation that is no longer in force holds its classifier until its last request is over.
"""

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack

from attrs import frozen

from sidecar.admin.dump import InForce
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Secret
from sidecar.listener.admission import Admission
from sidecar.listener.body import Bodies
from sidecar.listener.decisions import Decider
from sidecar.listener.door import Door
from sidecar.listener.forward import Forwarder
from sidecar.listener.http import HttpServer
from sidecar.listener.models import ModelList
from sidecar.listener.naming import Naming
from sidecar.listener.proxy import Proxy
from sidecar.routing.decision import Decision
from sidecar.server.deciding import Brain, Reader, routing
from sidecar.server.remembering import Remembered
from sidecar.server.tls import Tls
from sidecar.server.watching import Watchers, learn
from sidecar.stores.flights import Flights
from sidecar.stores.responses import ResponseStore
from sidecar.telemetry import log as logs
from sidecar.upstream.client import Client
from sidecar.upstream.dispatch import Dispatcher
from sidecar.upstream.failover import Policy
from sidecar.upstream.health import Health
from sidecar.upstream.places import Places

LOOK_S = 1.0
"""How often a generation that is out of force looks whether its last request is over."""


@frozen
class Lasting:
    """What a new configuration finds and leaves in place."""

    pins: Remembered
    flights: Flights[Decision]
    health: Health
    places: Places
    client: Client
    watchers: Watchers
    responses: ResponseStore | None
    under_way: Counter[tuple[str, ...]]
    """Requests, by endpoint, whichever generation they belong to."""
    session_key: bytes
    """What callers and conversations are hashed with."""
    tls: Tls
    reader: Reader


@frozen
class Generation:
    """`config`: as it is in force."""

    in_force: InForce
    catalog: Catalog
    brain: Brain
    door: Door
    stack: AsyncExitStack
    """What it alone holds."""

    @property
    def config(self) -> Config:
        return self.in_force.config

    async def retire(self) -> None:
        """Waits for its last request, and gives back what it holds."""
        while self.door.busy or self.brain.asked.busy:  # noqa: ASYNC110 - no request tells us that it was the last
            await asyncio.sleep(LOOK_S)
        await self.stack.aclose()


class Generations:
    """The one in force, those whose requests are not over yet, and how one follows the other."""

    def __init__(self, first: Generation, lasting: Lasting, server: HttpServer) -> None:
        self.now = first
        self._lasting = lasting
        self._server = server
        self._retiring: dict[asyncio.Task[None], Generation] = {}

    async def install(self, in_force: InForce) -> None:
        """Puts a configuration in force. Raises SidecarError when a part of it cannot be made; then nothing changed."""
        shown = await asyncio.to_thread(self._lasting.tls.prepared, in_force.config)
        made, before = await generation(in_force, self._lasting), self.now
        self._take(made)
        shown()
        task = asyncio.get_running_loop().create_task(before.retire())
        self._retiring[task] = before
        task.add_done_callback(self._retiring.pop)

    def _take(self, made: Generation) -> None:
        """All at once: the event loop runs nothing else in between."""
        config, lasting, before = made.config, self._lasting, self.now.config
        lasting.pins.configure(config.routing)
        lasting.health.configure(config.outlier_detection)
        lasting.health.forget(_moved(before, config))
        lasting.places.configure(config.circuit_breakers)
        if config.telemetry.log_level is not before.telemetry.log_level:
            logs.set_level(config.telemetry.log_level)
        learn(lasting.watchers.metrics, config, made.catalog)
        self._server.door, self.now = made.door, made
        self._server.bounds.limits = config.listener.limits

    async def aclose(self) -> None:
        """Nobody waits for requests any more."""
        waiting = dict(self._retiring)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for each in (*waiting.values(), self.now):
            await each.stack.aclose()


async def generation(in_force: InForce, lasting: Lasting) -> Generation:
    """Raises SidecarError when a part of it cannot be made; then it has left nothing behind."""
    config = in_force.config
    catalog = Catalog.of(config)
    async with AsyncExitStack() as stack:
        brain = await stack.enter_async_context(
            routing(
                config, catalog, lasting.watchers.metrics, lasting.pins.store, lasting.flights, reader=lasting.reader
            )
        )
        return Generation(in_force, catalog, brain, _door(config, catalog, brain, lasting), stack.pop_all())
    raise AssertionError  # no context above swallows an exception


def _moved(before: Config, after: Config) -> list[str]:
    """The names of providers that are no more, or are somewhere else: what is known of their health is not theirs now."""
    places = {each.name: (each.model, each.base_url, each.http_host) for each in after.providers}
    return [
        each.name for each in before.providers if places.get(each.name) != (each.model, each.base_url, each.http_host)
    ]


def _door(config: Config, catalog: Catalog, brain: Brain, lasting: Lasting) -> Door:
    settings, policy, seen = config.listener, config.routing, lasting.watchers
    bodies = Bodies(settings.max_body_bytes, settings.timeout_s, settings.limits.body_timeout_s)
    admission = Admission.of(settings)
    naming = Naming.of_policy(policy, lasting.session_key, named=admission is not None)
    decider = Decider(brain.router, catalog, naming, policy, time.time)
    dispatcher = Dispatcher(
        client=lasting.client,
        catalog=catalog,
        health=lasting.health,
        places=lasting.places,
        policy=Policy(policy.failover, policy.max_attempts, settings.timeout_s),
        watch=seen.metrics,
    )
    keepalive_s, inject = settings.sse_keepalive_s, config.telemetry.inject_usage
    return Door(
        bodies=bodies,
        decider=decider,
        proxy=Proxy(decider, brain.router, dispatcher, keepalive_s, time.time, lasting.responses, inject),
        forwarder=Forwarder(catalog, config.providers, dispatcher, bodies, ModelList.of(config, catalog), keepalive_s),
        tells=seen.tells,
        traces=seen.traces,
        cors_origins=settings.cors_origins,
        clock=time.monotonic,
        wall=time.time,
        under_way=lasting.under_way,
        admission=admission,
    )


def session_key(given: Secret | None) -> bytes:
    """What callers and conversations are hashed with. Unset, it is this process's own: nobody else knows them again."""
    text = None if given is None else given.reveal()
    return os.urandom(32) if text is None else text.encode()

"""Everything that decides, without anything that listens: classifier, pins, router."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from attrs import frozen

from sidecar.classifiers import Classifier
from sidecar.classifiers.embedded import EmbeddedClassifier
from sidecar.classifiers.embeddings import EmbeddingsClassifier
from sidecar.classifiers.guard import Guard
from sidecar.classifiers.llm import LlmClassifier
from sidecar.config.catalog import Catalog
from sidecar.config.models import ClassifierKind, Config
from sidecar.errors import SidecarError
from sidecar.routing.decision import Decision
from sidecar.routing.router import Router
from sidecar.server.remembering import Remembered, remembering
from sidecar.stores.flights import Flights
from sidecar.telemetry.meter import Metrics
from sidecar.upstream.endpoint import Endpoint, open_session


@frozen
class Brain:
    """Everything that decides."""

    router: Router
    pins: Remembered
    flights: Flights[Decision]
    guard: Guard
    trial: Guard
    """For dry runs: nobody counts its verdicts, and its failures keep the classifier from no request."""


@asynccontextmanager
async def routing(config: Config, catalog: Catalog, metrics: Metrics) -> AsyncIterator[Brain]:
    """Everything that decides, without anything that listens."""
    policy = config.routing
    async with remembering(config, metrics) as pins, _classifier(config) as classifier:
        guarded = partial(
            Guard,
            classifier,
            # The embedded one waits for nobody, and a timer could not interrupt it: 39 µs less per decision without.
            timeout_s=None if policy.classifier.type is ClassifierKind.EMBEDDED else policy.classifier.timeout_s,
            breaker=policy.classifier.breaker,
            clock=time.monotonic,
        )
        guard = guarded(observe=metrics.judged)
        flights: Flights[Decision] = Flights()
        router = Router(
            catalog=catalog,
            routes=config.routes,
            policy=policy,
            pins=pins.store,
            flights=flights,
            judge=guard.classify,
            watch=metrics,
        )
        yield Brain(router, pins, flights, guard, trial=guarded())


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

"""Everything that decides, without anything that listens: classifier, pins, router."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from attrs import frozen

from sidecar.classifiers import Classifier
from sidecar.classifiers.embedded import EmbeddedClassifier, Known
from sidecar.classifiers.embeddings import EmbeddingsClassifier
from sidecar.classifiers.guard import Guard
from sidecar.classifiers.llm import LlmClassifier
from sidecar.config.catalog import Catalog
from sidecar.config.models import ClassifierKind, Config, Route
from sidecar.errors import SidecarError
from sidecar.routing.decision import Decision
from sidecar.routing.intent import Intent
from sidecar.routing.router import Router
from sidecar.routing.verdict import Verdict
from sidecar.server.remembering import remembering
from sidecar.server.watching import metrics_of
from sidecar.stores import PinStore
from sidecar.stores.flights import Flights
from sidecar.telemetry.meter import Metrics
from sidecar.upstream.endpoint import Endpoint, open_session


@frozen
class Brain:
    """Everything that decides by one configuration."""

    router: Router
    guard: Guard
    trial: Guard
    """For dry runs: nobody counts its verdicts, and its failures keep the classifier from no request."""
    asked: "Counted"
    """The classifier that both of them ask."""


class Counted:
    """A classifier, and how many ask it now: a first turn goes on being classified when its client has hung up."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.busy = 0

    async def classify(self, intent: Intent, routes: tuple[Route, ...]) -> Verdict:
        """As the classifier."""
        self.busy += 1
        try:
            return await self._classifier.classify(intent, routes)
        finally:
            self.busy -= 1


class Reader:
    """The embedded classifier, whose weights are read once for all configurations."""

    def __init__(self, known: Known | None = None) -> None:
        """`known`: what somebody has read already."""
        self._known = known

    async def ready(self, threshold: float | None, routes: tuple[Route, ...]) -> EmbeddedClassifier:
        """One that knows `routes`. It is made in a thread: at a reload, requests are being answered meanwhile."""
        made = await asyncio.to_thread(EmbeddedClassifier, threshold, self._known)
        self._known = made.known
        if routes not in made.known.prepared:
            await asyncio.to_thread(made.prepare, routes)
        return made


@asynccontextmanager
async def routing(
    config: Config,
    catalog: Catalog,
    metrics: Metrics,
    pins: PinStore,
    flights: Flights[Decision],
    *,
    reader: Reader,
) -> AsyncIterator[Brain]:
    """Everything that decides, for pins that outlive it. Raises SidecarError for a classifier that lacks a setting."""
    policy = config.routing
    async with _classifier(config, reader) as classifier:
        asked = Counted(classifier)
        guarded = partial(
            Guard,
            asked,
            # The embedded one waits for nobody, and a timer could not interrupt it: 39 µs less per decision without.
            timeout_s=None if policy.classifier.type is ClassifierKind.EMBEDDED else policy.classifier.timeout_s,
            breaker=policy.classifier.breaker,
            clock=time.monotonic,
        )
        guard = guarded(observe=metrics.judged)
        router = Router(
            catalog=catalog,
            routes=config.routes,
            policy=policy,
            pins=pins,
            flights=flights,
            judge=guard.classify,
            watch=metrics,
        )
        yield Brain(router, guard, trial=guarded(), asked=asked)


@asynccontextmanager
async def deciding(config: Config) -> AsyncIterator[Router]:
    """A router with pins of its own, and without anything that listens."""
    catalog = Catalog.of(config)
    metrics = metrics_of(config, catalog)
    async with (
        remembering(config, metrics) as pins,
        routing(config, catalog, metrics, pins.store, Flights(), reader=Reader()) as brain,
    ):
        yield brain.router


@asynccontextmanager
async def _classifier(config: Config, reader: Reader) -> AsyncIterator[Classifier]:
    wanted = config.routing.classifier
    if wanted.type is ClassifierKind.EMBEDDED:
        yield await reader.ready(wanted.threshold, config.routes)
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

"""
Everything that watches: metrics, the console's last minutes, the access log, traces. None of it decides anything.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from attrs import frozen

from sidecar.config.catalog import Catalog
from sidecar.config.models import Config
from sidecar.listener.ended import Ended
from sidecar.telemetry.access import AccessLog, access_log
from sidecar.telemetry.lag import lag_watched
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.recent import Recent
from sidecar.telemetry.record import Teller
from sidecar.telemetry.telling import Telling
from sidecar.telemetry.trace import Traces
from sidecar.telemetry.tracer import open_tracer


@frozen
class Watchers:
    metrics: Metrics
    recent: Recent
    traces: Traces
    tells: Callable[[Ended], None]
    """What is given every request that is over, so that everybody who watches is told of it."""
    reopen_logs: Callable[[], None]


@asynccontextmanager
async def watchers(config: Config, metrics: Metrics) -> AsyncIterator[Watchers]:
    """Raises CannotOpen for an access log that cannot be written, ExtraMissing for traces without their extra."""
    lost: Counter[tuple[str, ...]] = Counter({("access_log",): 0})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(lag_watched(metrics.lagged, time.monotonic))
        tracer = await stack.enter_async_context(open_tracer(config.tracing))
        access = await stack.enter_async_context(
            access_log(
                config.telemetry,
                lambda count: lost.update({("access_log",): count}),
                shared=config.workers > 1,
            )
        )
        tellers: list[Teller] = [teller.told for teller in (tracer, access) if teller is not None]
        key = config.telemetry.session_hash_key
        pseudonyms = Pseudonyms(None if key is None else key.reveal())
        recent = Recent(time.time, pseudonyms)
        record_of = partial(Ended.record, pseudonyms=pseudonyms)
        telling = Telling(record_of, tellers, Ended.count, [metrics.told, recent.told])
        stack.callback(telling.stop)
        metrics.before_read(telling.catch_up)
        recent.before_read(telling.catch_up)
        metrics.watch(
            "sidecar_telemetry_dropped", lambda: {**lost, ("span",): 0 if tracer is None else tracer.dropped()}
        )
        yield Watchers(
            metrics,
            recent,
            Traces(config.tracing.random_sampling, exporting=tracer is not None),
            telling.told,
            _nothing if access is None else partial(_reopened, telling, access),
        )


def _reopened(telling: Telling[Ended], access: AccessLog) -> None:
    """What was answered before goes into the old file."""
    telling.catch_up()
    access.reopen()


def _nothing() -> None:
    """No log file is open."""


def metrics_of(config: Config, catalog: Catalog) -> Metrics:
    """Metrics whose labels are those of a configuration."""
    return Metrics(
        models=catalog.models,
        routes=(route.name for route in config.routes),
        vendors=(provider.model.partition("/")[0] for provider in config.providers),
        classifier=config.routing.classifier.type,
    )


def learn(metrics: Metrics, config: Config, catalog: Catalog) -> None:
    """New labels, for a configuration that comes later. What was counted under the old ones stays."""
    metrics.learn(
        models=catalog.models,
        routes=(route.name for route in config.routes),
        vendors=(provider.model.partition("/")[0] for provider in config.providers),
        classifier=config.routing.classifier.type,
    )

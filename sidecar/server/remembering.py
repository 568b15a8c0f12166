"""Where pins live: in this process, or in a Redis that several sidecars share with what this one knows beside it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Protocol

from attrs import frozen

from sidecar.config.models import CacheKind, Config, Routing, TtlPolicy
from sidecar.routing.pins import PinTable
from sidecar.stores import PinStore
from sidecar.stores.memory import MemoryStore, swept
from sidecar.stores.reach import StoreWatch
from sidecar.stores.shared import SharedStore
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.tracer import ExtraMissing


class Far(Protocol):
    def configure(self, ttl_s: float, policy: TtlPolicy) -> None: ...


@frozen
class Remembered:
    """The pins."""

    store: PinStore
    """Never raises."""
    near: MemoryStore
    """Those that are known in this process: all, or, beside a shared store, those of its own sessions."""
    table: PinTable
    """What `near` keeps them in."""
    describe: Callable[[], tuple[bool, str]]
    """Whether the store is well, and a few words on that. Asks nobody."""
    far: Far | None = None
    """A store outside this process."""

    def configure(self, policy: Routing) -> None:
        """Other times to live and sizes, for the pins that are there too; in a shared store, from their next use on."""
        ttl_s, capacity, kind = policy.session_ttl_seconds, policy.session_max_entries, policy.session_ttl_policy
        self.table.configure(ttl_s, capacity, kind, time.monotonic())
        if self.far is not None:
            self.far.configure(ttl_s, kind)


@asynccontextmanager
async def remembering(config: Config, metrics: Metrics) -> AsyncIterator[Remembered]:
    """Raises ExtraMissing for a Redis without its extra, ConfigError for a URL or a file of it that is no good."""
    policy = config.routing
    table = PinTable(
        ttl_s=policy.session_ttl_seconds,
        capacity=policy.session_max_entries,
        policy=policy.session_ttl_policy,
        removed=metrics.pin_removed,
    )
    if policy.session_cache.type is CacheKind.MEMORY:
        store = MemoryStore(table, time.monotonic, partial(metrics.store_counter, "memory"))
        remembered = Remembered(store, store, table, lambda: (True, "memory, in this process"))
        _watch(metrics, "memory", remembered)
        async with swept(store):
            yield remembered
        return
    async with _shared(policy, metrics, table) as remembered, swept(remembered.near):
        _watch(metrics, "redis", remembered)
        yield remembered


@asynccontextmanager
async def _shared(policy: Routing, metrics: Metrics, table: PinTable) -> AsyncIterator[Remembered]:
    try:
        from sidecar.stores.connect import connect  # noqa: PLC0415 - the extra may be missing
        from sidecar.stores.redis import RedisStore  # noqa: PLC0415
    except ImportError as exc:
        raise ExtraMissing(
            "routing.session_cache.type: redis needs the extra: pip install 'llm-sidecar[redis]'"
        ) from exc
    cache, near = policy.session_cache, MemoryStore(table, time.monotonic)
    async with aclosing(connect(cache)) as redis:
        far = RedisStore(
            redis,
            ttl_s=policy.session_ttl_seconds,
            policy=policy.session_ttl_policy,
            key_prefix=cache.key_prefix,
            flight_wait_s=cache.flight_wait_s,
            unreadable=metrics.store_error_counter("redis", "unreadable"),
            copies=cache.copies,
        )
        watch = StoreWatch(
            partial(metrics.store_counter, "redis"),
            partial(metrics.store_error_counter, "redis"),
            partial(metrics.store_timer, "redis"),
        )
        settled = partial(metrics.store_settled, "redis")
        most = policy.session_max_entries
        shared = SharedStore(near, far, cache, most=most, clock=time.monotonic, watch=watch, settled=settled)
        async with aclosing(far), shared as store:
            yield Remembered(store, near, table, store.describe_now, far)


def _watch(metrics: Metrics, name: str, remembered: Remembered) -> None:
    metrics.watch("sidecar_store_up", lambda: {(name,): remembered.describe()[0]})

"""Pins over a restart, when there is a file for them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from sidecar.admin.readiness import Part
from sidecar.config.catalog import Catalog
from sidecar.config.models import SessionCache
from sidecar.routing.pins import PinTable
from sidecar.stores.snapshot import Snapshot
from sidecar.telemetry.meter import Metrics


@asynccontextmanager
async def kept(
    cache: SessionCache, catalog: Catalog, table: PinTable, metrics: Metrics
) -> AsyncIterator[Snapshot | None]:
    """What keeps `table` in a file, with the pins of that file already in it; None when `cache` names none."""
    if cache.snapshot is None:
        yield None
        return
    async with Snapshot(
        table,
        Path(cache.snapshot),
        interval_s=cache.snapshot_interval_s,
        offered=lambda model: catalog.resolve(model) is not None,
        clock=time.monotonic,
        wall=time.time,
        counter=partial(metrics.store_counter, "memory"),
        errors=partial(metrics.store_error_counter, "memory"),
    ) as snapshot:
        yield snapshot


def snapshot_parts(snapshot: Snapshot | None) -> dict[str, Part]:
    """What `/ready?verbose` says of it."""
    return {} if snapshot is None else {"snapshot": snapshot.describe}

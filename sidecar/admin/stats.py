"""
The numbers: `/metrics` and `/stats/prometheus` for Prometheus, `/stats` for people.

    /stats                      name{label="value"}: 12
    /stats?filter=pin_lookups   names that a regular expression finds something in
    /stats?usedonly             what is not zero
    /stats?format=json          {"stats": [{"name", "labels", "value"}]}

As in Envoy. Histograms show their count and sum here; their buckets are for Prometheus.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from math import isfinite

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from sidecar.admin.answers import json_answer
from sidecar.admin.pattern import compiled
from sidecar.errors import RequestError
from sidecar.telemetry.exposition import expose
from sidecar.telemetry.families import Counted
from sidecar.telemetry.lines import escaped

AT_ONCE = 50
"""Numbers, a fifth of a millisecond's worth, before the event loop may run something else."""

FAMILIES_AT_ONCE = 5


class Stats:
    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/stats", self.stats),
            web.get("/stats/prometheus", self.prometheus),
            web.get("/metrics", self.prometheus),
        ]

    async def stats(self, request: web.Request) -> web.Response:
        """Every number by name; ?filter=REGEX, ?usedonly, ?format=text|json|prometheus."""
        wanted = compiled(request.query.get("filter", ""))
        form = request.query.get("format", "text")
        if form not in ("text", "json", "prometheus"):
            raise RequestError("format may be text, json or prometheus")
        if form == "prometheus":
            return await self._exposed(request, await self._names(wanted))
        found = [row async for row in self._lines(wanted, used_only="usedonly" in request.query)]
        found.sort(key=lambda row: row[0])
        if form == "json":
            return json_answer({"stats": [_as_json(sample) for _, sample in found]})
        return web.Response(text="".join(f"{line}\n" for line, _ in found))

    async def prometheus(self, request: web.Request) -> web.Response:
        """The metrics as Prometheus or OpenMetrics text; ?name[]=NAME for single ones."""
        return await self._exposed(request, request.query.getall("name[]", []))

    async def _exposed(self, request: web.Request, names: list[str]) -> web.Response:
        accept, encoding = (",".join(request.headers.getall(name, [])) for name in ("Accept", "Accept-Encoding"))
        exposition = await expose(self._registry, accept, encoding, names)
        return web.Response(body=exposition.body, headers=exposition.headers)

    async def _names(self, wanted: re.Pattern[str]) -> list[str]:
        """Of the samples that are wanted. A name that nothing has stands for none: no names would mean all."""
        names = {name async for family in self._families() for name in _sample_names(family)}
        return [name for name in names if wanted.search(name)] or [""]

    async def _lines(self, wanted: re.Pattern[str], *, used_only: bool) -> AsyncIterator[tuple[str, Sample]]:
        """The samples, and each as a line."""
        looked = 0
        async for family in self._families():
            shown = {name for name in _sample_names(family) if wanted.search(name)}
            for sample in _totals(family):
                looked += 1
                if not looked % AT_ONCE:
                    await asyncio.sleep(0)
                if sample.name in shown and (sample.value or not used_only):
                    yield _line(sample), sample

    async def _families(self) -> AsyncIterator[Metric]:
        """A few at each turn of the event loop: what they say may be asked for as they are read."""
        for at, family in enumerate(self._registry.collect()):
            if not at % FAMILIES_AT_ONCE:
                await asyncio.sleep(0)
            yield family


def _sample_names(family: Metric) -> Iterable[str]:
    return family.sample_names if isinstance(family, Counted) else {sample.name for sample in family.samples}


def _totals(family: Metric) -> Iterable[Sample]:
    if isinstance(family, Counted):
        return family.totals()
    return (each for each in family.samples if not each.name.endswith(("_bucket", f"{family.name}_created")))


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{escaped(value)}"' for name, value in sample.labels.items())
    value = int(sample.value) if sample.value == sample.value // 1 else sample.value
    return f"{sample.name}{{{labels}}}: {value}" if labels else f"{sample.name}: {value}"


def _as_json(sample: Sample) -> dict[str, object]:
    """JSON knows neither NaN nor infinity."""
    value = sample.value if isfinite(sample.value) else None
    return {"name": sample.name, "labels": dict(sample.labels), "value": value}

"""
The numbers: `/metrics` and `/stats/prometheus` for Prometheus, `/stats` for people.

    /stats                      name{label="value"}: 12
    /stats?filter=pin_lookups   names that a regular expression finds something in
    /stats?usedonly             what is not zero
    /stats?format=json          {"stats": [{"name", "labels", "value"}]}

As in Envoy. Histograms show their count and sum here; their buckets are for Prometheus.
"""

import re
from collections.abc import Iterator
from math import isfinite

from aiohttp import web
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from sidecar.admin.answers import json_answer
from sidecar.admin.pattern import compiled
from sidecar.errors import RequestError
from sidecar.telemetry.exposition import View, expose


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
            return self._exposed(request, self._names(wanted))
        samples = self._samples(wanted, used_only="usedonly" in request.query)
        if form == "json":
            return json_answer({"stats": [_as_json(sample) for sample in samples]})
        return web.Response(text="".join(f"{_line(sample)}\n" for sample in samples))

    async def prometheus(self, request: web.Request) -> web.Response:
        """The metrics as Prometheus or OpenMetrics text; ?name[]=NAME for single ones."""
        return self._exposed(request, request.query.getall("name[]", []))

    def _exposed(self, request: web.Request, names: list[str]) -> web.Response:
        accept, encoding = (",".join(request.headers.getall(name, [])) for name in ("Accept", "Accept-Encoding"))
        exposition = expose(self._registry, accept, encoding, names)
        return web.Response(body=exposition.body, headers=exposition.headers)

    def _names(self, wanted: re.Pattern[str]) -> list[str]:
        """Of the samples that are wanted. A name that nothing has stands for none: no names would mean all."""
        names = {sample.name for family in View(self._registry).collect() for sample in family.samples}
        return [name for name in names if wanted.search(name)] or [""]

    def _samples(self, wanted: re.Pattern[str], *, used_only: bool) -> list[Sample]:
        shown: dict[str, bool] = {}
        found = []
        for sample in self._all():
            if sample.name not in shown:  # hundreds of samples, tens of names
                shown[sample.name] = wanted.search(sample.name) is not None
            if shown[sample.name] and (sample.value or not used_only):
                found.append(sample)
        return sorted(found, key=_line)

    def _all(self) -> Iterator[Sample]:
        for family in View(self._registry).collect():
            yield from (sample for sample in family.samples if not sample.name.endswith("_bucket"))


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_visible(value)}"' for name, value in sample.labels.items())
    value = int(sample.value) if sample.value == sample.value // 1 else sample.value
    return f"{sample.name}{{{labels}}}: {value}" if labels else f"{sample.name}: {value}"


def _visible(value: str) -> str:
    """As in the Prometheus text: one sample, one line."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _as_json(sample: Sample) -> dict[str, object]:
    """JSON knows neither NaN nor infinity."""
    value = sample.value if isfinite(sample.value) else None
    return {"name": sample.name, "labels": dict(sample.labels), "value": value}

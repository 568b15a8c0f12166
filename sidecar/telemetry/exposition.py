"""
The metrics as Prometheus reads them: text or OpenMetrics as the scraper accepts, compressed when it can read that.

The encoders are prometheus_client's. What is asked for is read here, because its own `choose_encoder` fails on a
version that is no number, repeats the header into the answer, and takes a format or a gzip that was refused with
`q=0`.

`_created` series are left out in both formats. prometheus_client puts them into the text as gauges of their own, which
double the series of every counter and tell nobody anything; its switch for that is one for the whole process.
"""

import gzip
from collections.abc import Callable, Collection, Iterator

from attrs import frozen
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""https://prometheus.io/docs/specs/om/open_metrics_spec/"""
GZIP_LEVEL = 4
"""Half the time of the default for a tenth more bytes: the event loop waits for it."""


@frozen
class Exposition:
    body: bytes
    headers: dict[str, str]


@frozen
class View:
    """A registry as it is shown: without `_created`, and, when `names` are given, only these."""

    registry: Collector
    names: Collection[str] = ()
    """Of samples (`sidecar_decisions_total`) or of whole families (`sidecar_added_latency_seconds`)."""

    def collect(self) -> Iterator[Metric]:
        for family in self.registry.collect():
            samples = [sample for sample in family.samples if self._shows(family, sample)]
            if samples or not self.names:
                shown = Metric(family.name, family.documentation, family.type, family.unit)
                shown.samples = samples
                yield shown

    def _shows(self, family: Metric, sample: Sample) -> bool:
        if sample.name == f"{family.name}_created":
            return False
        return not self.names or sample.name in self.names or family.name in self.names


def expose(registry: Collector, accept: str, accept_encoding: str, names: Collection[str] = ()) -> Exposition:
    """`accept` and `accept_encoding` are the headers, whatever they say; `names` as `View` takes them."""
    encode, content_type = _format(accept)
    body = encode(View(registry, frozenset(names)))
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if _quality(_offers(accept_encoding), ("gzip", "x-gzip"), "*") > 0:
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Exposition(body, headers)


def _format(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """OpenMetrics only for those who name it, in a version that we write, and like it no less than text."""
    offers = _offers(accept)
    wanted = [quality for kind, version, quality in offers if kind in _OPENMETRICS and version in _VERSIONS]
    if wanted and max(wanted) > 0 and max(wanted) >= _quality(offers, ("text/plain",), "text/*", "*/*"):
        return openmetrics.generate_latest, OPENMETRICS
    return generate_latest, TEXT


_OPENMETRICS = ("application/openmetrics-text",)
_VERSIONS = ("", "1.0.0")


def _offers(header: str) -> list[tuple[str, str, float]]:
    """`a/b;version=1.0.0;q=0.5, c/d` → [("a/b", "1.0.0", 0.5), ("c/d", "", 1.0)]. Content codings look the same."""
    return [_offer(part) for part in header.split(",") if part.strip()]


def _offer(part: str) -> tuple[str, str, float]:
    kind, *rest = (piece.strip().lower() for piece in part.split(";"))
    parameters = dict(_pair(piece) for piece in rest)
    return kind, parameters.get("version", ""), _number(parameters.get("q", "1"))


def _pair(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    return name.strip(), value.strip().strip('"')


def _number(text: str) -> float:
    """A quality, RFC 9110 section 12.4.2; what is none counts as refused."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def _quality(offers: list[tuple[str, str, float]], kinds: tuple[str, ...], *wildcards: str) -> float:
    """The best that is said of any of `kinds`, else of the first wildcard that is there; 0 when nothing is."""
    for names in (kinds, *((wildcard,) for wildcard in wildcards)):
        said = [quality for kind, _, quality in offers if kind in names]
        if said:
            return max(said)
    return 0.0

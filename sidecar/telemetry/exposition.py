"""
The metrics as Prometheus reads them: text or OpenMetrics as the scraper accepts, compressed when it can read that.

What is asked for is read here, because prometheus_client's `choose_encoder` fails on a version that is no number,
repeats the header into the answer, and takes a format or a gzip that was refused with `q=0`.

Nobody waits for a scrape: it is written and compressed a piece at a time, and between two pieces the event loop serves
whoever is there. So what a family says may be younger than what the one before it says; a series is of one moment.

`_created` series are left out in both formats. prometheus_client puts them into the text as gauges of their own, which
double the series of every counter and tell nobody anything; its switch for that is one for the whole process.
"""

import asyncio
import zlib
from collections.abc import Collection, Iterator

from attrs import frozen
from prometheus_client.registry import Collector

from sidecar.telemetry.lines import END, blocks

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format"""
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""https://prometheus.io/docs/specs/om/open_metrics_spec/"""
PIECE_BYTES = 8 * 1024
"""Written before the event loop may run something else: some 80 lines, 0.1 ms, twice that when it is compressed."""
GZIP_LEVEL = 4
"""Half the time of the default for a tenth more bytes."""
_GZIP = 16 + zlib.MAX_WBITS
"""zlib's word for: with gzip's head and tail."""


@frozen
class Exposition:
    body: bytes
    headers: dict[str, str]


async def expose(registry: Collector, accept: str, accept_encoding: str, names: Collection[str] = ()) -> Exposition:
    """`accept` and `accept_encoding` are the headers, whatever they say; `names` as `lines.blocks` takes them."""
    as_openmetrics = _wants_openmetrics(accept)
    content_type = OPENMETRICS if as_openmetrics else TEXT
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    pieces = _pieces(registry, frozenset(names), as_openmetrics=as_openmetrics)
    if _quality(_offers(accept_encoding), ("gzip", "x-gzip"), "*") > 0:
        pieces = _compressed(pieces)
        headers["Content-Encoding"] = "gzip"
    written = []
    for piece in pieces:
        written.append(piece)
        await asyncio.sleep(0)
    return Exposition(b"".join(written), headers)


def _pieces(registry: Collector, names: Collection[str], *, as_openmetrics: bool) -> Iterator[bytes]:
    """The whole exposition, in pieces that cost about the same each."""
    piece, cost = [], 0
    families = registry.collect()
    yield b""  # there may have been some catching up to do, which took its time
    for block, costs in blocks(families, names, as_openmetrics=as_openmetrics):
        piece.append(block)
        cost += costs
        if cost >= PIECE_BYTES:
            yield "".join(piece).encode()
            piece, cost = [], 0
    if as_openmetrics:
        piece.append(END)
    yield "".join(piece).encode()


def _compressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packing = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        yield packing.compress(piece)
    yield packing.flush()


def _wants_openmetrics(accept: str) -> bool:
    """Only who names it, in a version that we write, and likes it no less than text."""
    offers = _offers(accept)
    wanted = [quality for kind, version, quality in offers if kind in _OPENMETRICS and version in _VERSIONS]
    return bool(wanted) and max(wanted) > 0 and max(wanted) >= _quality(offers, ("text/plain",), "text/*", "*/*")


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

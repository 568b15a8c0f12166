"""
What the doctor knows: fetched once from the admin port and from the configuration file, then only looked at.

What one path does not give is noted and passed over: a sidecar that is half well is just the one to examine.
"""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import field, frozen
from prometheus_client.parser import text_string_to_metric_families

from sidecar.config import read
from sidecar.config.models import Config
from sidecar.errors import ConfigError
from sidecar.operator.calling import AdminError, AdminPort, NotASidecar, Reply

Labels = frozenset[tuple[str, str]]


@frozen
class Samples:
    """The metrics, as they were exposed: (name, labels) -> value."""

    values: Mapping[tuple[str, Labels], float] = field(factory=dict)

    @classmethod
    def of(cls, text: str) -> "Samples":
        """Raises ValueError when the text is no exposition."""
        families = text_string_to_metric_families(text)
        return cls({(row.name, frozenset(row.labels.items())): row.value for each in families for row in each.samples})

    def by(self, label: str, name: str, **wanted: str) -> dict[str, float]:
        """Sums by one label of all series of `name` that have the `wanted` labels; those of 0 are left out."""
        sums: dict[str, float] = {}
        for (found, labels), value in self.values.items():
            if found == name and value and labels >= wanted.items():
                key = dict(labels).get(label, "")
                sums[key] = sums.get(key, 0.0) + value
        return sums

    def total(self, name: str, **wanted: str) -> float:
        return sum(self.by("", name, **wanted).values())

    def first(self, name: str) -> float | None:
        """The value of a metric with one series; None when it is not there."""
        return next((value for (found, _), value in self.values.items() if found == name), None)


@frozen
class File:
    """A configuration file, as read here: with this environment, which need not be the sidecar's."""

    path: str
    config: Config | None
    mistakes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_file(path: str, environ: Mapping[str, str]) -> File:
    try:
        loaded = read(path, environ)
    except ConfigError as exc:
        return File(path, None, mistakes=tuple(str(exc).splitlines()))
    return File(path, loaded.config, warnings=loaded.warnings)


@frozen
class Facts:
    """`url`: the admin port. What could not be had is empty or None, and `unread` says why."""

    url: str
    lost: AdminError | None = None
    """Why there is no sidecar to look at."""
    ready: Reply | None = None
    """The answer of `/ready?verbose`."""
    info: Mapping[str, Any] = field(factory=dict)
    clusters: tuple[Mapping[str, Any], ...] = ()
    config: Mapping[str, Any] = field(factory=dict)
    """The configuration in force, without secrets."""
    samples: Samples = field(factory=Samples)
    clock_ahead_s: float = 0.0
    """By how much the sidecar's clock is ahead of ours; whole seconds are all that HTTP tells."""
    unread: tuple[str, ...] = ()
    file: File | None = None

    @property
    def routing(self) -> Mapping[str, Any]:
        found = self.config.get("routing")
        return found if isinstance(found, Mapping) else {}


def gather(port: AdminPort, file: File | None) -> Facts:
    """Asks for everything. Never raises for what is wrong: that is what is looked for."""
    try:
        ready = port.look("/ready?verbose")
        if not _is_readiness(ready):
            raise NotASidecar(f"{port.url} answers /ready with HTTP {ready.status}: it is not a sidecar's admin port")
    except AdminError as exc:
        return Facts(port.url, lost=exc, file=file)
    unread: list[str] = []
    info = _asked(port, "/server_info", unread)
    clusters = _asked(port, "/clusters?format=json", unread).get("clusters", ())
    return Facts(
        port.url,
        ready=ready,
        info=info,
        clusters=tuple(clusters),
        config=_asked(port, "/config_dump", unread),
        samples=_samples(port, unread),
        clock_ahead_s=_ahead(ready.date, time.time()),
        unread=tuple(unread),
        file=file,
    )


def _is_readiness(ready: Reply) -> bool:
    """Lines of parts, `[+] …` or `[-] …`, and one more: OK with 200. Many a web server has a page with 200 for any path."""
    *parts, said = ready.text.splitlines() or [""]
    return ready.status == (200 if said == "OK" else 503) and all(part.startswith("[") for part in parts)


def _asked(port: AdminPort, path: str, unread: list[str]) -> dict[str, Any]:
    try:
        found = port.get(path)
    except AdminError as exc:
        unread.append(f"{path.partition('?')[0]}: {exc}")
        return {}
    return found if isinstance(found, dict) else {}


def _samples(port: AdminPort, unread: list[str]) -> Samples:
    try:
        return Samples.of(port.look("/stats/prometheus").text)
    except AdminError as exc:
        unread.append(f"/stats/prometheus: {exc}")
    except ValueError:
        unread.append("/stats/prometheus: what it answers are no metrics")
    return Samples()


def _ahead(date: str | None, now_s: float) -> float:
    try:
        return 0.0 if date is None else parsedate_to_datetime(date).timestamp() - now_s
    except ValueError:
        return 0.0

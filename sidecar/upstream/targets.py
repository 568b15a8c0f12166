"""
Where every model goes, in every format that clients speak: found out once for one configuration, and not per request.

    model, client's format ──Targets.of──▶ Aim: the target, the heads of requests to it as far as they are known

14 µs of a request's 130 went into finding it out anew. Clients choose the names that a wildcard covers, so only so many
are kept; a new configuration comes with a new table.
"""

from collections.abc import Callable
from functools import lru_cache, partial

from sidecar.config.catalog import Catalog
from sidecar.errors import ModelNotFound, UpstreamError
from sidecar.upstream.asking import Beginnings, Heads
from sidecar.upstream.headers import Outgoing
from sidecar.upstream.origin import Origin, authority
from sidecar.upstream.target import Target, target_of, url_for
from sidecar.upstream.trust import authorities
from sidecar.wire.formats import Format

MOST_AIMS = 512
MOST_ENTRIES = 1024
MOST_PATHS = 16
"""Of one target. Clients ask for one or two: `/v1/messages` and `/v1/messages?beta=true`."""
LONG_PATH = 256
"""In characters. A longer one is found out each time."""


class Aim:
    """A target, and what follows from it for every request."""

    __slots__ = ("heads", "origin", "path", "target")

    def __init__(self, target: Target, beginnings: Beginnings) -> None:
        self.target = target
        self.origin = Origin(*target.place[:3], authorities(target.tls_ca_file))
        self.path = partial(_path, target, lru_cache(MOST_PATHS)(partial(url_for, target)))
        """The client's request target -> `url_for` of it. Raises as that does."""
        self.heads = Heads(authority(self.origin), self.path, Outgoing(target), beginnings)


def _path(target: Target, known: Callable[[str], str], request_target: str) -> str:
    return known(request_target) if len(request_target) <= LONG_PATH else url_for(target, request_target)


class Targets:
    """The table of one configuration. `of` and `entry` keep what they found; an error is found out anew each time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        # Of functions and not of methods: those would have us, and a table that is replaced would wait for the collector.
        self.of = lru_cache(MOST_AIMS)(partial(_aim, catalog, Beginnings()))
        self.entry = lru_cache(MOST_ENTRIES)(partial(_entry, catalog))

    def at_home(self, target: Target, model: str) -> bool:
        """Whether what `model`'s provider keeps for itself is at hand at `target` too: its own entry, or its account."""
        if self.entry(model) == target.provider or self._catalog.provider_of(model) is None:
            return True
        try:
            return self.of(model, None).target.account == target.account
        except UpstreamError:  # it lacks its URL or key
            return False


def _aim(catalog: Catalog, beginnings: Beginnings, model: str, client_format: Format | None) -> Aim:
    """Raises ModelNotFound, and as `target_of`."""
    provider = catalog.provider_of(model)
    if provider is None:
        raise ModelNotFound(f"{model} is not configured")
    return Aim(target_of(provider, model, client_format), beginnings)


def _entry(catalog: Catalog, model: str) -> str:
    """The name of the entry that serves a model; of one that nobody serves, the model's own."""
    provider = catalog.provider_of(model)
    return provider.name if provider is not None else model

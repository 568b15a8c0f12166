"""
`/clusters`: how the providers are, in Envoy's words for its upstream hosts.

    openai/gpt-4o::health::healthy
    openai/gpt-4o::rq_active::2

Every entry of the configuration is there, asked or not. An entry's key is `set`, `missing` (a variable that it names is
not set), `none` (it needs none) or `passthrough` (the client brings its own).
"""

from collections.abc import Callable, Iterable

from aiohttp import web

from sidecar.admin.answers import json_answer, rfc3339
from sidecar.admin.dump import InForce, without_secrets
from sidecar.config.models import Provider
from sidecar.upstream.health import Condition, LastError
from sidecar.upstream.providers import row_of

Load = Callable[[str], tuple[int, int]]
"""A provider entry's name -> its requests under way and those that wait for a place."""


class Clusters:
    """`conditions`: how providers are that were ever asked; `load`: how busy each is now."""

    def __init__(
        self, in_force: Callable[[], InForce], conditions: Callable[[], Iterable[Condition]], load: Load
    ) -> None:
        self._in_force = in_force
        self._conditions = conditions
        self._load = load

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/clusters", self.clusters)]

    async def clusters(self, request: web.Request) -> web.Response:
        """Providers: health, ejections, requests, last error; ?format=json."""
        found = self._found()
        if request.query.get("format") == "json":
            return json_answer({"clusters": found})
        return web.Response(text=in_text(found))

    def _found(self) -> list[dict[str, object]]:
        conditions = {condition.provider: condition for condition in self._conditions()}
        providers = self._in_force().config.providers
        return [self._cluster(each, conditions.get(each.name) or Condition(each.name)) for each in providers]

    def _cluster(self, provider: Provider, condition: Condition) -> dict[str, object]:
        active, pending = self._load(provider.name)
        return {
            "name": provider.name,
            "model": provider.model,
            "base_url": None if provider.base_url is None else without_secrets(provider.base_url),
            "interface": interface_word(provider),
            "key": key_word(provider),
            "missing": list(provider.missing),
            "health": health_word(condition),
            "ejected_for_seconds": round(condition.ejected_for_s, 3),
            "consecutive_5xx": condition.consecutive_5xx,
            "consecutive_gateway_failure": condition.consecutive_gateway_failure,
            "ejections": condition.ejections,
            "successes": condition.successes,
            "failures": condition.failures,
            "active": active,
            "pending": pending,
            "last_error": _error(condition.last_error),
        }


def in_text(clusters: Iterable[dict[str, object]]) -> str:
    """What `?format=json` gives, in Envoy's lines."""
    return "".join(f"{line}\n" for cluster in clusters for line in _lines(cluster))


def interface_word(provider: Provider) -> str | None:
    """What is spoken with it when the client's own format is not; None for one that can never be called."""
    row = row_of(provider)
    return None if row is None else row.speaks[0].value


def key_word(provider: Provider) -> str:
    """`set`, `missing`, `none` or `passthrough`."""
    if provider.passthrough_auth:
        return "passthrough"
    key = provider.access_key
    if provider.missing or (key is not None and key.reveal() is None):
        return "missing"
    return "none" if key is None else "set"


def health_word(condition: Condition) -> str:
    """`healthy`, `ejected`, or `probing` while one request finds out whether an ejected provider is back."""
    if condition.probing:
        return "probing"
    return "ejected" if condition.ejected else "healthy"


def _error(error: LastError | None) -> dict[str, object] | None:
    return None if error is None else {"at": rfc3339(error.at_unix_s), "cause": error.cause, "status": error.status}


_ENVOY = {"active": "rq_active", "pending": "rq_pending", "successes": "rq_success", "failures": "rq_error"}
"""Where Envoy has another word for the same number."""


def _lines(cluster: dict[str, object]) -> list[str]:
    return [
        f"{cluster['name']}::{_ENVOY.get(key, key)}::{_word(value)}" for key, value in cluster.items() if key != "name"
    ]


def _word(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_word(item)}" for key, item in value.items())
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return "-" if value is None else text or "-"

"""
A worker's admin port: all that a sidecar's has, on a socket in a folder that only the same user may enter.

The parent asks there for everybody, and has checked who asks.
"""

from aiohttp import web
from attrs import frozen
from prometheus_client.registry import Collector

from sidecar.admin.guard import Asking, Guard
from sidecar.telemetry.merge import encoded, reading

NUMBERS = "/worker/metrics"
"""All of a worker's numbers, for the parent."""


@frozen
class Seat:
    """A worker's place among the others."""

    number: int
    """From 1."""
    path: str
    """Where its admin port is to be: a socket's path."""


class Trusting(Guard):
    """Lets everybody in: the parent's guard has, before."""

    def check(self, asking: Asking) -> None:
        pass


class Numbers:
    """A group of paths for the parent alone."""

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def routes(self) -> list[web.RouteDef]:
        return [web.get(NUMBERS, self.numbers)]

    async def numbers(self, _request: web.Request) -> web.Response:
        """All numbers of this worker, as `telemetry.merge` packs them."""
        return web.Response(body=encoded(reading(self._registry)), content_type="application/msgpack")

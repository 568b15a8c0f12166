"""
The admin port: `/ready`, `/live`, `/server_info`, `/stats/prometheus`, `/metrics`.

An ordinary aiohttp application: nothing here is on the way of a request. `/ready` and `/live` say `OK` or why not, in
plain text, as Envoy's do.
"""

import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import web
from attrs import define
from prometheus_client.exposition import choose_encoder

from sidecar import __version__
from sidecar.telemetry.metrics import Metrics


@define
class State:
    """What the program is doing: `starting`, `serving` or `draining`."""

    name: str = "starting"

    @property
    def is_ready(self) -> bool:
        return self.name == "serving"


POD_NETWORK = ("/ready", "/live", "/metrics", "/stats/prometheus")
"""What anybody who reaches the port may read; the rest answers loopback only."""


@web.middleware
async def _loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if request.path not in POD_NETWORK and not ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104
        raise web.HTTPForbidden(text="from loopback only\n")
    return await handler(request)


class AdminApp:
    """`clock`: seconds, never backwards."""

    def __init__(self, state: State, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._state = state
        self._metrics = metrics
        self._clock = clock
        self._started = clock()

    def build(self) -> web.Application:
        app = web.Application(middlewares=[_loopback_only])
        app.add_routes(
            [
                web.get("/ready", self.ready),
                web.get("/live", self.live),
                web.get("/server_info", self.server_info),
                web.get("/stats/prometheus", self.metrics),
                web.get("/metrics", self.metrics),
            ]
        )
        return app

    async def ready(self, _request: web.Request) -> web.Response:
        """200 only while requests are served; 503 while starting or draining."""
        if self._state.is_ready:
            return web.Response(text="OK\n")
        return web.Response(status=503, text=f"{self._state.name}\n")

    async def live(self, _request: web.Request) -> web.Response:
        """200 for as long as the event loop turns."""
        return web.Response(text="OK\n")

    async def server_info(self, _request: web.Request) -> web.Response:
        """`{"version", "state", "uptime_seconds"}`."""
        return web.json_response(
            {
                "version": __version__,
                "state": self._state.name,
                "uptime_seconds": round(self._clock() - self._started, 3),
            }
        )

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text, or OpenMetrics for those who accept it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return web.Response(body=encode(self._metrics.registry), headers={"content-type": content_type})

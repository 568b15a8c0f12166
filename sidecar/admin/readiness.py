"""
`/ready` and `/live`, as the kubelet and load balancers ask them, and an operator's word on the first.

In plain text, as Envoy's are. `/ready?verbose` says how each part is, in the way of Kubernetes' own `?verbose`: parts
that are not well are there to be read, and only the state decides, so that a missing key takes no pod out of service.
"""

from collections.abc import Callable, Mapping

from aiohttp import web

from sidecar.admin.state import State

Part = Callable[[], tuple[bool, str]]
"""Whether a part is well, and a few words on how it is. Readable on the pod's network: no addresses of providers, no
keys, no names of sessions."""


class Readiness:
    """`parts`: what `/ready?verbose` shows, by name; each is asked on every request."""

    def __init__(self, state: State, parts: Mapping[str, Part]) -> None:
        self._state = state
        self._parts = parts

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ready", self.ready),
            web.get("/live", self.live),
            web.post("/healthcheck/fail", self.fail),
            web.post("/healthcheck/ok", self.ok),
        ]

    async def ready(self, request: web.Request) -> web.Response:
        """200 only while requests are served, 503 while starting, draining or failed; ?verbose says how each part is."""
        said = "OK" if self._state.is_ready else self._state.shown
        lines = self.verbose() if "verbose" in request.query else []
        return web.Response(status=200 if self._state.is_ready else 503, text="\n".join([*lines, said, ""]))

    def verbose(self) -> list[str]:
        """A line for each part."""
        asked = ((name, *part()) for name, part in self._parts.items())
        return [f"[{'+' if well else '-'}] {name}: {says}" for name, well, says in asked]

    async def live(self, _request: web.Request) -> web.Response:
        """200 for as long as the event loop turns."""
        return web.Response(text="OK\n")

    async def fail(self, _request: web.Request) -> web.Response:
        """Turns /ready to 503 until /healthcheck/ok; requests are still served."""
        self._state.is_failed = True
        return web.Response(text="OK\n")

    async def ok(self, _request: web.Request) -> web.Response:
        """Takes /healthcheck/fail back."""
        self._state.is_failed = False
        return web.Response(text="OK\n")

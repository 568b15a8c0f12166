"""
The console: `GET /`, one page for whoever has to know at 3 a.m. whether sessions keep their model.

    page/index.html ── page/*.js ──every 2 s──▶ /recent  /clusters  /server_info
                           └──when asked──────▶ /route  /pins/{session}

Plain files, sent as they are: no build step, nothing from elsewhere. What comes from clients (routes of their own,
session ids) is put on the page as text; should that ever fail, the Content-Security-Policy lets no script run that is
not one of these files, and `trusted-types` lets no string become markup.
"""

from collections.abc import Callable, Mapping
from importlib import resources

import msgspec
from aiohttp import web

from sidecar.errors import NotFound
from sidecar.telemetry.recent import Recent

_DIRECTIVES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
POLICY = "; ".join(f"{name} {value}" for name, value in _DIRECTIVES.items())
"""https://www.w3.org/TR/CSP3/"""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Beside those that every answer of the admin port has."""

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Console:
    """The page, its files and `/recent`. `pins`: model -> live pins, asked each time somebody looks."""

    def __init__(self, recent: Recent, pins: Callable[[], Mapping[str, int]]) -> None:
        self._recent = recent
        self._pins = pins
        self._files = _files()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.page),
            web.get("/console/{name}", self.file),
            web.get("/recent", self.recent),
        ]

    async def page(self, _request: web.Request) -> web.Response:
        """The console: do sessions keep their model, and why not."""
        return self._file("index.html")

    async def file(self, request: web.Request) -> web.Response:
        """The console's scripts, style sheet and icon. Raises NotFound for any other name."""
        return self._file(request.match_info["name"])

    async def recent(self, _request: web.Request) -> web.Response:
        """The last 15 minutes in steps of 5 s, the latest decisions and live pins by model, as JSON."""
        # `sidecar.telemetry.recent.Recent.snapshot` says what is in it.
        body = msgspec.json.encode({**self._recent.snapshot(), "pins": dict(self._pins())})
        return web.Response(body=body, content_type="application/json", headers=HEADERS)

    def _file(self, name: str) -> web.Response:
        if (content := self._files.get(name)) is None:
            raise NotFound("the console has no file of that name")
        kind = _KINDS[name.rpartition(".")[2]]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=HEADERS)


def _files() -> dict[str, bytes]:
    """Read once, so that nothing a request names ever becomes a path."""
    folder = resources.files("sidecar.admin") / "page"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _KINDS}

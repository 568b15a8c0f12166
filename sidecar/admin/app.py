"""
The admin port: groups of paths put together, and what holds for all of them.

Each group is a class in its own module of this package and knows nothing of the others. Here they get one guard, one
shape of errors, and one page of help that is made from their own words. An ordinary aiohttp application: nothing here
is on the way of a client's request.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from sidecar.admin.answers import Group, error_answer, error_of
from sidecar.admin.guard import READING, Asking, Guard
from sidecar.errors import NotFound, SidecarError

log = logging.getLogger("sidecar.admin")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class AdminApp:
    """`groups` in the order in which `/help` shows them."""

    def __init__(self, groups: Iterable[Group], guard: Guard) -> None:
        self._guard = guard
        self._routes = [route for group in groups for route in group.routes()]
        self._routes.append(web.get("/help", self.help))

    def build(self) -> web.Application:
        app = web.Application(middlewares=[_in_one_shape, self._guarded])
        app.on_response_prepare.append(_private)
        app.add_routes(self._routes)
        return app

    async def help(self, request: web.Request) -> web.Response:
        """This page."""
        rows = [
            (route.method, route.resource.canonical, _first_sentence(route.handler))
            for route in request.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        ]
        width = max(len(path) for _, path, _ in rows)
        return web.Response(text="".join(f"{method:<6} {path:<{width}}  {says}\n" for method, path, says in rows))

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        hosts = request.headers.getall("Host", [])
        self._guard.check(Asking(request.method, request.path, request.remote, hosts, request.headers, request.scheme))
        answer = await handler(request)
        resource = request.match_info.route.resource
        if request.method not in READING and resource is not None:
            # The path as it was declared: the one that was asked for may name a session.
            log.info("%s %s answered %d", request.method, resource.canonical, answer.status)
        return answer


@web.middleware
async def _in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong becomes `{"error": {"code", "message"}}`."""
    try:
        return await handler(request)
    except SidecarError as exc:
        return error_of(exc)
    except web.HTTPNotFound:
        return error_of(NotFound(f"there is nothing at {request.path[:200]}: /help lists what there is"))
    except web.HTTPMethodNotAllowed as exc:
        allow = ", ".join(sorted(exc.allowed_methods))
        return error_answer(405, _CODES[405], f"{request.path[:200]} takes {allow} only", {"Allow": allow})
    except web.HTTPException as exc:
        return error_answer(exc.status, _CODES.get(exc.status, "invalid_request"), exc.reason)
    except ConnectionError:
        raise  # the operator has gone
    except Exception:  # the last resort, with the cause in the log
        resource = request.match_info.route.resource
        log.exception("%s %s failed", request.method, resource.canonical if resource else "")
        return error_answer(500, SidecarError.code, "internal error: the log has the cause")


async def _private(_request: web.Request, response: web.StreamResponse) -> None:
    """No browser is to keep an answer, guess at its kind, or lend it to another site's page. What serves it is not told."""
    response.headers.popall("Server", None)  # aiohttp has set it by now
    for name, value in (
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("X-Frame-Options", "DENY"),
    ):
        response.headers.setdefault(name, value)


def _first_sentence(handler: object) -> str:
    """Of its docstring, which may break lines."""
    said = " ".join((inspect.getdoc(handler) or "").split())
    return said.partition(". ")[0].rstrip(".")

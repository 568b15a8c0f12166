"""
Every request comes in here and every answer leaves here: with the same headers, counted and logged once.

The format of an error is that of the path it was met on. A request that cannot be read to its end closes its
connection: what follows on it might be the rest of a body.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from aiohttp import web

from sidecar.errors import MethodNotAllowed, NotFound, OriginNotAllowed, RequestError, SidecarError
from sidecar.listener.answers import NOTHING, Abandoned, Answer, Exchange, Way, refusal, visible
from sidecar.listener.body import Bodies
from sidecar.listener.cors import METHODS, cors_headers
from sidecar.listener.decisions import Decider, decision_body
from sidecar.listener.forward import Forwarder
from sidecar.listener.proxy import Proxy
from sidecar.listener.relay import CLIENT_GONE
from sidecar.listener.trace import trace_of
from sidecar.telemetry.metrics import OTHER, Metrics
from sidecar.wire.formats import Format

log = logging.getLogger("sidecar.access")
faults = logging.getLogger("sidecar.listener")

ROUTING = {f"/routing/v1/{form}": form for form in Format}
PROXIED = {f"/v1/{form}": form for form in Format}
HEALTH = "/healthz"
HELLO = "/api/hello"
"""Claude Code asks whether it is there before anything else."""
FORWARDED = "/v1/*"
"""The label of everything below /v1 that has none of its own."""

CLIENT_CLOSED_REQUEST = 499
"""nginx's word for a client that did not wait for its answer; nobody sees it but metrics and log."""


class Door:
    """An `aiohttp.web.Server` handler. `clock`: seconds, never backwards."""

    def __init__(
        self,
        *,
        bodies: Bodies,
        decider: Decider,
        proxy: Proxy,
        forwarder: Forwarder,
        metrics: Metrics,
        cors_origins: Collection[str],
        clock: Callable[[], float],
    ) -> None:
        self._bodies = bodies
        self._decider = decider
        self._proxy = proxy
        self._forwarder = forwarder
        self._metrics = metrics
        self._cors_origins = cors_origins
        self._clock = clock

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        started = self._clock()
        cors = cors_headers(request.headers, self._cors_origins) if "origin" in request.headers else ()
        way = Way(_endpoint(request.path), trace_of(request.headers), cors)
        try:
            exchange = await self._exchange(request, way)
        except asyncio.CancelledError as exc:
            way = exc.way if isinstance(exc, Abandoned) else way
            self._tell(Answer(CLIENT_CLOSED_REQUEST, b"", way, code=CLIENT_GONE), self._clock() - started)
            raise
        self._tell(exchange, self._clock() - started)
        return exchange.response()

    def not_http(self, kind: str) -> web.StreamResponse:
        """The answer to a request that could not be parsed; `kind` names the parser's complaint, not what it saw."""
        error = RequestError(f"The request is not valid HTTP ({kind}).")
        answer = refusal(Format.CHAT, error, Way(OTHER, trace_of({})), closes=True)
        self._tell(answer, 0.0)
        return answer.response()

    async def _exchange(self, request: web.BaseRequest, way: Way) -> Exchange:
        try:
            return await self._answer(request, way)
        except SidecarError as exc:
            return refusal(_form_of(request.path), exc, way, closes=not request.content.is_eof())
        except ConnectionError:
            return Answer(CLIENT_CLOSED_REQUEST, b"", way, code=CLIENT_GONE, closes=True)
        except Exception:  # noqa: BLE001 - the last resort, with the cause in the log
            # Nothing should come here. If something does, the client gets an answer and we get its cause.
            faults.exception("trace=%s unexpected", way.trace.trace_id)
            return refusal(_form_of(request.path), SidecarError("Internal error."), way, closes=True)

    async def _answer(self, request: web.BaseRequest, way: Way) -> Exchange:
        if request.method == "OPTIONS":
            return Answer(204, b"", way, extra=(("allow", METHODS),))
        if "origin" in request.headers and not way.cors:
            # Without an answer it could read, a page could still spend the providers' keys.
            raise OriginNotAllowed("This web page's origin is not among listener.cors_origins.")
        if (form := PROXIED.get(request.path)) is not None and request.method == "POST":
            return await self._proxy.complete(request, form, await self._bodies.read(request), way)
        if (form := ROUTING.get(request.path)) is not None:
            return await self._decide(request, form, way)
        if request.path == "/v1" or request.path.startswith("/v1/"):
            return await self._forwarder.forward(request, way)
        return _elsewhere(request, way)

    async def _decide(self, request: web.BaseRequest, form: Format, way: Way) -> Exchange:
        if request.method != "POST":
            return _not_allowed(form, way, request.path, "POST")
        body = await self._bodies.read(request)
        asked = await self._decider.decide(form, request.headers, body.content)
        return Answer(200, decision_body(asked.decided, way.trace), way.with_decision(asked.decided))

    def _tell(self, exchange: Exchange, seconds: float) -> None:
        way = exchange.way
        self._metrics.answered(way.endpoint, exchange.status, seconds)
        if exchange.code is not None:
            self._metrics.failed(exchange.code)
        if way.decided is not None:
            session = way.decided.session
            self._metrics.decided(way.endpoint, way.decided.decision, session.source if session else None)
        if way.failover is not None:
            self._metrics.failed_over(way.failover, moved=way.moved)
        if log.isEnabledFor(logging.INFO):
            log.info(_line(exchange, seconds))


def _elsewhere(request: web.BaseRequest, way: Way) -> Answer:
    if request.path not in (HEALTH, HELLO):
        raise NotFound(f"There is nothing at {request.path[:200]}.")
    if request.method not in ("GET", "HEAD"):
        return _not_allowed(Format.CHAT, way, request.path, "GET, HEAD")
    return Answer(200, b'{"status":"ok"}', way)


def _not_allowed(form: Format, way: Way, path: str, allow: str) -> Answer:
    error = MethodNotAllowed(f"{path} takes {allow} only.")
    return refusal(form, error, way, extra=(("allow", allow),))


def _form_of(path: str) -> Format:
    """Whose shape an error takes: Anthropic's clients know one word for all of their paths."""
    return Format.MESSAGES if "/messages" in path else Format.CHAT


def _endpoint(path: str) -> str:
    """A closed set, fit for a label."""
    if path in ROUTING or path in PROXIED or path in (HEALTH, HELLO, "/v1/models"):
        return path
    return FORWARDED if path.startswith("/v1/") else OTHER


def _line(exchange: Exchange, seconds: float) -> str:
    way = exchange.way
    said = f"trace={way.trace.trace_id} endpoint={way.endpoint} status={exchange.status} ms={seconds * 1000:.2f}"
    if exchange.code is not None:
        said += f" code={exchange.code}"
    if way.decided is not None:
        decision = way.decided.decision
        route = NOTHING if decision.route is None else visible(decision.route).replace(" ", "%20")
        model = visible(way.answering or decision.model)
        said += f" model={model} route={route} reason={decision.reason} pin={decision.lookup}"
    if way.failover is not None:
        said += f" failover={way.failover} moved={str(way.moved).lower()}"
    return said

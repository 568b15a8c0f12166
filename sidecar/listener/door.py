"""
Every request comes in here and every answer leaves here: with the same headers, told to telemetry once.

The format of an error is that of the path it was met on. A request that cannot be read to its end closes its
connection: what follows on it might be the rest of a body.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from aiohttp import HttpVersion, HttpVersion11, web
from aiohttp.hdrs import USER_AGENT

from sidecar.errors import MethodNotAllowed, NotFound, OriginNotAllowed, RequestError, SidecarError
from sidecar.listener.answers import CLIENT_CLOSED_REQUEST, Abandoned, Answer, Exchange, Way, refusal
from sidecar.listener.body import Bodies
from sidecar.listener.cors import METHODS, cors_headers
from sidecar.listener.decisions import Decider, decision_body
from sidecar.listener.forward import Forwarder
from sidecar.listener.proxy import Proxy
from sidecar.listener.relay import CLIENT_GONE
from sidecar.telemetry.metrics import OTHER
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.record import Attempt, Record, Teller
from sidecar.telemetry.trace import Traces
from sidecar.upstream.order import Attempted
from sidecar.wire.account import Account
from sidecar.wire.formats import Format

faults = logging.getLogger("sidecar.listener")

ROUTING = {f"/routing/v1/{form}": form for form in Format}
PROXIED = {f"/v1/{form}": form for form in Format}
HEALTH = "/healthz"
HELLO = "/api/hello"
"""Claude Code asks whether it is there before anything else."""
FORWARDED = "/v1/*"
"""The label of everything below /v1 that has none of its own."""

NO_ACCOUNT = Account()
HTTP_11 = "HTTP/1.1"


class Door:
    """
    An `aiohttp.web.Server` handler. `clock`: that of the event loop, seconds, never backwards; `wall`: Unix time.
    `tellers` are told of every request when it is over; `traces` says which trace it belongs to.
    """

    def __init__(
        self,
        *,
        bodies: Bodies,
        decider: Decider,
        proxy: Proxy,
        forwarder: Forwarder,
        tellers: Iterable[Teller],
        traces: Traces,
        pseudonyms: Pseudonyms,
        cors_origins: Collection[str],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._bodies = bodies
        self._decider = decider
        self._proxy = proxy
        self._forwarder = forwarder
        self._tellers = tuple(tellers)
        self._traces = traces
        self._pseudonyms = pseudonyms
        self._cors_origins = cors_origins
        self._clock = clock
        self._wall = wall
        self._under_way: Counter[tuple[str, ...]] = Counter()

    def in_flight(self) -> Mapping[tuple[str, ...], float]:
        """Requests under way, by endpoint."""
        return self._under_way

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        began = self._clock()
        cors = cors_headers(request.headers, self._cors_origins) if "origin" in request.headers else ()
        way = Way(_endpoint(request.path), self._traces.of(request.headers), cors)
        self._under_way[(way.endpoint,)] += 1
        try:
            exchange = await self._exchange(request, way)
        except asyncio.CancelledError as exc:
            way = exc.way if isinstance(exc, Abandoned) else way
            self._tell(Answer(CLIENT_CLOSED_REQUEST, b"", way, code=CLIENT_GONE), began, request)
            raise
        finally:
            self._under_way[(way.endpoint,)] -= 1
        self._tell(exchange, began, request)
        return exchange.response()

    def not_http(self, kind: str, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request that could not be parsed; `kind` names the parser's complaint, not what it saw."""
        error = RequestError(f"The request is not valid HTTP ({kind}).")
        answer = refusal(Format.CHAT, error, Way(OTHER, self._traces.of({})), closes=True)
        self._tell(answer, self._clock(), request)
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
            faults.exception("unexpected", extra={"trace": way.trace.trace_id})
            return refusal(_form_of(request.path), SidecarError("Internal error."), way, closes=True)

    async def _answer(self, request: web.BaseRequest, way: Way) -> Exchange:
        if request.method == "OPTIONS":
            return Answer(204, b"", way, extra=(("allow", METHODS),))
        if "origin" in request.headers and not way.cors:
            # Without an answer it could read, a page could still spend the providers' keys.
            raise OriginNotAllowed("This web page's origin is not among listener.cors_origins.")
        if (form := PROXIED.get(request.path)) is not None and request.method == "POST":
            return await self._proxy.complete(request, form, await self._bodies.read(request, way.journal), way)
        if (form := ROUTING.get(request.path)) is not None:
            return await self._decide(request, form, way)
        if request.path == "/v1" or request.path.startswith("/v1/"):
            return await self._forwarder.forward(request, way)
        return _elsewhere(request, way)

    async def _decide(self, request: web.BaseRequest, form: Format, way: Way) -> Exchange:
        if request.method != "POST":
            return _not_allowed(form, way, request.path, "POST")
        body = await self._bodies.read(request, way.journal)
        asked = await self._decider.decide(form, request.headers, body.content, request.remote or "")
        return Answer(
            200, decision_body(asked.decided, way.trace), way.with_decision(asked.decided, asked.request.model)
        )

    def _tell(self, exchange: Exchange, began: float, request: web.BaseRequest) -> None:
        record = self._record(exchange, began, request)
        for tell in self._tellers:
            try:
                tell(record)
            except Exception:  # noqa: BLE001 - what is told of an answer is never worth the answer
                faults.exception("unexpected, in telemetry", extra={"trace": record.trace.trace_id})

    def _record(self, exchange: Exchange, began: float, request: web.BaseRequest) -> Record:
        way, seconds = exchange.way, self._clock() - began
        journal, decided = way.journal, way.decided
        decision, session = (None, None) if decided is None else (decided.decision, decided.session)
        account, first_at = journal.account or NO_ACCOUNT, journal.first_byte_at
        # By position, in the order of its fields: with names it takes twenty times as long.
        return Record(
            way.endpoint,
            request.method,
            exchange.status,
            way.trace,
            self._wall() - seconds,
            seconds,
            HTTP_11 if request.version is HttpVersion11 else _protocol(request.version),
            request.remote or "",
            request.headers.get(USER_AGENT, ""),
            exchange.code,
            exchange.culprit,
            journal.body_s,
            journal.waited_s,
            journal.client_s,
            None if first_at is None else first_at - began,
            request.content.total_bytes,
            0 if request.method == "HEAD" else exchange.size,
            way.requested,
            decision,
            session,
            "" if session is None else self._pseudonyms.of(session),
            way.answering,
            tuple([_told(made, began) for made in journal.attempts]) if journal.attempts else (),
            way.failover,
            way.moved,
            journal.streamed,
            way.operation,
            account.usage,
            account.finish,
            account.response_model,
        )


def _protocol(version: HttpVersion) -> str:
    return f"HTTP/{version.major}.{version.minor}"


def _told(made: Attempted, began: float) -> Attempt:
    return Attempt(
        made.provider,
        made.model,
        made.outcome,
        made.began_at - began,
        made.seconds,
        made.first_byte_s,
        made.status,
        made.span_id,
    )


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

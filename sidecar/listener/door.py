"""
Every request comes in here and every answer leaves here: with the same headers, told to telemetry once.

The format of an error is that of the path it was met on. A request that cannot be read to its end closes its
connection: what follows on it might be the rest of a body.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping

from aiohttp.hdrs import USER_AGENT

from sidecar.errors import MethodNotAllowed, NotFound, OriginNotAllowed, RequestError, SidecarError, Unavailable
from sidecar.listener.admission import Admission
from sidecar.listener.answers import CLIENT_CLOSED_REQUEST, Answer, Exchange, Relayed, Way, refusal
from sidecar.listener.body import Bodies
from sidecar.listener.cors import METHODS, cors_headers
from sidecar.listener.decisions import Decider, decision_body
from sidecar.listener.ended import Ended
from sidecar.listener.forward import Forwarder
from sidecar.listener.incoming import Incoming
from sidecar.listener.outlet import Outlet
from sidecar.listener.proxy import Proxy
from sidecar.listener.relay import CLIENT_GONE, heard
from sidecar.telemetry.metrics import OTHER
from sidecar.telemetry.trace import Traces
from sidecar.wire.formats import Format

faults = logging.getLogger("sidecar.listener")

HEALTH = "/healthz"
HELLO = "/api/hello"
"""Claude Code asks whether it is there before anything else."""
FORWARDED = "/v1/*"
"""The label of everything below /v1 that has none of its own."""


class Door:
    """
    `clock`: that of the event loop, seconds, never backwards; `wall`: Unix time.
    `tells` is given every request when it is over, must not raise, and is nothing that anybody waits for; `traces` says
    which trace it belongs to; `under_way` counts requests for several doors, one after the other.
    """

    def __init__(
        self,
        *,
        bodies: Bodies,
        decider: Decider,
        proxy: Proxy,
        forwarder: Forwarder,
        tells: Callable[[Ended], None],
        traces: Traces,
        cors_origins: Collection[str],
        clock: Callable[[], float],
        wall: Callable[[], float],
        under_way: Counter[tuple[str, ...]] | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._bodies = bodies
        self._decider = decider
        self._proxy = proxy
        self._forwarder = forwarder
        self._tells = tells
        self._traces = traces
        self._cors_origins = cors_origins
        self._clock = clock
        self._wall = wall
        self._under_way: Counter[tuple[str, ...]] = Counter() if under_way is None else under_way
        self._admission = admission
        self.busy = 0
        """Requests under way here."""
        self._forwarded = _Place(FORWARDED, Door._forward)
        self._nowhere = _Place(OTHER, _nothing)
        self._places = {
            **{f"/routing/v1/{form}": _Place(f"/routing/v1/{form}", Door._decide, form) for form in Format},
            **{f"/v1/{form}": _Place(f"/v1/{form}", Door._complete, form) for form in Format},
            **{path: _Place(path, _greet) for path in (HEALTH, HELLO)},
            "/v1/models": _Place("/v1/models", Door._forward),
            "/v1": _Place(OTHER, Door._forward),
        }
        for place in (*self._places.values(), self._forwarded, self._nowhere):
            self._under_way[place.label] += 0

    def in_flight(self) -> Mapping[tuple[str, ...], float]:
        """Requests under way, by endpoint; those of the doors before, whose count it shares, included."""
        return self._under_way

    async def serve(self, request: Incoming, outlet: Outlet) -> None:
        """Answers a request through its outlet."""
        began = self._clock()
        place = self._places.get(request.path) or self._place(request.path)
        seen = request.head is not None  # then there is nothing in it about traces and pages
        way = Way(place.endpoint, self._traces.begun() if seen else self._traces.of(request.headers))
        self._under_way[place.label] += 1
        self.busy += 1
        try:
            if not seen and ("origin" in request.headers or request.method == "OPTIONS"):
                exchange = await self._to_a_page(request, outlet, way, place)
            else:
                exchange = await place.answer(
                    self,
                    request if self._admission is None else self._admitted(request, way, self._admission),
                    outlet,
                    way,
                    place.form,
                )
        except asyncio.CancelledError:
            if outlet.broken is None:
                self._tell(Answer(CLIENT_CLOSED_REQUEST, b"", way, code=CLIENT_GONE), began, request)
                raise
            heard()
            exchange = refusal(_form_of(request.path), outlet.broken, way, closes=True)
        except Exception as exc:  # noqa: BLE001 - every error ends here, as an answer
            exchange = _failed(exc, request, way)
        finally:
            self._under_way[place.label] -= 1
            self.busy -= 1
        if isinstance(exchange, Answer):
            if outlet.begun:  # it was broken off, or failed, with its answer on the way: no second one into that
                outlet.cut()
                exchange = Relayed(outlet.sent_status, way, exchange.code)
            else:
                exchange.send(outlet)
        self._tell(exchange, began, request)  # after it was sent: its client does not wait for this

    def at_once(self, request: Incoming, outlet: Outlet) -> bool:
        """
        Answers what needs nothing to be waited for: a decision that a pin takes. `request`: one whose head is known
        and whose body is here. False: nothing was answered, and `serve` is for it.
        """
        place, body = self._places.get(request.path), request.whole
        if place is None or place.answer is not Door._decide or body is None or len(body) > self._bodies.max_bytes:
            return False
        began = self._clock()
        way = Way(place.endpoint, self._traces.begun())
        try:
            if self._admission is not None:
                request = self._admitted(request, way, self._admission)
            asked = self._decider.at_once(place.form, request, body)
        except Exception:  # noqa: BLE001 - `serve` will meet it too, and say so
            return False
        if asked is None:
            return False
        way.decided, way.requested = asked.decided, asked.request.model
        answer = Answer(200, decision_body(asked.decided, way.trace), way)
        answer.send(outlet)
        self._tell(answer, began, request)
        return True

    def not_http(self, kind: str, request: Incoming, outlet: Outlet) -> None:
        """The answer to a request that could not be parsed; `kind` names the parser's complaint, not what it saw."""
        error = RequestError(f"The request is not valid HTTP ({kind}).")
        answer = refusal(Format.CHAT, error, Way(OTHER, self._traces.of({})), closes=True)
        answer.send(outlet)
        self._tell(answer, self._clock(), request)

    def refuse(self, error: SidecarError, request: Incoming, outlet: Outlet) -> None:
        """
        The answer to a request that is not looked into. The connection ends with it, unless there was just too much to
        do and the request is all here.
        """
        way = Way(self._place(request.path).endpoint, self._traces.of(request.headers))
        way.cors = cors_headers(request.headers, self._cors_origins) if "origin" in request.headers else ()
        closes = not (isinstance(error, Unavailable) and request.content.is_eof())
        answer = refusal(_form_of(request.path), error, way, closes=closes)
        answer.send(outlet)
        self._tell(answer, self._clock(), request)

    def _place(self, path: str) -> "_Place":
        return self._places.get(path) or (self._forwarded if path.startswith("/v1/") else self._nowhere)

    def _admitted(self, request: Incoming, way: Way, admission: Admission) -> Incoming:
        """The request, if its client may call. Raises InvalidApiKey."""
        if request.path == HEALTH:
            return request
        admitted = admission.admit(request)
        way.journal.caller = admitted.caller
        return admitted

    async def _to_a_page(self, request: Incoming, outlet: Outlet, way: Way, place: "_Place") -> Exchange:
        """Pages in browsers say where they come from."""
        way.cors = cors_headers(request.headers, self._cors_origins)
        if request.method == "OPTIONS":
            return Answer(204, b"", way, extra=(("allow", METHODS),))
        if self._admission is not None:
            request = self._admitted(request, way, self._admission)
        if not way.cors:
            # Without an answer it could read, a page could still spend the providers' keys.
            raise OriginNotAllowed("This web page's origin is not among listener.cors_origins.")
        return await place.answer(self, request, outlet, way, place.form)

    async def _decide(self, request: Incoming, _outlet: Outlet, way: Way, form: Format) -> Exchange:
        if request.method != "POST":
            return _not_allowed(form, way, request.path, "POST")
        body = await self._bodies.read(request, way.journal)
        asked = await self._decider.decide(form, request, body.content)
        way.decided, way.requested = asked.decided, asked.request.model
        return Answer(200, decision_body(asked.decided, way.trace), way)

    async def _complete(self, request: Incoming, outlet: Outlet, way: Way, form: Format) -> Exchange:
        if request.method != "POST":
            return await self._forwarder.forward(request, outlet, way)
        body = await self._bodies.read(request, way.journal)
        return await self._proxy.complete(request, outlet, form, body, way)

    async def _forward(self, request: Incoming, outlet: Outlet, way: Way, _form: Format) -> Exchange:
        return await self._forwarder.forward(request, outlet, way)

    def _tell(self, exchange: Exchange, began: float, request: Incoming) -> None:
        ended = Ended(
            exchange.way,
            exchange.status,
            exchange.code,
            exchange.culprit,
            began,
            self._clock(),
            self._wall(),
            request.method,
            request.version,
            request.remote,
            request.headers.get(USER_AGENT, "") if request.head is None else request.head.user_agent,
            request.content.total_bytes if request.whole is None else len(request.whole),
        )
        self._tells(ended)


class _Place:
    """
    Where a request may go, found by its path in one step: what it is called, whose words are spoken there, and what
    answers there: a function of a door. Its method would have the door, which has the place, and a configuration that is
    replaced would wait for the collector.
    """

    __slots__ = ("answer", "endpoint", "form", "label")

    def __init__(
        self,
        endpoint: str,
        answer: Callable[[Door, Incoming, Outlet, Way, Format], Awaitable[Exchange]],
        form: Format = Format.CHAT,
    ) -> None:
        self.endpoint = endpoint
        """One of a closed set, fit for a label."""
        self.answer = answer
        self.form = form
        self.label = (endpoint,)


def _failed(exc: Exception, request: Incoming, way: Way) -> Answer:
    if isinstance(exc, SidecarError):
        return refusal(_form_of(request.path), exc, way, closes=not request.content.is_eof())
    if isinstance(exc, ConnectionError):
        return Answer(CLIENT_CLOSED_REQUEST, b"", way, code=CLIENT_GONE, closes=True)
    # Nothing should come here. If something does, the client gets an answer and we get its cause.
    faults.error("unexpected", exc_info=exc, extra={"trace": way.trace.trace_id})
    return refusal(_form_of(request.path), SidecarError("Internal error."), way, closes=True)


async def _nothing(_door: Door, request: Incoming, _outlet: Outlet, _way: Way, _form: Format) -> Exchange:
    raise NotFound(f"There is nothing at {request.path[:200]}.")


async def _greet(_door: Door, request: Incoming, _outlet: Outlet, way: Way, _form: Format) -> Exchange:
    if request.method not in ("GET", "HEAD"):
        return _not_allowed(Format.CHAT, way, request.path, "GET, HEAD")
    return Answer(200, b'{"status":"ok"}', way)


def _not_allowed(form: Format, way: Way, path: str, allow: str) -> Answer:
    error = MethodNotAllowed(f"{path} takes {allow} only.")
    return refusal(form, error, way, extra=(("allow", allow),))


def _form_of(path: str) -> Format:
    """Whose shape an error takes: Anthropic's clients know one word for all of their paths."""
    return Format.MESSAGES if "/messages" in path else Format.CHAT

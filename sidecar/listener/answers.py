"""
What becomes of a request: a whole answer, or one that was relayed already; and the way it went, for the headers, the
metrics and the log.
"""

import asyncio
from urllib.parse import quote

from aiohttp import web
from attrs import evolve, field, frozen
from multidict import CIMultiDict

from sidecar.errors import SidecarError
from sidecar.listener.decisions import Decided
from sidecar.listener.journal import Journal
from sidecar.listener.relay import CLIENT_GONE
from sidecar.telemetry.trace import Trace
from sidecar.upstream.failover import Trip
from sidecar.upstream.limits import Overloaded
from sidecar.wire.answer import error_body
from sidecar.wire.formats import Format

CLIENT_CLOSED_REQUEST = 499
"""nginx's word for a client that did not wait for its answer; nobody sees it but metrics and log."""
NOTHING = "-"
"""What a header says when there is nothing to say, as in Envoy's logs."""


@frozen
class Way:
    """How a request went so far."""

    endpoint: str
    trace: Trace
    cors: tuple[tuple[str, str], ...] = ()
    """What a browser is to be told."""
    journal: Journal = field(factory=Journal)
    decided: Decided | None = None
    requested: str | None = None
    """The model that the client named."""
    operation: str | None = None
    """What was asked of a model, in OpenTelemetry's word."""
    model: str | None = None
    """Whose answer it is, once somebody was asked."""
    attempts: int = 0
    """How many attempts at providers were made."""
    failover: str | None = None
    """Why the first attempt was not the last."""
    moved: bool = False
    """Whether they moved the session's pin."""

    def with_decision(self, decided: Decided, requested: str | None, operation: str | None = None) -> "Way":
        # Not `evolve`, which takes five times as long: every request comes by here.
        return Way(self.endpoint, self.trace, self.cors, self.journal, decided, requested, operation)

    def with_attempts(self, trip: Trip, model: str | None, *, answered: bool, moved: bool = False) -> "Way":
        attempts = sum(made.failure.asked for made in trip.made) + answered
        failover = trip.made[0].failure.cause.value if len(trip.made) + answered > 1 else None
        return evolve(self, model=model, attempts=attempts, failover=failover, moved=moved)

    @property
    def answering(self) -> str | None:
        """The model whose answer it is, else the one that was decided on."""
        return self.model or (self.decided.decision.model if self.decided else None)

    def pin_word(self) -> str:
        """`hit; source=x-session-id`: what became of the look into the pin table, and who named the session."""
        if self.decided is None:
            return NOTHING
        word = "moved" if self.moved else self.decided.decision.lookup.value
        session = self.decided.session
        return f"{word}; source={session.source}" if session else word

    def headers(self) -> list[tuple[str, str]]:
        """What every answer of ours says of its way."""
        decision = self.decided.decision if self.decided else None
        headers = [
            ("x-sidecar-model", visible(self.answering) if self.answering else NOTHING),
            ("x-sidecar-route", visible(decision.route) if decision and decision.route else NOTHING),
            ("x-sidecar-pin", self.pin_word()),
            ("x-request-id", self.trace.request_id),
        ]
        if self.attempts:
            headers.append(("x-sidecar-attempts", str(self.attempts)))
        if self.failover is not None:
            headers.append(("x-sidecar-failover", self.failover))
        headers.extend(self.cors)
        return headers


@frozen
class Answer:
    """A whole answer, before it is HTTP."""

    status: int
    body: bytes
    way: Way
    headers: CIMultiDict[str] | None = None
    """All headers, when they are not just ours."""
    reason: str | None = None
    """The provider's, where it is a provider's answer."""
    code: str | None = None
    """The stable code of an error."""
    culprit: str | None = None
    """The part of the request that was wrong."""
    extra: tuple[tuple[str, str], ...] = ()
    closes: bool = False

    @property
    def size(self) -> int:
        """Of its body, in bytes; of one that a client did not wait for, what it got before it went."""
        return len(self.body) or self.way.journal.bytes_out

    def response(self) -> web.Response:
        headers = self.headers
        if headers is None:
            headers = CIMultiDict([("content-type", "application/json"), *self.way.headers(), *self.extra])
        response = web.Response(status=self.status, reason=self.reason, body=self.body, headers=headers)
        if self.closes:
            response.force_close()
        return response


@frozen
class Relayed:
    """An answer that was sent while it came."""

    sent: web.StreamResponse
    way: Way
    code: str | None = None
    """What cut it short, if anything did."""
    culprit: None = None

    @property
    def status(self) -> int:
        """The one that was sent, unless the client was gone before the end."""
        return CLIENT_CLOSED_REQUEST if self.code == CLIENT_GONE else self.sent.status

    @property
    def size(self) -> int:
        """What was sent of its body, in bytes."""
        return self.way.journal.bytes_out

    def response(self) -> web.StreamResponse:
        return self.sent


Exchange = Answer | Relayed


class Abandoned(asyncio.CancelledError):
    """The client did not wait for its answer. `way`: how far its request had come."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self.way = way


def refusal(
    form: Format, error: SidecarError, way: Way, *, extra: tuple[tuple[str, str], ...] = (), closes: bool = False
) -> Answer:
    """An error as an answer, in the shape that clients of that format know."""
    if isinstance(error, Overloaded):
        extra = (*extra, ("retry-after", f"{error.retry_after_s:.0f}"))
    extra = (*extra, ("x-sidecar-error", error.code))
    return Answer(
        error.status, error_body(form, error), way, code=error.code, culprit=error.param, extra=extra, closes=closes
    )


def visible(text: str) -> str:
    """A header holds visible ASCII; everything else, and `%` for its sake, is percent-encoded as in a URL."""
    return text if text.isascii() and text.isprintable() else quote(text, safe="!#$&'()*+,/:;=?@[]^`{|}<>\"\\ ~")

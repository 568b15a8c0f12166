"""
What becomes of a request: a whole answer, or one that was relayed already; and the way it went, for the headers, the
metrics and the log.
"""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

import msgspec
from msgspec import Struct
from multidict import CIMultiDict

from sidecar.errors import Draining, InvalidApiKey, SidecarError
from sidecar.listener.decisions import Decided
from sidecar.listener.head import Headers
from sidecar.listener.journal import Journal
from sidecar.listener.outlet import Outlet
from sidecar.telemetry.trace import Trace
from sidecar.upstream.failover import Trip
from sidecar.upstream.limits import Overloaded
from sidecar.upstream.relaying import Lines
from sidecar.wire.answer import error_body
from sidecar.wire.formats import Format

CLIENT_CLOSED_REQUEST = 499
"""nginx's word for a client that did not wait for its answer; nobody sees it but metrics and log."""
NOTHING = "-"
"""What a header says when there is nothing to say, as in Envoy's logs."""
_JSON = ("content-type", "application/json")
_JSON_LINE = b"content-type: application/json\r\n"


class Way(Struct):
    """How a request went so far. There is one for each request; its steps write down what they come to."""

    endpoint: str
    trace: Trace
    cors: tuple[tuple[str, str], ...] = ()
    """What a browser is to be told."""
    journal: Journal = msgspec.field(default_factory=Journal)
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

    def asked(self, trip: Trip | None, model: str | None, *, answered: bool, moved: bool = False) -> None:
        """Providers were asked, in the end `model`, and what came of it. `trip`: None where the first one answered."""
        self.model = model
        if trip is None:
            self.attempts = 1
            return
        self.attempts = sum(made.failure.asked for made in trip.made) + answered
        self.failover = trip.made[0].failure.cause.value if len(trip.made) + answered > 1 else None
        self.moved = moved

    def headers(self) -> list[tuple[str, str]]:
        """What every answer of ours says of its way."""
        headers = [*self._who().headers, ("x-request-id", self.trace.request_id)]
        if self.attempts:
            headers.append(("x-sidecar-attempts", str(self.attempts)))
        if self.failover is not None:
            headers.append(("x-sidecar-failover", self.failover))
        headers.extend(self.cors)
        return headers

    def lines(self) -> bytes | None:
        """`headers`, ready to be sent. None when some of them are not always ours: then they are to be asked for."""
        said = self._who()
        if self.cors or self.failover is not None or not said.are_sound:
            return None
        request_id = self.trace.request_id.encode()
        if self.attempts == 1:  # as nearly always: half of what it takes to fill in three
            return b"".join((said.lines, b"x-request-id: ", request_id, b"\r\nx-sidecar-attempts: 1\r\n"))
        if not self.attempts:
            return b"%bx-request-id: %b\r\n" % (said.lines, request_id)
        return b"%bx-request-id: %b\r\nx-sidecar-attempts: %d\r\n" % (said.lines, request_id, self.attempts)

    def _who(self) -> "_Said":
        decided = self.decided
        if decided is None:
            return _said(self.model, None, None, None)
        decision, session = decided.decision, decided.session
        lookup = "moved" if self.moved else decision.lookup
        source = None if session is None else session.source
        return _said(self.model or decision.candidates[0], decision.route, lookup, source)


class _Said(Struct):
    headers: Sequence[tuple[str, str]]
    lines: bytes
    are_sound: bool
    """Whether they are what was meant: nothing in them ends a line, and all of it is ASCII."""


@lru_cache(1024)
def _said(model: str | None, route: str | None, lookup: str | None, source: str | None) -> _Said:
    """
    Who answers, and why: the same for most requests, and so remembered, which is 7 calls less for each. `x-sidecar-pin`
    is `hit; source=x-session-id`: what became of the look into the pin table, and who named the session.
    """
    headers = (
        ("x-sidecar-model", visible(model) if model else NOTHING),
        ("x-sidecar-route", visible(route) if route else NOTHING),
        ("x-sidecar-pin", f"{lookup or NOTHING}; source={source}" if source else f"{lookup or NOTHING}"),
    )
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return _Said(headers, lines.encode("ascii", "replace"), lines.isascii() and lines.count("\n") == len(headers))


class Answer(Struct):
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

    def send(self, outlet: Outlet) -> None:
        if self.body:
            self.way.journal.bytes_out = len(self.body)
        if self.headers is not None:
            headers: Headers = self.headers.items()
        elif not self.extra and (lines := self.way.lines()) is not None:
            headers = Lines(_JSON_LINE + lines)
        else:
            headers = [_JSON, *self.way.headers(), *self.extra]
        outlet.whole(self.status, self.reason, headers, self.body, closes=self.closes)


class Relayed(Struct):
    """An answer that was sent while it came."""

    status: int
    """The one that was sent, whatever came of it."""
    way: Way
    code: str | None = None
    """What cut it short, if anything did."""
    culprit: None = None


Exchange = Answer | Relayed


def refusal(
    form: Format, error: SidecarError, way: Way, *, extra: tuple[tuple[str, str], ...] = (), closes: bool = False
) -> Answer:
    """An error as an answer, in the shape that clients of that format know."""
    if isinstance(error, Overloaded):
        extra = (*extra, ("retry-after", f"{error.retry_after_s:.0f}"))
    if isinstance(error, Draining):
        extra = (*extra, ("retry-after", "1"))  # somebody else listens here by then, or nobody
    if isinstance(error, InvalidApiKey):
        extra = (*extra, ("www-authenticate", error.challenge))
    extra = (*extra, ("x-sidecar-error", error.code))
    return Answer(
        error.status, error_body(form, error), way, code=error.code, culprit=error.param, extra=extra, closes=closes
    )


def visible(text: str) -> str:
    """A header holds visible ASCII; everything else, and `%` for its sake, is percent-encoded as in a URL."""
    return text if text.isascii() and text.isprintable() else quote(text, safe="!#$&'()*+,/:;=?@[]^`{|}<>\"\\ ~")

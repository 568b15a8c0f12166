"""
A request that is over, until telemetry is told of it: what its record will be made of.

To make a record takes longer than all else that the door does for telemetry, and two or three times as long right after
an answer as in a row with others (`sidecar.telemetry.telling`). So the door leaves one of these. What may be another
thing by then is in it as it was: the clocks, and how much of the body had come. The request is not in it, nor what was
answered, which may be large.
"""

from aiohttp import HttpVersion, HttpVersion11
from msgspec import Struct

from sidecar.listener.answers import CLIENT_CLOSED_REQUEST, Way
from sidecar.listener.relay import CLIENT_GONE
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.record import Attempt, Record
from sidecar.upstream.order import Attempted
from sidecar.wire.account import Account

NO_ACCOUNT = Account()
HTTP_11 = "HTTP/1.1"


class Ended(Struct, frozen=True, gc=False):
    way: Way
    status: int
    """The one that was sent."""
    code: str | None
    """The stable code of what went wrong."""
    culprit: str | None
    began_at: float
    """By the clock of the event loop, in seconds, as is the next."""
    ended_at: float
    ended_unix_s: float
    method: str
    version: HttpVersion
    remote: str | None
    user_agent: str
    bytes_in: int

    def record(self, pseudonyms: Pseudonyms) -> Record:
        """To be called once nothing of its way changes any more."""
        way, began_at, seconds = self.way, self.began_at, self.ended_at - self.began_at
        journal, decided = way.journal, way.decided
        decision, session = (None, None) if decided is None else (decided.decision, decided.session)
        account, first_at, attempts = journal.told() or NO_ACCOUNT, journal.first_byte_at, journal.attempts
        # By position, in the order of its fields: with names it takes twenty times as long.
        return Record(
            way.endpoint,
            self.method,
            CLIENT_CLOSED_REQUEST if self.code == CLIENT_GONE else self.status,
            way.trace,
            self.ended_unix_s - seconds,
            seconds,
            HTTP_11 if self.version is HttpVersion11 else _protocol(self.version),
            self.remote or "",
            self.user_agent,
            self.code,
            self.culprit,
            journal.body_s,
            journal.waited_s if attempts else journal.provider_s,
            journal.client_s,
            None if first_at is None else first_at - began_at,
            self.bytes_in,
            0 if self.method == "HEAD" else journal.bytes_out,
            way.requested,
            decision,
            session,
            "" if session is None else pseudonyms.of(session),
            way.model or (None if decision is None else decision.candidates[0]),
            tuple([_told(made, began_at) for made in attempts]) if attempts else (),
            way.failover,
            way.moved,
            journal.streamed,
            way.operation,
            account.usage,
            account.finish,
            account.response_model,
            journal.caller,
        )


def _protocol(version: HttpVersion) -> str:
    return f"HTTP/{version.major}.{version.minor}"


def _told(made: Attempted, began_at: float) -> Attempt:
    return Attempt(
        made.provider,
        made.model,
        made.outcome,
        made.began_at - began_at,
        made.seconds,
        made.first_byte_s,
        made.status,
        made.span_id,
    )

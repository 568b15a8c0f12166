"""
A request that is over, until telemetry is told of it: what it comes to for those who count, and what its record is.

To find that takes longer than all else that the door does for telemetry, and two or three times as long right after an
answer as in a row with others (`sidecar.telemetry.telling`). So the door leaves one of these. What may be another thing
by then is in it as it was: the clocks, and how much of the body had come. The request is not in it, nor what was
answered, which may be large.
"""

from collections.abc import Sequence
from typing import Any

from aiohttp import HttpVersion, HttpVersion11
from msgspec import Struct

from sidecar.listener.answers import CLIENT_CLOSED_REQUEST, Way
from sidecar.listener.relay import CLIENT_GONE
from sidecar.telemetry.counts import Counts, Unusual
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

    def count(self, counts: Counts) -> None:
        """Adds it to what several come to. To be called once nothing of its way changes any more, as the next."""
        way, code = self.way, self.code
        journal, decided, began_at = way.journal, way.decided, self.began_at
        seconds, status = self.ended_at - began_at, CLIENT_CLOSED_REQUEST if code == CLIENT_GONE else self.status
        attempts, call = journal.attempts, None
        added_s = seconds - journal.body_s - journal.provider_s - journal.client_s
        for made in attempts:
            added_s -= made.waited_s
        model, session, decision = way.model, None, None
        if decided is not None:
            one, session = decided.decision, decided.session
            model = model or one.candidates[0]
            source = None if session is None else session.source
            decision = (one.candidates[0], one.route, one.reason, one.lookup, one.pinned, source)
        caller = None if journal.caller is None else journal.caller.label
        bytes_out = 0 if self.method == "HEAD" else journal.bytes_out
        added_s = added_s if added_s > 0.0 else 0.0  # noqa: FURB136 - half the time of `max`
        # In the order of the fields of Kind, Numbers and Latest.
        numbers: tuple[float, ...] = (seconds, added_s, self.bytes_in, bytes_out)
        if attempts:
            call, more = _called(way, attempts, code, self.ended_at)
            numbers += more
        kind = (way.endpoint, status, code, caller, model, way.failover, way.moved, decision, call)
        if decision is not None:
            counts.latest.append((kind, decision, self.ended_unix_s, seconds, session, way.trace.trace_id))
        if code is not None or (call is not None and call[0] is None):
            counts.unusual.append(Unusual(code, self.culprit, tuple([_told(made, began_at) for made in attempts])))
        counts.alike[kind].append(numbers)

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


def _called(
    way: Way, attempts: Sequence[Attempted], code: str | None, ended_at: float
) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    """The fields of a Call, and those of Numbers that are there for it."""
    journal, made = way.journal, attempts[-1]
    account, first_at, first_byte_s = journal.told(), journal.first_byte_at, made.first_byte_s
    usage = None if account is None else account.usage
    asked, said, cached = (0, 0, 0) if usage is None else (usage.input, usage.output, usage.cache_read)
    went_well = code is None and len(attempts) == 1 and first_byte_s is not None
    provider = made.provider if went_well else None
    times = (ended_at - attempts[0].began_at, made.seconds, first_byte_s or 0.0, asked, said, cached)
    if not journal.streamed or first_at is None:
        return (provider, way.operation, usage is not None, False, False), times
    # Of a part, what its usage counts up to is not known.
    paced = code is None and said > 1
    pace_s = (ended_at - first_at) / (said - 1) if paced else 0.0
    return (provider, way.operation, usage is not None, True, paced), (*times, first_at - made.began_at, pace_s)


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

"""Records of requests, as the door would tell them, with only what a test cares about; and what they come to."""

from aiohttp import HttpVersion11

from sidecar.listener.answers import Way
from sidecar.listener.decisions import Decided
from sidecar.listener.ended import Ended
from sidecar.telemetry.counts import Counts
from sidecar.telemetry.record import Record
from sidecar.telemetry.trace import Trace
from sidecar.upstream.order import Attempted
from sidecar.wire.account import Account

TRACE = Trace("0" * 31 + "1", "request-1")
BEGAN_AT = 100.0
"""By the clock of the event loop."""


def record(**more):
    """A request that went well and said nothing of itself."""
    usual = {"endpoint": "/v1/chat/completions", "method": "POST", "status": 200, "trace": TRACE}
    return Record(**{**usual, "began_at_s": 1_700_000_000.0, "seconds": 1.0, **more})


def counts(*records):
    """What the requests of these records come to, for who counts."""
    those = Counts()
    for each in records:
        ended(each).count(those)
    return those


def ended(record):
    """What the door would have left of a request for this record to be made of."""
    way = Way(record.endpoint, record.trace, requested=record.requested, operation=record.operation)
    way.model, way.failover, way.moved = record.model, record.failover, record.moved
    way.decided = None if record.decision is None else Decided(record.decision, record.session)
    journal = way.journal
    journal.body_s, journal.provider_s, journal.client_s = record.body_s, record.provider_s, record.client_s
    journal.first_byte_at = None if record.first_byte_s is None else BEGAN_AT + record.first_byte_s
    journal.streamed, journal.bytes_out, journal.caller = record.streamed, record.bytes_out, record.caller
    journal.account = Account(record.usage, record.finish, record.response_model)
    journal.attempts.extend(map(_attempted, record.attempts))
    times = (BEGAN_AT, BEGAN_AT + record.seconds, record.began_at_s + record.seconds)
    said = (record.method, HttpVersion11, record.client, record.user_agent, record.bytes_in)
    return Ended(way, record.status, record.code, record.culprit, *times, *said)


def _attempted(attempt):
    return Attempted(
        attempt.provider,
        attempt.model,
        BEGAN_AT + attempt.began_s,
        attempt.span_id,
        attempt.outcome,
        0.0,
        attempt.first_byte_s,
        attempt.status,
        attempt.seconds,
    )

"""
The access log: one line a request, when it is over.

    {"time":"2026-01-31T12:00:00.123Z","trace_id":"…","request_id":"…","method":"POST","endpoint":"/v1/messages",
     "protocol":"HTTP/1.1","status":200,"duration_ms":812.4,"first_byte_ms":301.2,"provider_ms":809.9,"added_ms":1.1, …}

The keys are those of `Line`, in that order, always. A key that has nothing to say is left out: absent means null,
false, or none. Prompts, answers, keys and paths are in no line, and a session is there by its hash only. What a client
or a provider may choose freely (user agent, model names, the name of a route that came with the request) is bounded
and printable.
"""

import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from sidecar.config.models import LogFormat, Telemetry
from sidecar.routing.decision import Lookup, Reason
from sidecar.telemetry.envoy import envoy_line, method_of, response_flags
from sidecar.telemetry.quoting import printable
from sidecar.telemetry.record import Attempt, Record
from sidecar.telemetry.rfc3339 import rfc3339
from sidecar.telemetry.sinks import sink_of
from sidecar.telemetry.writer import BATCH_BYTES, Writer
from sidecar.wire.translate.neutral import Usage

MOST_TOKENS = 2**53
"""The largest whole number that every reader of JSON has; a provider may claim any."""


class Try(msgspec.Struct, omit_defaults=True, gc=False):
    """One attempt at a provider."""

    provider: str
    model: str
    outcome: str
    """`answered`, `abandoned`, or the cause of its failure."""
    status: int | None = None
    ms: float | None = None
    """Until the end of its answer, or its failure."""


class Tokens(msgspec.Struct, gc=False):
    """As the provider reported them. `input` includes `cached`."""

    input: int
    output: int
    cached: int


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The keys of a line. Times in milliseconds, sizes in bytes of bodies."""

    time: str | None = None
    """When the request began: RFC 3339, UTC."""
    trace_id: str | None = None
    request_id: str | None = None
    """The client's own `x-request-id` where it sent one."""
    method: str | None = None
    endpoint: str | None = None
    """A closed set, never the path."""
    protocol: str | None = None
    status: int | None = None
    """499: the client did not wait."""
    response_flags: str | None = None
    """Envoy's, with commas between them."""
    code: str | None = None
    """The stable code of what went wrong."""
    duration_ms: float | None = None
    first_byte_ms: float | None = None
    provider_ms: float | None = None
    """Waiting for providers."""
    added_ms: float | None = None
    """What the sidecar itself took."""
    bytes_in: int | None = None
    bytes_out: int | None = None
    client: str | None = None
    user_agent: str | None = None
    caller: str | None = None
    """The name of the client's key, or the one in its certificate."""
    model: str | None = None
    """Whose answer it is; else the one that was decided on."""
    requested_model: str | None = None
    route: str | None = None
    reason: Reason | None = None
    pin: Lookup | None = None
    """What became of the look into the pin table."""
    source: str | None = None
    """The header that named the session."""
    session: str | None = None
    """Its hash."""
    attempts: list[Try] | None = None
    failover: str | None = None
    """Why the first attempt was not the last."""
    moved: bool = False
    streamed: bool = False
    tokens: Tokens | None = None
    finish: str | None = None
    response_model: str | None = None


class AccessLog:
    """A teller: see record.py. `line` makes a whole line of a record, its end included."""

    def __init__(self, writer: Writer, line: Callable[[Record], bytes]) -> None:
        self._writer = writer
        self._line = line

    def told(self, record: Record) -> None:
        self._writer.write(self._line(record))

    def reopen(self) -> None:
        """For whoever has moved the file away and does not want to wait for the next line."""
        self._writer.reopen()


@asynccontextmanager
async def access_log(
    settings: Telemetry, lost: Callable[[int], None], *, shared: bool = False
) -> AsyncIterator[AccessLog | None]:
    """
    The access log that is configured, None when it is off. `lost` is told how many lines nobody will see, by any
    thread. `shared`: other processes write to the same file or pipe. Raises CannotOpen.
    """
    if settings.access_log is None:
        yield None
        return
    line = json_line if settings.access_log_format is LogFormat.JSON else envoy_line
    # A pipe takes no more than this in one piece: pipe(7). What is longer may be cut by the lines of another process.
    batch_bytes = select.PIPE_BUF if shared else BATCH_BYTES
    async with Writer(sink_of(settings.access_log), lost, batch_bytes=batch_bytes) as writer:
        yield AccessLog(writer, line)


_encode = msgspec.json.Encoder().encode


def json_line(record: Record) -> bytes:
    trace, decision, session = record.trace, record.decision, record.session
    attempts, usage = record.attempts, record.usage
    # By position: with names it takes half as long again, and every request pays for it.
    line = Line(
        rfc3339(record.began_at_s),
        trace.trace_id,
        trace.request_id,
        method_of(record),
        record.endpoint,
        record.protocol,
        record.status,
        None if record.code is None else response_flags(record) or None,
        record.code,
        _ms(record.seconds),
        None if record.first_byte_s is None else _ms(record.first_byte_s),
        _ms(record.provider_s) if attempts else None,
        _ms(record.added_s),
        record.bytes_in,
        record.bytes_out,
        record.client or None,
        printable(record.user_agent) if record.user_agent else None,
        None if record.caller is None else printable(record.caller.name),
        _model(record),
        record.requested and printable(record.requested),
        None if decision is None or decision.route is None else printable(decision.route),
        None if decision is None else decision.reason,
        None if decision is None else decision.lookup,
        None if session is None else session.source,
        record.session_hash or None,
        [_tried(attempt) for attempt in attempts] if attempts else None,
        record.failover,
        record.moved,
        record.streamed,
        None if usage is None else _tokens(usage),
        record.finish and printable(record.finish),
        record.response_model and printable(record.response_model),
    )
    return _encode(line) + b"\n"


def _ms(seconds: float) -> float:
    """Whole microseconds; a tenth of what `round` takes."""
    return seconds * 1e6 // 1 / 1000


def _model(record: Record) -> str | None:
    model = record.model
    if model is None and record.decision is not None:
        model = record.decision.model
    return model and printable(model)


def _tried(attempt: Attempt) -> Try:
    return Try(attempt.provider, printable(attempt.model), attempt.outcome, attempt.status, _ms(attempt.seconds))


def _tokens(usage: Usage) -> Tokens:
    most = MOST_TOKENS
    if usage.input > most or usage.output > most or usage.cache_read > most:
        usage = Usage(min(usage.input, most), min(usage.output, most), min(usage.cache_read, most))
    return Tokens(usage.input, usage.output, usage.cache_read)

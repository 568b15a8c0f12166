"""
Spans of the requests that are sampled: made from their records, sent by a thread of its own, lost before they are late.

    Record ──told──▶ spans_of ──▶ bounded queue ──▶ OTLP receiver
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from attrs import frozen

from sidecar.config.models import Tracing
from sidecar.errors import SidecarError
from sidecar.telemetry.record import Record
from sidecar.telemetry.spans import Span, spans_of

log = logging.getLogger("sidecar.telemetry")

STOP_S = 3.0
"""So long the last spans may take to be sent when we stop."""


class ExtraMissing(SidecarError):
    """The configuration asks for what an optional dependency does."""

    code = "extra_missing"


class Sends(Protocol):
    """`sidecar.telemetry.otlp.Sender`."""

    def send(self, spans: Sequence[Span]) -> None: ...
    def dropped(self) -> int: ...
    def stop(self) -> None: ...


@frozen
class Tracer:
    sender: Sends
    raw_session_ids: bool = False

    def told(self, record: Record) -> None:
        """Makes the spans of a request, if it is sampled; a `Teller`."""
        if record.trace.span_id:
            self.sender.send(spans_of(record, raw_session_ids=self.raw_session_ids))

    def dropped(self) -> int:
        """How many spans were lost so far: the queue was full, or the receiver did not take them."""
        return self.sender.dropped()


@asynccontextmanager
async def open_tracer(tracing: Tracing, stop_s: float = STOP_S) -> AsyncIterator[Tracer | None]:
    """
    None without `tracing.endpoint`. At the end, what is not sent within `stop_s` is lost.

    Raises ExtraMissing when there is an endpoint and OpenTelemetry is not installed.
    """
    if tracing.endpoint is None:
        yield None
        return
    try:
        from sidecar.telemetry.otlp import Sender  # noqa: PLC0415 - what it imports is an optional dependency
    except ImportError as exc:
        raise ExtraMissing("tracing.endpoint needs the extra: pip install 'llm-sidecar[otel]'") from exc
    sender = Sender(tracing)
    try:
        yield Tracer(sender, tracing.raw_session_ids)
    finally:
        await _stopped(sender, stop_s)


async def _stopped(sender: Sends, stop_s: float) -> None:
    """Nobody waits for the thread when it is late: not even the end of the program."""
    stopping = threading.Thread(target=sender.stop, name="spans-stop", daemon=True)
    stopping.start()
    await asyncio.to_thread(stopping.join, stop_s)
    if stopping.is_alive():
        log.warning("tracing.endpoint did not take the last spans within %g s: they are lost", stop_s)

"""
Sends spans to an OTLP/HTTP receiver with OpenTelemetry's SDK: https://opentelemetry.io/docs/specs/otlp/#otlphttp.

Needs the extra `otel`, and is imported only where it is used. The SDK's own thread collects spans and sends them in
batches; nothing here waits for it.

What the environment says of OTEL_… counts where the configuration says nothing, such as OTEL_RESOURCE_ATTRIBUTES or
OTEL_EXPORTER_OTLP_CERTIFICATE. Where spans go is the configuration's alone: proxies and .netrc files are not looked
at, and a receiver that redirects has not taken them.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from requests.adapters import HTTPAdapter

from sidecar import __version__
from sidecar.config.models import Tracing
from sidecar.telemetry.spans import Kind, Span

log = logging.getLogger("sidecar.telemetry")

QUEUE_SPANS = 2048
"""More than these are not kept for a receiver that is slow or away: some megabytes."""
BATCH_SPANS = 256
DELAY_S = 1.0
"""So long spans are collected before they are sent."""
EXPORT_S = 5.0
"""So long one batch may take, with all tries."""

_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.INTERNAL: SpanKind.INTERNAL, Kind.CLIENT: SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
_ERROR = Status(StatusCode.ERROR)
_REDIRECTS = range(300, 400)


class Sender:
    """Takes spans from one thread and sends them from another."""

    def __init__(self, tracing: Tracing) -> None:
        self._resource = Resource.create(
            {
                "service.name": tracing.service_name,
                "service.version": __version__,
                "service.instance.id": str(uuid.uuid4()),
            }
        )
        self._scope = InstrumentationScope("sidecar", __version__)
        self._taken = 0
        self._refused = 0
        self._batches = _Batches(tracing)
        self._processor = BatchSpanProcessor(
            self._batches,
            max_queue_size=QUEUE_SPANS,
            schedule_delay_millis=DELAY_S * 1000,
            max_export_batch_size=BATCH_SPANS,
            export_timeout_millis=EXPORT_S * 1000,
        )

    def send(self, spans: Sequence[Span]) -> None:
        """All of them, or none when the queue is full: half a trace misleads."""
        if self._taken - self._batches.handed + len(spans) > QUEUE_SPANS:
            self._refused += len(spans)
            return
        self._taken += len(spans)
        for span in spans:
            self._processor.on_end(self._readable(span))

    def dropped(self) -> int:
        """How many spans will never arrive, so far."""
        return self._refused + self._batches.lost  # each is counted by one thread only

    def stop(self) -> None:
        """Sends what is left, and waits for that as long as it takes: not for an event loop."""
        self._batches.last = True
        self._processor.shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        trace_id = int(span.trace_id, 16)
        parent = None
        if span.parent_id is not None:
            remote = span.kind is Kind.SERVER
            parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote=remote, trace_flags=_SAMPLED)
        return ReadableSpan(
            span.name,
            SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
            parent,
            self._resource,
            span.attributes,
            kind=_KINDS[span.kind],
            status=_ERROR if span.failed else _UNSET,
            start_time=span.times[0],
            end_time=span.times[1],
            instrumentation_scope=self._scope,
        )


class _Batches:
    """
    A SpanExporter that says once when a receiver stops taking spans, and once when it takes them again. The exporter
    inside would say it for every batch, so it is silenced.
    """

    def __init__(self, tracing: Tracing) -> None:
        self.handed = 0
        """How many spans have left the queue."""
        self.lost = 0
        """How many of them no receiver took."""
        self.last = False
        """Whether no batch shall be tried more than once from now on."""
        self._fails = False
        self._wire = _Wire(lambda: self.last or self._fails)
        headers = {name: value for name, secret in tracing.headers.items() if (value := secret.reveal())}
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # below that it writes every URL
        self._exporter = OTLPSpanExporter(
            endpoint=tracing.endpoint,
            headers=headers,
            timeout=EXPORT_S,
            compression=Compression.Gzip,
            session=_direct(self._wire),
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.handed += len(spans)
        self._wire.said = "nothing could be sent"
        fails = not self._taken(spans)
        if fails:
            self.lost += len(spans)
        if fails and not self._fails:
            log.warning("tracing.endpoint takes no spans (%s): they are dropped until it does", self._wire.said)
        elif self._fails and not fails:
            log.info("tracing.endpoint takes spans again")
        self._fails = fails
        return SpanExportResult.FAILURE if fails else SpanExportResult.SUCCESS

    def _taken(self, spans: Sequence[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except OSError:  # older exporters let out what requests raises
            return False

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, _timeout_millis: int = 0) -> bool:
        return True


class _NotTaken(requests.RequestException):
    """The exporter tries again after a ConnectionError; after this it does not."""


class _Wire(HTTPAdapter):
    """Remembers why a batch was not taken, in words without the URL: its path may hold a key."""

    def __init__(self, once: Callable[[], bool]) -> None:
        super().__init__()
        self.said = ""
        self._once = once

    def send(self, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = super().send(*args, **kwargs)
        except OSError as exc:  # all that requests raises, and certificates that cannot be read
            self.said = type(exc).__name__
            if self._once():
                raise _NotTaken from exc
            raise
        self.said = f"it answers {answer.status_code}"
        # The exporter takes a redirect, which it does not follow, for a success.
        if answer.status_code in _REDIRECTS or (not answer.ok and self._once()):
            answer.close()
            raise _NotTaken
        return answer


def _direct(wire: _Wire) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", wire)
    session.mount("https://", wire)
    return session

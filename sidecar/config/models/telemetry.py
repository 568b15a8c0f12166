"""
What is written down of requests.
"""

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from sidecar.config.models.ranges import PER_CENT
from sidecar.config.models.secret import Secret


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@frozen
class Telemetry:
    """What is written down of requests besides metrics."""

    inject_usage: bool = True
    """Whether a stream that would not say what it cost is asked to, for our own count."""
    access_log: str | None = None
    """`stdout`, or a file's path. None: no access log."""
    access_log_format: LogFormat = LogFormat.JSON
    """`text` is Envoy's default format."""
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO
    session_hash_key: Secret | None = None
    """Sessions are hashed with it in logs and traces, callers and implicit sessions in pins. Unset: random at each start."""


@frozen
class Tracing:
    """OpenTelemetry spans, where the extra `otel` is installed."""

    random_sampling: float = field(default=0.0, validator=PER_CENT)
    """Per cent of requests that are traced, of those whose client did not decide it."""
    endpoint: str | None = None
    """An OTLP/HTTP receiver, such as `http://localhost:4318/v1/traces`. Unset: no spans."""
    headers: Mapping[str, Secret] = field(factory=dict, hash=False)
    """Sent to it."""
    service_name: str = "llm-sidecar"
    raw_session_ids: bool = False
    """Whether spans name the session itself and not its hash."""

"""
One whole configuration.
"""

from collections.abc import Mapping

from attrs import field, frozen

from sidecar.config.models.listening import Admin, Drain, Listener
from sidecar.config.models.providers import CircuitBreakers, OutlierDetection, Provider
from sidecar.config.models.ranges import BODY_BYTES, MIB, SESSION_ENTRIES, SESSION_TTL_SECONDS, WORKERS
from sidecar.config.models.routing import Route, Routing
from sidecar.config.models.telemetry import Telemetry, Tracing


@frozen
class ResponsesState:
    """How many responses may be continued with `previous_response_id` at providers that keep no state themselves."""

    ttl_seconds: int = field(default=3600, validator=SESSION_TTL_SECONDS)
    max_entries: int = field(default=1000, validator=SESSION_ENTRIES)
    max_bytes: int = field(default=64 * MIB, validator=BODY_BYTES)
    """Of all that is kept: each response keeps its whole conversation."""


@frozen
class Config:
    """One whole configuration, checked: every name in it resolves."""

    version: str = "v0.4.0"
    listener: Listener = field(factory=Listener)
    admin: Admin = field(factory=Admin)
    providers: tuple[Provider, ...] = ()
    aliases: Mapping[str, str] = field(factory=dict, hash=False)
    """Alias -> the model it stands for, as written in the file."""
    routes: tuple[Route, ...] = ()
    routing: Routing = field(factory=Routing)
    outlier_detection: OutlierDetection = field(factory=OutlierDetection)
    circuit_breakers: CircuitBreakers = field(factory=CircuitBreakers)
    workers: int = field(default=1, validator=WORKERS)
    """How many processes share the listener's port; more than one needs a shared session cache."""
    responses_state: ResponsesState | None = None
    """None: a translated request that continues a response is refused."""
    telemetry: Telemetry = field(factory=Telemetry)
    tracing: Tracing = field(factory=Tracing)
    drain: Drain = field(factory=Drain)
    watch_config: bool = True
    """Whether a changed file is read again by itself."""
    files: tuple[str, ...] = ()
    """What else it was read from: templates, files with keys. Their change is its change."""
    source: str = "built-in"
    """The file it was read from, for messages."""

"""
The places that serve models, and how hard they are asked.
"""

from collections.abc import Mapping

from attrs import field, frozen

from sidecar.config.models.ranges import FAILURES, PENDING, REQUESTS, TIMEOUT_S
from sidecar.config.models.secret import Secret


@frozen
class Timeouts:
    """How long we wait for a provider."""

    connect_s: float = field(default=5.0, validator=TIMEOUT_S)
    first_byte_s: float = field(default=120.0, validator=TIMEOUT_S)
    """From the request to the head of the answer, and from there to the first byte of its body."""
    idle_s: float = field(default=300.0, validator=TIMEOUT_S)
    """Longest silence between two chunks. A reasoning model may think for minutes before its next token."""

    def within(self, budget_s: float) -> "Timeouts":
        """The same, but for a first byte that must come before a budget is used up."""
        if budget_s >= self.first_byte_s:
            return self
        first_byte_s = max(budget_s, 0.001)
        return Timeouts(min(self.connect_s, first_byte_s), first_byte_s, self.idle_s)


@frozen
class OutlierDetection:
    """When a provider is ejected and for how long. Envoy's words and defaults."""

    consecutive_5xx: int = field(default=5, validator=FAILURES)
    """So many failures of any kind in a row eject it."""
    consecutive_gateway_failure: int = field(default=5, validator=FAILURES)
    """So many in a row of those where it could not be reached, was silent, or said 502, 503 or 504."""
    interval_s: float = field(default=10.0, validator=TIMEOUT_S)
    """A healthy interval takes back one ejection from the count that makes the next one longer."""
    base_ejection_time_s: float = field(default=30.0, validator=TIMEOUT_S)
    """The time of the first ejection; the n-th in close succession takes n times as long."""
    max_ejection_time_s: float = field(default=300.0, validator=TIMEOUT_S)


@frozen
class CircuitBreakers:
    """How much one provider entry is asked at once. Envoy's words and defaults."""

    max_connections: int = field(default=1024, validator=REQUESTS)
    max_pending_requests: int = field(default=1024, validator=PENDING)
    max_requests: int = field(default=1024, validator=REQUESTS)


@frozen
class Provider:
    """One entry of `model_providers`: a model and the place that serves it."""

    model: str
    """`provider/name`, or `provider/*` for every model of that provider."""
    name: str
    """What the file calls this entry; the model id when the file gives none."""
    access_key: Secret | None = None
    default: bool = False
    base_url: str | None = None
    http_host: str | None = None
    interface: str | None = None
    """`openai` or `anthropic` (or one of Plano's provider names) when it cannot be told from the provider's name."""
    passthrough_auth: bool = False
    headers: Mapping[str, Secret] = field(factory=dict, hash=False)
    """Sent with every call to this provider. Their values may hold keys, so they are as secret as one."""
    api_version: str | None = None
    """Azure's dated interface, such as `2024-10-21`. Unset: the undated one."""
    timeouts: Timeouts = field(factory=Timeouts)
    tls_ca_file: str | None = None
    """PEM: whose certificates are trusted instead of the system's."""
    missing: tuple[str, ...] = ()
    """Environment variables that this entry names and that are not set, and files that cannot be read. While there are any it cannot be called:
    without its `base_url` a request would go to the wrong place."""

    @property
    def is_wildcard(self) -> bool:
        return self.model.endswith("/*")

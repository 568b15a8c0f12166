"""
What a configuration says, as frozen data: no file, no environment, no default computed elsewhere.

The words are those of the file (README.md, `config/reference.yaml`); durations carry their unit in the name.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import attrs
from attrs import field, frozen
from attrs.validators import optional

MIB = 1024 * 1024


@frozen
class Range:
    """The numbers a field may hold: the check beside the field, and the words for a message about it."""

    low: float
    high: float
    above: bool = False
    """Whether `low` itself is too little."""

    def __contains__(self, value: float) -> bool:
        # Written so that NaN is in no range.
        return (value > self.low if self.above else value >= self.low) and value <= self.high

    def __call__(self, _instance: object, attribute: "attrs.Attribute[Any]", value: float) -> None:
        if value not in self:
            raise ValueError(f"{attribute.name} must be {self.bound(value)}, got {value!r}")

    def bound(self, value: float | None) -> str:
        """The bound that `value` breaks; of something that is no number at all, the lower one."""
        if value is not None and value > self.high:
            return f"at most {self.high:.15g}"
        return f"{'more than' if self.above else 'at least'} {self.low:.15g}"


PORT = Range(0, 65535)
TIMEOUT_S = Range(0, 24 * 3600, above=True)
BODY_BYTES = Range(1, 1024 * MIB)
FRACTION = Range(0, 1)
PER_CENT = Range(0, 100)
FAILURES = Range(1, 1000)
ATTEMPTS = Range(1, 10)
REQUESTS = Range(1, 1_000_000)
PENDING = Range(0, 1_000_000)
SESSION_TTL_SECONDS = Range(1, 30 * 86400)
SESSION_ENTRIES = Range(1, 10_000_000)
WORKERS = Range(1, 128)


@frozen
class Secret:
    """A value nobody may see: `repr` and `str` hide it, `reveal()` is the only way to it."""

    value: str | None = field(repr=False)
    variable: str | None = None
    """The environment variable it came from, when it did. `value` is None when that variable is not set."""

    def reveal(self) -> str | None:
        return self.value

    def __str__(self) -> str:
        return "***"


@frozen
class Listener:
    """Where clients reach us."""

    address: str = "127.0.0.1"
    port: int = field(default=12000, validator=PORT)
    """0 lets the system choose; the port taken is printed at the start."""
    timeout_s: float = field(default=300.0, validator=TIMEOUT_S)
    """How long one request may take in all; a stream has no such limit."""
    max_body_bytes: int = field(default=32 * MIB, validator=BODY_BYTES)
    cors_origins: tuple[str, ...] = ()
    """Web pages that may call us from a browser, such as `https://app.example.com`; `*` is all. None: no CORS."""
    sse_keepalive_s: float = field(default=15.0, validator=TIMEOUT_S)
    """After so long a silence of the provider in the middle of a stream, the client gets a comment to hold on to."""
    fast_path: bool = True
    """Whether answers are written straight to the connection, past what aiohttp offers in public."""


@frozen
class Admin:
    """Where operators reach us."""

    address: str = "127.0.0.1"
    port: int = field(default=9901, validator=PORT)


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
    missing: tuple[str, ...] = ()
    """Environment variables that this entry names and that are not set. While there are any it cannot be called:
    without its `base_url` a request would go to the wrong place."""

    @property
    def is_wildcard(self) -> bool:
        return self.model.endswith("/*")


@frozen(cache_hash=True)
class Route:
    """A kind of work and the models that are good at it, best first."""

    name: str
    description: str
    models: tuple[str, ...]
    """Concrete model ids, `provider/name`, aliases resolved, best first; never empty."""
    examples: tuple[str, ...] = ()
    """Prompts that belong here. None are needed; each helps the classifier."""


class ClassifierKind(StrEnum):
    EMBEDDED = "embedded"
    LLM = "llm"
    EMBEDDINGS = "embeddings"


@frozen
class Breaker:
    """When a classifier, or a store, that keeps failing is left alone."""

    failures: int = field(default=5, validator=FAILURES)
    """So many failures in a row open the circuit."""
    cooldown_s: float = field(default=30.0, validator=TIMEOUT_S)
    """For so long it is not asked; then one call tries it again."""


@frozen
class Classifier:
    """What decides which route a conversation belongs to."""

    type: ClassifierKind = ClassifierKind.EMBEDDED
    timeout_s: float = field(default=2.0, validator=TIMEOUT_S)
    """A verdict that takes longer is given up, and the request's own model answers."""
    threshold: float | None = field(default=None, validator=optional(FRACTION))
    """`embedded`, `embeddings`: the least confidence, 0 to 1, that counts as a match. Unset: the classifier's own."""
    base_url: str | None = None
    """`llm`, `embeddings`: the endpoint's base, such as `http://localhost:11434/v1`."""
    model: str | None = None
    """`llm`, `embeddings`: the model's name as the endpoint knows it."""
    access_key: Secret | None = None
    template: str | None = None
    """`llm`: the text of the prompt template (the file gives its path). Unset: our own."""
    breaker: Breaker = field(factory=Breaker)


class TtlPolicy(StrEnum):
    SLIDING = "sliding"
    """Counted from the session's last request."""
    FIXED = "fixed"
    """Counted from the session's first decision."""


class CacheKind(StrEnum):
    MEMORY = "memory"
    """In this process."""
    REDIS = "redis"
    """In a Redis or Valkey that several sidecars share."""


@frozen
class SessionCache:
    """Where pins live."""

    type: CacheKind = CacheKind.MEMORY
    url: Secret | None = None
    """`redis`: `redis://host:6379/0`, `rediss://…`, `unix:///path`, `redis+sentinel://h1:26379,h2:26379/SERVICE/0`,
    `redis+cluster://h1:6379,h2:6379`. A secret, for it may hold a password."""
    username: Secret | None = None
    password: Secret | None = None
    tls_ca_file: str | None = None
    """Whose certificates are trusted besides the system's."""
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    key_prefix: str = "sidecar:"
    connect_timeout_s: float = field(default=1.0, validator=TIMEOUT_S)
    command_timeout_s: float = field(default=0.1, validator=TIMEOUT_S)
    """Longest that a request waits for the store; then the table in this process serves."""
    flight_wait_s: float = field(default=1.0, validator=TIMEOUT_S)
    """Longest that a session's first request waits for the classification of another sidecar."""
    breaker: Breaker = field(factory=lambda: Breaker(failures=3, cooldown_s=1.0))
    snapshot: str | None = None
    """`memory`: the file that keeps pins over a restart. None: a restart forgets them."""
    snapshot_interval_s: float = field(default=30.0, validator=TIMEOUT_S)
    tenant_header: str | None = None
    """Names the tenant of a request, where `trusted_peers` or the caller's credential vouch for it."""
    trusted_peers: tuple[str, ...] = ()
    """Addresses and networks, `10.0.0.0/8`, whose `tenant_header` is believed."""


class SessionScope(StrEnum):
    GLOBAL = "global"
    """Whoever sends a session's id is in that session."""
    CALLER = "caller"
    """A session is its caller's: the credential that comes with the request tells sessions of one id apart."""


class LaneMode(StrEnum):
    SINGLE = "single"
    """One session, one model."""
    BY_MODEL = "by_model"
    """A lane for each model that requests name."""
    BY_AGENT = "by_agent"
    """A lane for each sub-agent that names itself."""


@frozen
class Lanes:
    """What inside one session keeps a model of its own."""

    mode: LaneMode = LaneMode.SINGLE
    inherit: bool = True
    """`by_agent`: whether a sub-agent begins with its parent's model."""


class SideCalls(StrEnum):
    ROUTE = "route"
    """Titles, summaries and the like are routed on their own and leave the session's pin alone."""
    PIN = "pin"
    """They are requests of the session like any other."""


@frozen
class Routing:
    """How sessions are told apart and how long they keep their model."""

    session_ttl_seconds: int = field(default=600, validator=SESSION_TTL_SECONDS)
    session_ttl_policy: TtlPolicy = TtlPolicy.SLIDING
    session_max_entries: int = field(default=10_000, validator=SESSION_ENTRIES)
    session_sources: tuple[str, ...] | None = None
    """Which headers and body fields of well-known clients name a session, in order. Unset: all that are known."""
    pin_unmatched: bool = True
    """Whether a session that matched no route keeps the model that answered."""
    apply_to: tuple[str, ...] | None = None
    """Model names or aliases that routing applies to. Unset: all."""
    session_cache: SessionCache = field(factory=SessionCache)
    session_scope: SessionScope = SessionScope.GLOBAL
    implicit_sessions: bool = False
    """Whether a conversation that nobody named is told by how it begins: system, tools, first message of the user."""
    lanes: Lanes = field(factory=Lanes)
    side_calls: SideCalls = SideCalls.ROUTE
    route_on_user_only: bool = False
    """Whether a session is routed anew at each turn of its user, and keeps that decision until the next."""
    classifier: Classifier = field(factory=Classifier)
    failover: bool = True
    """Whether the next candidate is tried when one fails."""
    max_attempts: int = field(default=3, validator=ATTEMPTS)
    """For one request, over all its candidates."""


@frozen
class ResponsesState:
    """How many responses may be continued with `previous_response_id` at providers that keep no state themselves."""

    ttl_seconds: int = field(default=3600, validator=SESSION_TTL_SECONDS)
    max_entries: int = field(default=1000, validator=SESSION_ENTRIES)
    max_bytes: int = field(default=64 * MIB, validator=BODY_BYTES)
    """Of all that is kept: each response keeps its whole conversation."""


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
    source: str = "built-in"
    """The file it was read from, for messages."""

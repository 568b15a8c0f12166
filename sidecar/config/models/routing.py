"""
Which model answers, and how sessions keep it.
"""

from enum import StrEnum

from attrs import field, frozen
from attrs.validators import optional

from sidecar.config.models.ranges import (
    ATTEMPTS,
    COPIES,
    FAILURES,
    FRACTION,
    SESSION_ENTRIES,
    SESSION_TTL_SECONDS,
    TIMEOUT_S,
)
from sidecar.config.models.secret import Secret


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
    copies: int = field(default=0, validator=COPIES)
    """`redis`: most pins that this process answers from copies of its own. What another sidecar changes is seen when
    Redis has told of it (RESP3, since Redis 6, no Cluster): as soon as the news takes to come, in 0.1 s at the latest
    whatever fails. 0: Redis is asked each time."""
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

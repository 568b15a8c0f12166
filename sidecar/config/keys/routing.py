"""
Which model answers, and how sessions keep it.
"""

from attrs import evolve

from sidecar.config import refused
from sidecar.config.document import Node
from sidecar.config.files import template, typed_path
from sidecar.config.models import (
    ATTEMPTS,
    COPIES,
    FAILURES,
    FRACTION,
    SESSION_ENTRIES,
    SESSION_TTL_SECONDS,
    TIMEOUT_S,
    Breaker,
    CacheKind,
    Classifier,
    ClassifierKind,
    LaneMode,
    Lanes,
    Routing,
    SessionCache,
    SessionScope,
    SideCalls,
    TtlPolicy,
)
from sidecar.config.reading import Reading
from sidecar.config.table import Key, Table
from sidecar.config.values import (
    ListOf,
    duration,
    model_name,
    name,
    network,
    number,
    one_of,
    session_source,
    tenant_header,
    whole,
    yes_no,
)
from sidecar.config.variables import endpoint, secret

BREAKER = Table(
    into=Breaker,
    keys={"failures": whole(FAILURES), "cooldown_seconds": Key(number(TIMEOUT_S), into="cooldown_s")},
)

CLASSIFIER = Table(
    into=Classifier,
    keys={
        "type": one_of(ClassifierKind),
        "timeout": Key(duration(TIMEOUT_S), into="timeout_s"),
        "timeout_seconds": Key(number(TIMEOUT_S), into="timeout_s", other_way=True),
        "threshold": number(FRACTION),
        "base_url": endpoint,
        "model": name,
        "access_key": secret,
        "template": template,
        "breaker": BREAKER,
    },
)


class ClassifierReader:
    """A mapping, or only a type: `classifier: embedded`."""

    table = CLASSIFIER

    def __call__(self, node: Node, reading: Reading) -> Classifier:
        if isinstance(node.value, str):
            return Classifier(type=one_of(ClassifierKind)(node, reading))
        classifier: Classifier = CLASSIFIER(node, reading)
        return classifier


CACHE_BREAKER = Table(into=lambda **given: evolve(SessionCache().breaker, **given), keys=BREAKER.keys)

SESSION_CACHE = Table(
    into=SessionCache,
    keys={
        "type": one_of(CacheKind),
        "url": secret,
        "username": secret,
        "password": secret,
        "tls_ca_file": typed_path,
        "tls_cert_file": typed_path,
        "tls_key_file": typed_path,
        "key_prefix": name,
        "connect_timeout": Key(duration(TIMEOUT_S), into="connect_timeout_s"),
        "connect_timeout_s": Key(number(TIMEOUT_S), other_way=True),
        "command_timeout": Key(duration(TIMEOUT_S), into="command_timeout_s"),
        "command_timeout_s": Key(number(TIMEOUT_S), other_way=True),
        "flight_wait": Key(duration(TIMEOUT_S), into="flight_wait_s"),
        "breaker": CACHE_BREAKER,
        "copies": whole(COPIES),
        "snapshot": typed_path,
        "snapshot_interval": Key(duration(TIMEOUT_S), into="snapshot_interval_s"),
        "snapshot_interval_s": Key(number(TIMEOUT_S), other_way=True),
        "tenant_header": tenant_header,
        "trusted_peers": ListOf(network),
    },
)

LANES = Table(into=Lanes, keys={"mode": one_of(LaneMode), "inherit": yes_no})


class LanesReader:
    """A mapping, or only a mode: `lanes: by_model`."""

    table = LANES

    def __call__(self, node: Node, reading: Reading) -> Lanes:
        if isinstance(node.value, str):
            return Lanes(one_of(LaneMode)(node, reading))
        lanes: Lanes = LANES(node, reading)
        return lanes


ROUTING = Table(
    into=lambda llm_provider=None, model=None, **settings: Routing(**settings),  # noqa: ARG005
    keys={
        "session_ttl_seconds": whole(SESSION_TTL_SECONDS),
        "session_ttl_policy": one_of(TtlPolicy),
        "session_max_entries": whole(SESSION_ENTRIES),
        "session_sources": ListOf(session_source),
        "pin_unmatched": yes_no,
        "apply_to": ListOf(model_name),
        "classifier": ClassifierReader(),
        "failover": yes_no,
        "max_attempts": whole(ATTEMPTS),
        "session_cache": SESSION_CACHE,
        "session_scope": one_of(SessionScope),
        "implicit_sessions": yes_no,
        "lanes": LanesReader(),
        "side_calls": one_of(SideCalls),
        "route_on_user_only": yes_no,
        "llm_provider": Key(model_name, other_way=True),
        "model": Key(model_name, other_way=True),
    },
    refused=refused.ROUTING,
)

OVERRIDES = Table(
    into=dict,
    keys={"llm_routing_model": Key(model_name, other_way=True)},
    refused=refused.OVERRIDES,
    unused=refused.OVERRIDES_UNUSED,
)

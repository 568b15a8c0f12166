"""
The file format: every mapping of the file as a table of its keys. README.md and config/reference.yaml say the same in prose.

It is a superset of Plano's model-routing configuration, versions v0.1 to v0.4.0.
"""

from collections.abc import Mapping
from typing import Any, cast

from attrs import evolve

from sidecar.config import refused
from sidecar.config.document import Node
from sidecar.config.drafts import Draft, Placed, ProviderDraft, RouteDraft, placed
from sidecar.config.files import log_path, template, typed_path
from sidecar.config.models import (
    ATTEMPTS,
    BODY_BYTES,
    FAILURES,
    FRACTION,
    PENDING,
    PER_CENT,
    PORT,
    REQUESTS,
    SESSION_ENTRIES,
    SESSION_TTL_SECONDS,
    TIMEOUT_S,
    WORKERS,
    Admin,
    Breaker,
    CacheKind,
    CircuitBreakers,
    Classifier,
    ClassifierKind,
    LaneMode,
    Lanes,
    LogFormat,
    LogLevel,
    OutlierDetection,
    ResponsesState,
    Routing,
    SessionCache,
    SessionScope,
    SideCalls,
    Telemetry,
    Timeouts,
    Tracing,
    TtlPolicy,
)
from sidecar.config.reading import Reading, Wrong
from sidecar.config.table import Key, Table
from sidecar.config.values import (
    MAX_MODEL_CHARS,
    ListOf,
    address,
    duration,
    host_header,
    model_id,
    model_name,
    name,
    network,
    number,
    one_of,
    origin,
    prose,
    session_source,
    tenant_header,
    typed_text,
    whole,
    word_of,
    yes_no,
)
from sidecar.config.variables import endpoint, hash_key, headers, optional_endpoint, optional_headers, secret, url

MAX_ROUTE_MODELS = 32
MAX_EXAMPLES = 500

VERSIONS = ("v0.1", "v0.1.0", "0.1-beta", "0.2.0", "v0.2.0", "v0.3.0", "v0.4.0")

INTERFACES = (
    "openai", "anthropic", "responses", "amazon_bedrock", "azure_openai", "chatgpt", "deepseek", "digitalocean", "edenai", "gemini",
    "groq", "mistral", "moonshotai", "ollama", "openrouter", "plano", "qwen", "together_ai", "vercel", "vllm", "xai", "xiaomi",
    "zhipu",
)  # fmt: skip


def version(node: Node, _reading: Reading) -> str:
    """Any version of the format; they differ in nothing that is read here."""
    text = typed_text(node) if isinstance(node.value, str) else node.text
    if text.removeprefix("v") not in [known.removeprefix("v") for known in VERSIONS]:
        raise Wrong(f"must be one of {', '.join(VERSIONS)}, got {node.shown}")
    return text


PREFER = word_of("none", "cheapest", "fastest")


def prefer(node: Node, reading: Reading) -> str:
    wish = PREFER(node, reading)
    if wish != "none":
        reading.warn(node, f"is not used: the models of a route are tried in the order of the file, not {wish} first")
    return wish


def listener_type(node: Node, _reading: Reading) -> str:
    if isinstance(node.value, str) and node.value in refused.LISTENER_TYPES:
        raise Wrong(f"must be 'model', got {node.shown}: {refused.LISTENER_TYPES[node.value]}")
    return word_of("model")(node, _reading)


LISTENER = Table(
    into=dict,
    keys={
        "type": listener_type,
        "name": name,
        "address": address,
        "port": whole(PORT),
        "timeout": Key(duration(TIMEOUT_S), into="timeout_s"),
        "max_body_bytes": whole(BODY_BYTES),
        "cors_origins": ListOf(origin),
        "sse_keepalive_seconds": Key(number(TIMEOUT_S), into="sse_keepalive_s"),
        "fast_path": yes_no,
        "message_format": Key(word_of("openai"), other_way=True),
    },
    refused=refused.LISTENER,
    unused=refused.LISTENER_UNUSED,
)

LEGACY_LISTENERS = Table(
    into=lambda egress_traffic=None: egress_traffic,
    keys={"egress_traffic": placed(LISTENER)},
    refused={"ingress_traffic": refused.LISTENER_TYPES["prompt"]},
)


class Listeners:
    """The one model listener of the list; or of Plano's older mapping."""

    table = LISTENER
    step = "[]"

    def __call__(self, node: Node, reading: Reading) -> Placed[Mapping[str, Any]] | None:
        if isinstance(node.value, dict):
            return cast(Placed[Mapping[str, Any]] | None, LEGACY_LISTENERS(node, reading))
        found = [listener for listener in ListOf(placed(LISTENER))(node, reading) if not _refused(listener.node)]
        for extra in found[1:]:
            first = f"the one in line {found[0].node.line}"
            reading.mistake(extra.node, f"is a second model listener, beside {first}: keep one")
        return found[0] if found else None


def _refused(listener: Node) -> bool:
    kind = listener.at("type").value
    return isinstance(kind, str) and kind in refused.LISTENER_TYPES


ADMIN = Table(into=Admin, keys={"address": address, "port": whole(PORT)})

INLINE_ROUTE = Table(
    into=RouteDraft, placed=True, keys={"name": name, "description": prose}, required=("name", "description")
)

TIMEOUTS = Table(
    into=Timeouts,
    keys={
        "connect": Key(duration(TIMEOUT_S), into="connect_s"),
        "first_byte": Key(duration(TIMEOUT_S), into="first_byte_s"),
        "idle": Key(duration(TIMEOUT_S), into="idle_s"),
    },
)

PROVIDER = Table(
    into=ProviderDraft,
    placed=True,
    keys={
        "model": model_id,
        "name": name,
        "access_key": secret,
        "default": yes_no,
        "base_url": url,
        "http_host": host_header,
        "provider_interface": Key(word_of(*INTERFACES), into="interface"),
        "passthrough_auth": yes_no,
        "headers": headers,
        "api_version": name,
        "timeouts": TIMEOUTS,
        "routing_preferences": Key(ListOf(INLINE_ROUTE), into="routes", other_way=True),
    },
    required=("model",),
)

SELECTION_POLICY = Table(into=dict, keys={"prefer": prefer}, required=("prefer",))

ROUTE = Table(
    into=RouteDraft,
    placed=True,
    keys={
        "name": name,
        "description": prose,
        "models": ListOf(placed(model_name), at_most=MAX_ROUTE_MODELS),
        "examples": ListOf(prose, at_most=MAX_EXAMPLES),
        "selection_policy": SELECTION_POLICY,
    },
    required=("name", "description", "models"),
)
ROUTES = ListOf(ROUTE)

ALIAS = Table(into=lambda target=None: target, keys={"target": model_name}, required=("target",))


class Aliases:
    """`alias: {target: model}`, or shorter `alias: model`."""

    table = ALIAS
    step = ".<alias>"

    def __call__(self, node: Node, reading: Reading) -> Mapping[str, str]:
        if not isinstance(node.value, dict):
            raise Wrong(f"must be a mapping of aliases to models, got {node.kind}")
        found = {}
        for alias, inner in node.value.items():
            if not alias.strip() or not alias.isprintable() or "*" in alias or len(alias) > MAX_MODEL_CHARS:
                reading.mistake(inner, "is no name for an alias: one line, not empty, without '*'")
            elif target := reading.attempt(self._target, inner):
                found[alias] = target
        return found

    def _target(self, node: Node, reading: Reading) -> str:
        read = ALIAS if isinstance(node.value, dict) else model_name
        return cast(str, read(node, reading))


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

OUTLIER_DETECTION = Table(
    into=OutlierDetection,
    keys={
        "consecutive_5xx": whole(FAILURES),
        "consecutive_gateway_failure": whole(FAILURES),
        "interval": Key(duration(TIMEOUT_S), into="interval_s"),
        "base_ejection_time": Key(duration(TIMEOUT_S), into="base_ejection_time_s"),
        "max_ejection_time": Key(duration(TIMEOUT_S), into="max_ejection_time_s"),
    },
)

CIRCUIT_BREAKERS = Table(
    into=CircuitBreakers,
    keys={
        "max_connections": whole(REQUESTS),
        "max_pending_requests": whole(PENDING),
        "max_requests": whole(REQUESTS),
    },
)

RESPONSES_STATE = Table(
    into=lambda type=None, **limits: ResponsesState(**limits),  # noqa: A006, ARG005 - the name of the key
    keys={
        "type": word_of("memory"),
        "ttl_seconds": whole(SESSION_TTL_SECONDS),
        "max_entries": whole(SESSION_ENTRIES),
        "max_bytes": whole(BODY_BYTES),
    },
)


class ResponsesStateReader:
    """A mapping, or only a type: `responses_state: memory`."""

    table = RESPONSES_STATE

    def __call__(self, node: Node, reading: Reading) -> ResponsesState:
        if isinstance(node.value, str):
            word_of("memory")(node, reading)
            return ResponsesState()
        state: ResponsesState = RESPONSES_STATE(node, reading)
        return state


def access_log(node: Node, reading: Reading) -> str | None:
    """`off`, which YAML reads as false, `stdout`, or a file's path."""
    if node.value is False or node.value == "off":
        return None
    return log_path(node, reading)


TELEMETRY = Table(
    into=Telemetry,
    keys={
        "inject_usage": yes_no,
        "access_log": access_log,
        "access_log_format": one_of(LogFormat),
        "log_format": one_of(LogFormat),
        "log_level": one_of(LogLevel),
        "session_hash_key": hash_key,
    },
)

TRACING = Table(
    into=Tracing,
    keys={
        "random_sampling": number(PER_CENT),
        "endpoint": optional_endpoint,
        "headers": optional_headers,
        "service_name": name,
        "raw_session_ids": yes_no,
    },
    unused=refused.TRACING_UNUSED,
)

MODE = word_of("llm")

FILE = Table(
    into=Draft,
    placed=True,
    keys={
        "version": version,
        "mode": Key(MODE, other_way=True),
        "listeners": Listeners(),
        "listener": Key(placed(LISTENER), other_way=True),
        "admin": ADMIN,
        "model_providers": Key(ListOf(PROVIDER), into="providers"),
        "llm_providers": Key(ListOf(PROVIDER), into="providers", other_way=True),
        "model_aliases": Key(Aliases(), into="aliases"),
        "routing_preferences": Key(ROUTES, into="routes"),
        "routing": ROUTING,
        "overrides": Key(OVERRIDES, other_way=True),
        "outlier_detection": OUTLIER_DETECTION,
        "circuit_breakers": CIRCUIT_BREAKERS,
        "workers": whole(WORKERS),
        "responses_state": ResponsesStateReader(),
        "telemetry": TELEMETRY,
        "tracing": TRACING,
    },
    refused=refused.TOP,
)

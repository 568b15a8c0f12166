"""
The places that serve models, their routes and their other names.
"""

from collections.abc import Mapping
from typing import cast

from sidecar.config.document import Node
from sidecar.config.drafts import ProviderDraft, RouteDraft, placed
from sidecar.config.models import FAILURES, PENDING, REQUESTS, TIMEOUT_S, CircuitBreakers, OutlierDetection, Timeouts
from sidecar.config.proving import authorities_path
from sidecar.config.reading import Reading, Wrong
from sidecar.config.table import Key, Table
from sidecar.config.values import (
    MAX_MODEL_CHARS,
    ListOf,
    duration,
    host_header,
    model_id,
    model_name,
    name,
    prose,
    whole,
    word_of,
    yes_no,
)
from sidecar.config.variables import headers, secret, secret_file, url

MAX_ROUTE_MODELS = 32
MAX_EXAMPLES = 500

INTERFACES = (
    "openai", "anthropic", "responses", "amazon_bedrock", "azure_openai", "chatgpt", "deepseek", "digitalocean", "edenai", "gemini",
    "groq", "mistral", "moonshotai", "ollama", "openrouter", "plano", "qwen", "together_ai", "vercel", "vllm", "xai", "xiaomi",
    "zhipu",
)  # fmt: skip


PREFER = word_of("none", "cheapest", "fastest")


def prefer(node: Node, reading: Reading) -> str:
    wish = PREFER(node, reading)
    if wish != "none":
        reading.warn(node, f"is not used: the models of a route are tried in the order of the file, not {wish} first")
    return wish


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
        "access_key_file": Key(secret_file, into="key_from_file"),
        "default": yes_no,
        "base_url": url,
        "http_host": host_header,
        "provider_interface": Key(word_of(*INTERFACES), into="interface"),
        "passthrough_auth": yes_no,
        "headers": headers,
        "api_version": name,
        "timeouts": TIMEOUTS,
        "tls_ca_file": authorities_path,
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

"""
The file format: every mapping of the file as a table of its keys. README.md and config/reference.yaml say the same in prose.

It is a superset of Plano's model-routing configuration, versions v0.1 to v0.4.0.
"""

from sidecar.config import refused
from sidecar.config.document import Node
from sidecar.config.drafts import Draft, placed
from sidecar.config.keys.listening import ADMIN, DRAIN, LISTENER, Listeners
from sidecar.config.keys.providers import CIRCUIT_BREAKERS, OUTLIER_DETECTION, PROVIDER, ROUTES, Aliases
from sidecar.config.keys.routing import OVERRIDES, ROUTING
from sidecar.config.keys.telemetry import TELEMETRY, TRACING
from sidecar.config.models import BODY_BYTES, SESSION_ENTRIES, SESSION_TTL_SECONDS, WORKERS, ResponsesState
from sidecar.config.reading import Reading, Wrong
from sidecar.config.table import Key, Table
from sidecar.config.values import ListOf, typed_text, whole, word_of, yes_no

VERSIONS = ("v0.1", "v0.1.0", "0.1-beta", "0.2.0", "v0.2.0", "v0.3.0", "v0.4.0")


def version(node: Node, _reading: Reading) -> str:
    """Any version of the format; they differ in nothing that is read here."""
    text = typed_text(node) if isinstance(node.value, str) else node.text
    if text.removeprefix("v") not in [known.removeprefix("v") for known in VERSIONS]:
        raise Wrong(f"must be one of {', '.join(VERSIONS)}, got {node.shown}")
    return text


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
        "drain": DRAIN,
        "watch_config": yes_no,
    },
    refused=refused.TOP,
)

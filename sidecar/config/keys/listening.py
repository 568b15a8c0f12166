"""
Where clients and operators reach us: listeners, admin, drain.
"""

from collections.abc import Mapping
from typing import Any, cast

from sidecar.config import refused
from sidecar.config.document import Node
from sidecar.config.drafts import AuthDraft, ClientKeyDraft, Placed, placed
from sidecar.config.files import readable_path
from sidecar.config.models import (
    BODY_BYTES,
    COUNT,
    DURATION_S,
    HEADER_BYTES,
    PORT,
    REQUESTS,
    TIMEOUT_S,
    Admin,
    Drain,
    Limits,
    ServerTls,
)
from sidecar.config.proving import PairReader, authorities_path
from sidecar.config.reading import Reading, Wrong
from sidecar.config.table import Key, Table
from sidecar.config.values import ListOf, address, duration, name, number, origin, whole, word_of, yes_no
from sidecar.config.variables import secret, secret_file


def listener_type(node: Node, _reading: Reading) -> str:
    if isinstance(node.value, str) and node.value in refused.LISTENER_TYPES:
        raise Wrong(f"must be 'model', got {node.shown}: {refused.LISTENER_TYPES[node.value]}")
    return word_of("model")(node, _reading)


LIMITS = Table(
    into=Limits,
    keys={
        "max_connections": whole(REQUESTS),
        "max_requests": whole(REQUESTS),
        "max_headers": whole(REQUESTS),
        "max_header_bytes": whole(HEADER_BYTES),
        "header_timeout": Key(duration(TIMEOUT_S), into="header_timeout_s"),
        "body_timeout": Key(duration(TIMEOUT_S), into="body_timeout_s"),
        "keepalive_timeout": Key(duration(TIMEOUT_S), into="keepalive_timeout_s"),
        "max_requests_per_connection": whole(COUNT),
        "max_connection_age": Key(duration(DURATION_S), into="max_connection_age_s"),
    },
)

TLS = Table(
    into=lambda cert_file=None, key_file=None, **more: (
        ServerTls(cert_file, key_file, **more) if cert_file and key_file else None
    ),
    keys={
        "cert_file": readable_path,
        "key_file": readable_path,
        "client_ca_file": authorities_path,
        "client_names": ListOf(name),
    },
    required=("cert_file", "key_file"),
)

CLIENT_KEY = Table(
    into=ClientKeyDraft,
    placed=True,
    keys={"name": name, "key": secret, "key_file": secret_file},
    required=("name",),
)

AUTH = Table(
    into=AuthDraft,
    placed=True,
    keys={"keys": ListOf(CLIENT_KEY), "client_certificates": yes_no},
)


class AuthReader:
    """A mapping, or only the word: `auth: none`."""

    table = AUTH

    def __call__(self, node: Node, reading: Reading) -> AuthDraft:
        if node.value == "none":
            return AuthDraft(node)
        if not isinstance(node.value, dict):
            raise Wrong(f"must be none, or a mapping of keys, got {node.shown}")
        draft: AuthDraft = AUTH(node, reading)
        return draft


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
        "limits": LIMITS,
        "tls": PairReader(TLS),
        "auth": AuthReader(),
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


ADMIN_TLS = Table(into=TLS.into, keys={key: TLS.keys[key] for key in TLS.required}, required=TLS.required)
ADMIN = Table(into=Admin, keys={"address": address, "port": whole(PORT), "tls": PairReader(ADMIN_TLS)})

DRAIN = Table(
    into=Drain,
    keys={
        "delay_seconds": Key(number(DURATION_S), into="delay_s"),
        "timeout_seconds": Key(number(DURATION_S), into="timeout_s"),
    },
)

"""
Readers of single values. Strict: "false" is not a boolean, true is no number, and 123 is not a name until it is quoted.

Each returns the value or raises Wrong with what it should have been. None of them ever reads a variable; those that do
are in `variables`.
"""

import ipaddress
import re
from enum import StrEnum
from typing import Any, TypeVar

from attrs import frozen

from sidecar.config.document import Node
from sidecar.config.models import Range
from sidecar.config.reading import AnyReader, Reader, Reading, Wrong

E = TypeVar("E", bound=StrEnum)

MAX_NAME_CHARS = 128
MAX_MODEL_CHARS = 256
MAX_PROSE_CHARS = 4096

_SURROGATE = re.compile("[\ud800-\udfff]")
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)", re.ASCII)
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,15}\.?", re.ASCII)
_HOST_AND_PORT = re.compile(rf"(?:{_HOST.pattern}|\[[0-9A-Fa-f:.]+\])(?::\d{{1,5}})?", re.ASCII)
_ORIGIN = re.compile(rf"https?://{_HOST_AND_PORT.pattern}", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_BODY_FIELD = re.compile(
    r"body:(?:session_id|conversation|prompt_cache_key|(?:client_)?metadata\.[A-Za-z0-9_.-]{1,100})", re.ASCII
)
_KEYS = r"(?:proxy-)?authorization|(?:x-)?(?:goog-)?api-key|ocp-apim-subscription-key|cookie2?"
_CREDENTIAL = re.compile(_KEYS, re.ASCII | re.IGNORECASE)
_NEVER_A_SESSION = re.compile(
    rf"{_KEYS}|body:.*\.api[_-]?key"
    # one request, or one attempt at it
    r"|x-request-id|idempotency-key|traceparent|x-stainless-.*|body:.*\.request[_-]?id"
    # a person, an organisation, a machine
    r"|openai-organization|openai-project|chatgpt-account-id|x-openwebui-user-.*|x-user-.*"
    r"|x-forwarded-(?:for|user|email)|forwarded|x-real-ip|user-agent"
    r"|body:.*\.(?:user(?:[_-]?(?:name|email))?|e-?mail|safety_identifier|(?:x-codex-)?installation[_-]?id"
    r"|(?:account|org|organi[sz]ation|device)[_-]?(?:uu)?id)"
    # that of Claude Code holds a session, and is read for no more than that
    r"|(?!(?-i:body:metadata\.user_id)\Z)body:.*\.user[_-]?id",
    re.ASCII | re.IGNORECASE,
)
_MODEL = re.compile(r"[!-)+-.0-~]+/(?:\*|[!-)+-~]+)")
"""Visible ASCII; no `*` but as the whole name, no `/` in the provider."""


def typed_text(node: Node) -> str:
    """A string as it stands."""
    if isinstance(node.value, str):
        return node.value
    if isinstance(node.value, bool | int | float):
        read_as = f", which YAML reads as {str(node.value).lower()}" if isinstance(node.value, bool) else ""
        raise Wrong(f"must be text, got {node.shown}{read_as}: put it in quotes")
    raise Wrong(f"must be text, got {node.kind}")


def prose(node: Node, _reading: Reading) -> str:
    """A sentence or more, for people and classifiers."""
    return _bounded(typed_text(node), MAX_PROSE_CHARS)


def name(node: Node, reading: Reading) -> str:
    """What something is called: one line, short enough for a log, a header or a label."""
    return _one_line(node, reading, MAX_NAME_CHARS)


def model_name(node: Node, reading: Reading) -> str:
    """A model by any of its names; whether it exists is asked when all are known."""
    return _one_line(node, reading, MAX_MODEL_CHARS)


def model_id(node: Node, reading: Reading) -> str:
    """`provider/name` or `provider/*`."""
    text = model_name(node, reading)
    if not _MODEL.fullmatch(text):
        raise Wrong(f"must be provider/name, or provider/* for all models of a provider, got {node.shown}")
    return text


def _one_line(node: Node, reading: Reading, limit: int) -> str:
    text = _bounded(typed_text(node), limit)
    if not text.isprintable():
        raise Wrong(f"must be one line of printable characters, got {node.shown}")
    if _VARIABLE.search(text):
        reading.warn(node, f"keeps {node.shown} as it is: variables are read in keys, headers and URLs only")
    return text


def _bounded(text: str, limit: int) -> str:
    if not text.strip():
        raise Wrong("must not be empty")
    if len(text) > limit:
        raise Wrong(f"must be at most {limit} characters long, got {len(text)}")
    if _SURROGATE.search(text):
        raise Wrong("must be Unicode text, got half a character (a lone surrogate)")
    return text


def yes_no(node: Node, _reading: Reading) -> bool:
    if isinstance(node.value, bool):
        return node.value
    raise Wrong(f"must be true or false, got {node.shown}")


def whole(limits: Range) -> Reader[int]:
    """A whole number, plainly written."""

    def read(node: Node, _reading: Reading) -> int:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"must be a whole number of {limits.bound(None)}, got {node.shown}")
        _plainly_written(node)
        if value not in limits:
            raise Wrong(f"must be a whole number of {limits.bound(value)}, got {node.shown}")
        return value

    return read


def number(limits: Range) -> Reader[float]:
    def read(node: Node, _reading: Reading) -> float:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"must be a number of {limits.bound(None)}, got {node.shown}")
        _plainly_written(node)
        if value not in limits:
            raise Wrong(f"must be a number of {limits.bound(value)}, got {node.shown}")
        return float(value)

    return read


def _plainly_written(node: Node) -> None:
    """YAML 1.1 reads 12:30 as 750, 010 as 8 and 0b1 as 1; nobody who types them here means that."""
    if re.match(r"[+-]?0[xb_0-7]", node.text) or ":" in node.text:
        raise Wrong(f"must be a plain decimal number, got {node.shown}, which YAML reads as {node.value:.15g}")


def duration(limits: Range) -> Reader[float]:
    """`500ms`, `30s`, `5m`, `1h`, in seconds."""

    def read(node: Node, _reading: Reading) -> float:
        found = _DURATION.fullmatch(node.value) if isinstance(node.value, str) else None
        if found is None:
            raise Wrong(f"must be a duration such as 500ms, 30s or 5m, got {node.shown}")
        seconds = float(found[1]) * _SECONDS[found[2]]
        if seconds not in limits:
            raise Wrong(f"must be a duration of {limits.bound(seconds)} seconds, got {node.shown}")
        return seconds

    return read


def one_of(kind: type[E]) -> Reader[E]:
    def read(node: Node, _reading: Reading) -> E:
        if node.value not in [str(member) for member in kind]:
            raise Wrong(f"must be {either(*kind)}, got {node.shown}")
        return kind(node.value)

    return read


def word_of(*words: str) -> Reader[str]:
    """One of some words that need no class of their own."""

    def read(node: Node, _reading: Reading) -> str:
        if node.value in words and isinstance(node.value, str):
            return node.value
        raise Wrong(f"must be {either(*words)}, got {node.shown}")

    return read


def either(*words: str) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def address(node: Node, _reading: Reading) -> str:
    """Where to listen: an IP address or a host name."""
    text = typed_text(node)
    if not is_host(text):
        raise Wrong(f"must be an IP address or a host name, got {node.shown}")
    return text


def is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # 1.2.3 or 1.2.3.256 is no name, but a mistyped address.
        return bool(_HOST.fullmatch(text)) and not re.fullmatch(r"[\d.]+", text)
    return True


def network(node: Node, _reading: Reading) -> str:
    """An address, or a network such as 10.0.0.0/8."""
    text = typed_text(node)
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise Wrong(f"must be an IP address or a network such as 10.0.0.0/8, got {node.shown}") from exc


def origin(node: Node, _reading: Reading) -> str:
    """What a browser sends as `Origin`: scheme, host and port; or `*`."""
    text = typed_text(node)
    if text != "*" and not _ORIGIN.fullmatch(text):
        raise Wrong(f"must be an origin such as https://app.example.com, or '*', got {node.shown}")
    return text


def host_header(node: Node, _reading: Reading) -> str:
    """A host, with or without a port."""
    text = typed_text(node)
    if not _HOST_AND_PORT.fullmatch(text):
        raise Wrong(f"must be a host name, with or without a port, got {node.shown}")
    return text


def header_name(node: Node, _reading: Reading) -> str:
    text = typed_text(node)
    if not is_header_name(text):
        raise Wrong(f"must be the name of a header, got {node.shown}")
    return text


def tenant_header(node: Node, reading: Reading) -> str:
    """A header that names a tenant; its value stands in stores and lists, so it is no secret."""
    text = header_name(node, reading)
    if _CREDENTIAL.fullmatch(text):
        raise Wrong(f"must be something that names a tenant; {text} is a secret; see session_scope")
    return text


def is_header_name(text: str) -> bool:
    return bool(_HEADER_NAME.fullmatch(text))


def session_source(node: Node, reading: Reading) -> str:
    """What may name a session: a header, in small letters, or a field of the body, `body:metadata.session_id`."""
    text = typed_text(node)
    if not text.startswith("body:"):
        text = header_name(node, reading).lower()
    elif not _BODY_FIELD.fullmatch(text):
        known = "session_id, conversation, prompt_cache_key, metadata.NAME or client_metadata.NAME"
        raise Wrong(f"must be body: and one of {known}, got {node.shown}")
    if _NEVER_A_SESSION.fullmatch(text):
        raise Wrong(f"must be something that names a session; {text} names a person, a secret or a single request")
    return text


@frozen
class ListOf:
    """A list whose items are all read the same way; an item that is wrong does not keep the others from being read."""

    table: AnyReader
    at_most: int = 1000
    step: str = "[]"

    def __call__(self, node: Node, reading: Reading) -> tuple[Any, ...]:
        if not isinstance(node.value, tuple):
            raise Wrong(f"must be a list, got {node.kind}")
        if len(node.value) > self.at_most:
            raise Wrong(f"must have at most {self.at_most} entries, got {len(node.value)}")
        items = (reading.attempt(self.table, item) for item in node.value)
        return tuple(item for item in items if item is not None)

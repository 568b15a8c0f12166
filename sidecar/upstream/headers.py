"""
Which headers cross, and which stop here: from the client to the provider, and from the provider to the client.

    client ──▶ end-to-end headers, in order, repeats kept ──▶ + key, configured headers, trace, request id ──▶ provider
    client ◀── + our own                                  ◀── end-to-end headers, in order, repeats kept   ◀── provider

What stops at a proxy by law: RFC 9110 section 7.6.1. What stops here by choice has its reason beside it.
"""

import re
from collections.abc import Collection, Iterable

from multidict import CIMultiDict

from sidecar.upstream.providers import Auth
from sidecar.upstream.target import Target
from sidecar.wire.formats import Format

Headers = Collection[tuple[str, str]]
"""Names and values in order, repeats kept: `request.headers.items()`."""

ANTHROPIC_VERSION = "2023-06-01"
"""https://docs.anthropic.com/en/api/versioning"""

_HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "proxy-authentication-info", "te", "trailer", "trailers", "transfer-encoding", "upgrade", "http2-settings",
    }
)  # fmt: skip
_FRAMING = frozenset({"host", "content-length", "expect"})
"""Written anew for each connection by whoever opens it."""
_OURS = frozenset({"x-session-id", "x-model-affinity", "x-request-id"})
_OUR_PREFIX = "x-sidecar-"
CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Where clients put their keys; of several, the first counts."""
_COOKIES = frozenset({"cookie", "cookie2"})
_ACCOUNT = frozenset({"openai-organization", "openai-project", "chatgpt-account-id"})
"""Whose key it is. Beside another key they make a provider refuse it, so they cross only with the client's own."""
_DIGESTS = frozenset({"content-md5", "digest", "content-digest", "repr-digest"})
"""Untrue of a body that is not, byte for byte, the one that came: RFC 9530, and RFC 2616, 14.15, before it."""
_OF_THE_BYTES = _DIGESTS | {"content-encoding"}

_NOT_SENT = _HOP_BY_HOP | _FRAMING | _OURS | _COOKIES | frozenset(CREDENTIALS)
_NOT_CONFIGURED = _HOP_BY_HOP | {"content-length", "expect"}
_FAMILY = {
    Format.MESSAGES: ("openai-", "x-openai-"),
    Format.CHAT: ("anthropic-", "x-anthropic-"),
    Format.RESPONSES: ("anthropic-", "x-anthropic-"),
}
"""The prefixes of the other family's headers, which a translated request leaves behind."""

_NOT_RELAYED = _HOP_BY_HOP | frozenset(
    {
        # Cookies such as __cf_bm are between the provider and whoever connects to it; ours are stripped on the way
        # there, and a browser would send them to every provider behind this address.
        "set-cookie", "set-cookie2",
        # Both speak of the provider's address, and a client would apply them to ours.
        "alt-svc", "strict-transport-security",
    }
)  # fmt: skip
_CORS = "access-control-"
"""A provider's permission to other web sites would be one to use our keys from there. Ours is configured."""

_SUBSCRIPTION = "sk-ant-oat"
"""How Anthropic's OAuth tokens begin; it takes them as a bearer and never as an x-api-key."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAK = re.compile(r"[\r\n\0]")


def to_provider(
    client: Headers,
    target: Target,
    *,
    request_id: str,
    traceparent: str | None = None,
    rewritten: bool = False,
    decoded: bool = False,
) -> CIMultiDict[str]:
    """
    The headers of the request to the provider. Without `traceparent` the client's own crosses.

    `rewritten`: the body is not, byte for byte, what the client sent, and its digests end here. `decoded`: nor is it
    encoded as the client said; what is sent must be plain. To be sent with aiohttp's own default headers turned off.
    """
    added = _added(client, target, request_id, traceparent)
    configured = _configured(target)
    if configured:
        theirs = {name.lower() for name in target.headers}
        added = [header for header in added if header[0].lower() not in theirs] + configured
    stays = {*_NOT_SENT, *_connection(client), *(name.lower() for name, _ in added)}
    stays |= _OF_THE_BYTES if decoded or target.translated else _DIGESTS if rewritten else frozenset()
    stays |= frozenset() if target.passthrough_auth else _ACCOUNT
    foreign = (_OUR_PREFIX, *(_FAMILY[target.interface] if target.translated else ()))
    sent = CIMultiDict(_sound(_crossing(client, stays, foreign) + added))
    if target.interface is Format.MESSAGES:
        sent.setdefault("anthropic-version", ANTHROPIC_VERSION)
    return sent


def to_client(provider: Headers, *, untouched: bool, ours: Iterable[tuple[str, str]] = ()) -> CIMultiDict[str]:
    """
    The headers of the answer to the client: the provider's, and `ours` instead of any that have their names.

    `untouched`: the body is relayed byte for byte. Otherwise length, encoding, type and digests go, and `ours` says
    what is true.
    """
    ours = list(ours)
    stays = {*_NOT_RELAYED, *_connection(provider), *(name.lower() for name, _ in ours)}
    stays |= frozenset() if untouched else _OF_THE_BYTES | {"content-length", "content-type", "etag", "accept-ranges"}
    return CIMultiDict(_sound(_crossing(provider, stays, (_OUR_PREFIX, _CORS)) + ours))


def _crossing(headers: Headers, stays: Collection[str], prefixes: tuple[str, ...]) -> list[tuple[str, str]]:
    crossing = []
    for header in headers:
        lowered = header[0].lower()
        if lowered not in stays and not lowered.startswith(prefixes):
            crossing.append(header)
    return crossing


def _sound(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without those that would end a line, and so be read as another header."""
    # All at once: none has ever been found in what an HTTP parser let through.
    if _NAME.fullmatch("".join([name for name, _ in headers])) and not _BREAK.search("".join([v for _, v in headers])):
        return headers
    return [header for header in headers if _NAME.fullmatch(header[0]) and not _BREAK.search(header[1])]


def _connection(headers: Headers) -> Iterable[str]:
    """The names that `Connection` lists: headers of this connection only."""
    for name, value in headers:
        if name.lower() == "connection":
            yield from (token.strip().lower() for token in value.split(","))


def _added(client: Headers, target: Target, request_id: str, traceparent: str | None) -> list[tuple[str, str]]:
    added = [("x-request-id", request_id)]
    if traceparent is not None:
        added.append(("traceparent", traceparent))
    if target.translated:
        # The answer must be read, and the dialect is now the translator's.
        added += [("Content-Type", "application/json"), ("Accept-Encoding", "identity")]
        added += [("anthropic-version", ANTHROPIC_VERSION)] if target.interface is Format.MESSAGES else []
    if target.http_host is not None:
        added.append(("Host", target.http_host))
    return added + _key(client, target)


def _key(client: Headers, target: Target) -> list[tuple[str, str]]:
    """The key in the provider's own scheme: ours, or the client's where the entry passes it through."""
    key = _clients_key(client) if target.passthrough_auth else target.access_key and target.access_key.reveal()
    if not key:
        return []
    if target.auth is Auth.BEARER or (target.auth is Auth.X_API_KEY and key.startswith(_SUBSCRIPTION)):
        return [("Authorization", f"Bearer {key}")]
    return [(target.auth.value, key)]


def _clients_key(client: Headers) -> str | None:
    """The client's key, whichever header it came in. An `Authorization` that is no bearer is not ours to turn."""
    found = {name.lower(): value.strip() for name, value in reversed(tuple(client))}
    for name in CREDENTIALS:
        scheme, _, token = found.get(name, "").rpartition(" ")
        if token and scheme.strip().lower() in ("", "bearer"):
            return token
    return None


def _configured(target: Target) -> list[tuple[str, str]]:
    """What the file adds. It may name a host; how the body is framed is never its to say."""
    headers = (
        (name, secret.reveal()) for name, secret in target.headers.items() if name.lower() not in _NOT_CONFIGURED
    )
    return [(name, value) for name, value in headers if value]

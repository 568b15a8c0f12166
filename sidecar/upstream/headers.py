"""
Which headers cross, and which stop here: from the client to the provider, and (`relaying`) back.

    client ──▶ end-to-end headers, in order, repeats kept ──▶ + key, configured headers, trace, request id ──▶ provider
    client ◀── + our own                                  ◀── end-to-end headers, in order, repeats kept   ◀── provider

What stops at a proxy by law: RFC 9110 section 7.6.1. What stops here by choice has its reason beside it.
"""

import re
from collections.abc import Collection
from operator import itemgetter

from sidecar.upstream.providers import Auth
from sidecar.upstream.target import Target
from sidecar.wire.formats import Format

Headers = Collection[tuple[str, str]]
"""Names and values in order, repeats kept: `request.headers.items()`."""

ANTHROPIC_VERSION = "2023-06-01"
"""https://docs.anthropic.com/en/api/versioning"""
_VERSION = "anthropic-version"

HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "proxy-authentication-info", "te", "trailer", "trailers", "transfer-encoding", "upgrade", "http2-settings",
    }
)  # fmt: skip
_FRAMING = frozenset({"host", "content-length", "expect"})
"""Written anew for each connection by whoever opens it."""
_OURS = frozenset({"x-session-id", "x-model-affinity", "x-request-id"})
OUR_PREFIX = "x-sidecar-"
CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Where clients put their keys; of several, the first counts."""
_COOKIES = frozenset({"cookie", "cookie2"})
_ACCOUNT = frozenset({"openai-organization", "openai-project", "chatgpt-account-id"})
"""Whose key it is. Beside another key they make a provider refuse it, so they cross only with the client's own."""
_DIGESTS = frozenset({"content-md5", "digest", "content-digest", "repr-digest"})
"""Untrue of a body that is not, byte for byte, the one that came: RFC 9530, and RFC 2616, 14.15, before it."""
OF_THE_BYTES = _DIGESTS | {"content-encoding"}

_NOT_SENT = HOP_BY_HOP | _FRAMING | _OURS | _COOKIES | frozenset(CREDENTIALS)
_NOT_CONFIGURED = HOP_BY_HOP | {"content-length", "expect"}
_FAMILY = {
    Format.MESSAGES: ("openai-", "x-openai-"),
    Format.CHAT: ("anthropic-", "x-anthropic-"),
    Format.RESPONSES: ("anthropic-", "x-anthropic-"),
}
"""The prefixes of the other family's headers, which a translated request leaves behind."""

NEVER = frozenset({"", "connection"})
"""What `Known` calls a header that never crosses, and one that says which others do not."""
MOST_NAMES = 256
LONG_NAME = 64
"""In characters. A longer one is looked at each time."""

_SUBSCRIPTION = "sk-ant-oat"
"""How Anthropic's OAuth tokens begin; it takes them as a bearer and never as an x-api-key."""
_name_of, _value_of = itemgetter(0), itemgetter(1)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAK = re.compile(r"[\r\n\0]")


class Outgoing:
    """
    The headers of the requests to one target. What can be known before there is a request is worked out once, with the
    keys in it: it lives as long as the configuration that they are of.
    """

    __slots__ = (
        "_fixed",
        "_known",
        "_needs_version",
        "_passes_key",
        "_stays",
        "_target",
        "_theirs",
        "tells_id",
        "tells_trace",
    )

    def __init__(self, target: Target) -> None:
        configured = _configured(target)
        self._target = target
        self._passes_key = target.passthrough_auth
        self._needs_version = target.interface is Format.MESSAGES
        self._theirs = frozenset(name.lower() for name in target.headers) if configured else frozenset()
        self.tells_id = "x-request-id" not in self._theirs
        """Whether the request's id goes beside them, and so with the next: the file may say these itself."""
        self.tells_trace = "traceparent" not in self._theirs
        own = _dialect(target) + ([] if target.passthrough_auth else _key(target, _own_key(target)))
        self._fixed = self._allowed(own) + configured
        self._stays: dict[tuple[bool, bool, bool], frozenset[str]] = {}
        never = _NOT_SENT if target.passthrough_auth else _NOT_SENT | _ACCOUNT
        foreign = (OUR_PREFIX, *(_FAMILY[target.interface] if target.translated else ()))
        self._known = Known(never, foreign)

    def of(
        self,
        client: Headers,
        *,
        traced: bool = False,
        rewritten: bool = False,
        decoded: bool = False,
        plain: bool = False,
    ) -> list[tuple[str, str]]:
        """
        Those of the request that carries `client` on, but for its id and its trace, which are of one request only.
        `traced`: the client's own `traceparent` ends here.

        `rewritten`: the body is not, byte for byte, what the client sent, and its digests end here. `decoded`: nor is
        it encoded as the client said; what is sent must be plain. `plain`: the answer must be so too, whatever the
        client can read. To be sent with no default headers beside them.
        """
        if plain:
            client = [header for header in client if header[0].lower() != "accept-encoding"]
            client.append(("Accept-Encoding", "identity"))
        which = (traced, rewritten, decoded)
        sent = let_through(client, self._known, self._stays.get(which) or self._staying(*which))
        if self._passes_key:
            sent += self._allowed(_key(self._target, _clients_key(client)))
        sent += self._fixed
        sent = sound(sent)
        if self._needs_version and _VERSION not in map(str.lower, map(_name_of, sent)):
            sent.append((_VERSION, ANTHROPIC_VERSION))
        return sent

    def _staying(self, traced: bool, rewritten: bool, decoded: bool) -> frozenset[str]:  # noqa: FBT001 - private
        """The names that do not cross this time, in lower case, beside those that never do."""
        of_body = OF_THE_BYTES if decoded or self._target.translated else _DIGESTS if rewritten else frozenset()
        of_trace = ("traceparent",) if traced and self.tells_trace else ()
        fixed = (name.lower() for name, _ in self._fixed)
        stays = self._stays[traced, rewritten, decoded] = NEVER.union(fixed, of_body, of_trace)
        return stays

    def _allowed(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Without those that the file says itself."""
        theirs = self._theirs
        return [header for header in headers if header[0].lower() not in theirs] if theirs else headers


class Known(dict[str, str]):
    """
    A header's name as it is spelt -> in lower case; empty for one that never crosses. Bounded, because clients and
    providers choose the names. 0.04 µs a header; to find it out each time takes 0.4.
    """

    def __init__(self, never: Collection[str], prefixes: tuple[str, ...]) -> None:
        super().__init__()
        self._never = never
        self._prefixes = prefixes

    def __missing__(self, name: str) -> str:
        lowered = name.lower()
        crosses = lowered not in self._never and not lowered.startswith(self._prefixes) and _NAME.fullmatch(name)
        fate = lowered if crosses or lowered == "connection" else ""
        if len(self) >= MOST_NAMES:
            self.clear()
        if len(name) <= LONG_NAME:
            self[name] = fate
        return fate


def let_through(headers: Headers, known: Known, stays: Collection[str]) -> list[tuple[str, str]]:
    """Those that are not in `stays`, where `NEVER` must be among the names."""
    crossing: list[tuple[str, str]] = []
    listed: list[str] = []
    for header in headers:
        lowered = known[header[0]]
        if lowered not in stays:
            crossing.append(header)
        elif lowered == "connection":
            listed += header[1].lower().split(",")
    if not listed or listed == ["keep-alive"]:  # as nearly always
        return crossing
    # The names that `Connection` lists are headers of this connection only.
    gone = {name.strip() for name in listed}
    return [header for header in crossing if header[0].lower() not in gone]


def sound(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without those that would end a line, and so be read as another header."""
    # All at once: none has ever been found in what an HTTP parser let through.
    values = "".join(map(_value_of, headers))
    if "\r" not in values and "\n" not in values and "\0" not in values:
        return headers
    return [header for header in headers if not _BREAK.search(header[1])]


def _dialect(target: Target) -> list[tuple[str, str]]:
    """What a target is told whoever asks."""
    headers = []
    if target.translated:
        # The answer must be read, and the dialect is now the translator's.
        headers += [("Content-Type", "application/json"), ("Accept-Encoding", "identity")]
        headers += [(_VERSION, ANTHROPIC_VERSION)] if target.interface is Format.MESSAGES else []
    if target.http_host is not None:
        headers.append(("Host", target.http_host))
    return headers


def _own_key(target: Target) -> str | None:
    return None if target.access_key is None else target.access_key.reveal()


def _key(target: Target, key: str | None) -> list[tuple[str, str]]:
    """The key in the provider's own scheme: ours, or the client's where the entry passes it through."""
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
    return [(name, value) for name, value in headers if value and _NAME.fullmatch(name)]

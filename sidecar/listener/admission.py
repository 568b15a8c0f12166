"""
Who may call: every request but those for health shows a key, or came over a connection with a certificate.

    headers, certificate ──admit──▶ Admitted: the same request, with the caller's name in the place of its keys
                              └──▶ InvalidApiKey: 401, the body unread

Keys are compared by a digest that is keyed with a secret of this process. The digest is looked up in a dict, which
takes longer for some than for others; but what that time could tell is something of a digest, and nobody who does not
have the secret can say which key would have that digest, or make another that comes closer to it.

What a client shows us is for us alone. Every header that holds a key of ours is taken out here, whichever of them let
the client in, so that no provider gets it where `passthrough_auth` sends a client's own key on: that one comes in
another header, beside ours in `x-sidecar-key`. In their place is the caller's name, in a header that no client can send
(what it says there is dropped) and that goes to no provider, as none that begins `x-sidecar-`.
"""

import asyncio
import hashlib
import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from aiohttp import HttpVersion, StreamReader
from msgspec import Struct
from multidict import CIMultiDictProxy, istr

from sidecar.config.models import Auth, ClientKey, Listener
from sidecar.errors import InvalidApiKey
from sidecar.listener.callers import NAMED
from sidecar.listener.incoming import Incoming
from sidecar.listener.seen import MOST_HEADS
from sidecar.telemetry.record import Caller
from sidecar.upstream.headers import CREDENTIALS

OWN = "x-sidecar-key"
"""For clients whose other headers are for their provider."""
ANY = "*"
"""The label of a certificate where any name will do."""

_HEADERS = tuple(map(istr, (OWN, *CREDENTIALS)))
_NAMED = istr(NAMED)
_REALM = 'Bearer realm="sidecar"'
_CERTIFICATES = 1024
"""So many are remembered by their names."""

Names = tuple[tuple[str, str], ...]
"""A certificate's subject alternative names, as Python tells them: (kind, value)."""


class Shown(Struct, frozen=True):
    """What the headers of a request show: whose key, if anybody's, and which headers hold keys of ours."""

    caller: Caller | None
    keys: tuple[str, ...]
    any: bool
    """Whether there is anything that could be a key."""


class Admitted:
    """A request whose caller is known: `sidecar.listener.incoming.Incoming`."""

    __slots__ = (
        "_headers", "_keys", "_request", "caller", "head", "method", "path", "raw_path", "remote", "session", "version", "whole"
    )  # fmt: skip

    def __init__(self, request: Incoming, keys: tuple[str, ...], caller: Caller) -> None:
        """`keys`: the headers that are not to go on."""
        self._request = request
        self._keys = keys
        self._headers: CIMultiDictProxy[str] | None = None
        self.caller = caller
        self.head = request.head  # of the same head the same goes on: what stays behind is told by the head itself
        self.session = request.session
        self.method: str = request.method
        self.path: str = request.path
        self.raw_path: str = request.raw_path
        self.version: HttpVersion = request.version
        self.remote: str | None = request.remote
        self.whole: bytes | None = request.whole

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        if self._headers is None:
            headers = self._request.headers.copy()
            for name in self._keys:
                headers.popall(name, None)
            headers[_NAMED] = self.caller.name
            self._headers = CIMultiDictProxy(headers)
        return self._headers

    @property
    def content(self) -> StreamReader:
        return self._request.content

    @property
    def content_length(self) -> int | None:
        return self._request.content_length

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._request.transport


class Admission:
    """The clients of one configuration. `client_names`: patterns of which a certificate's names must match one."""

    def __init__(self, auth: Auth, client_names: tuple[str, ...] = ()) -> None:
        self._digest = _keyed(os.urandom(32))
        self._keys = {digest: caller for digest, caller in map(self._known, auth.keys) if digest}
        self._certificates = auth.client_certificates
        self._shown_by = lru_cache(MOST_HEADS)(lambda head: self._shown(head.headers))
        # Asked with each request of a connection, worked out once for each certificate.
        self._named = lru_cache(_CERTIFICATES)(lambda names: named(names, client_names))

    @classmethod
    def of(cls, listener: Listener) -> "Admission | None":
        """None: anybody may call."""
        if listener.auth is None or listener.auth.is_none:
            return None
        return cls(listener.auth, () if listener.tls is None else listener.tls.client_names)

    def admit(self, request: Incoming) -> Admitted:
        """Raises InvalidApiKey."""
        shown = self._shown(request.headers) if request.head is None else self._shown_by(request.head)
        caller = shown.caller
        if caller is None and self._certificates:
            caller = self._of_certificate(request.transport)
        if caller is None:
            raise InvalidApiKey(self._wanted(), challenge=f'{_REALM}, error="invalid_token"' if shown.any else _REALM)
        return Admitted(request, shown.keys, caller)

    def _shown(self, headers: CIMultiDictProxy[str]) -> Shown:
        caller, found = None, [name for name in _HEADERS if name in headers]
        keys = []
        for name in found:
            for value in headers.getall(name):
                if (known := self._of_key(value)) is not None:
                    caller = caller or known
                    keys.append(name)
        return Shown(caller, tuple(keys), bool(found))

    def _known(self, key: ClientKey) -> tuple[bytes, Caller]:
        value = key.key.reveal()
        return self._digest(value) if value else b"", Caller(key.name, key.name)

    def _of_key(self, value: str) -> Caller | None:
        """
        Whose key is in a header's value: its last word, as in `Bearer …`, any other word of it, or all after the first.
        What is not understood here as a bearer may be so by a provider.
        """
        return self._keys.get(self._digest(value.rpartition(" ")[2])) or self._within(value.split())

    def _within(self, words: list[str]) -> Caller | None:
        for text in (*words, " ".join(words[1:]), " ".join(words)):
            if (caller := self._keys.get(self._digest(text))) is not None:
                return caller
        return None

    def _of_certificate(self, transport: asyncio.Transport | None) -> Caller | None:
        """The connection's certificate was verified when it began: `Pair.clients`."""
        certificate = None if transport is None else transport.get_extra_info("peercert")
        return self._named(certificate.get("subjectAltName", ())) if certificate else None

    def _wanted(self) -> str:
        key = f"a key of this sidecar, as Authorization: Bearer, x-api-key or {OWN}"
        certificate = "a certificate with a name that may call"
        ways = [key] if self._keys else []
        return f"This needs {', or '.join([*ways, certificate] if self._certificates else ways or [key])}."


def named(names: Names, patterns: Iterable[str]) -> Caller | None:
    """
    Who a certificate is: the first of its names that matches a pattern. Without patterns, its first; one without a name
    is nobody, as all of those would be one caller.
    """
    patterns = tuple(patterns)
    for kind, value in names:
        if kind not in _MATCHES:
            continue
        if not patterns:
            return Caller(value, ANY)
        for pattern in patterns:
            if _MATCHES[kind](pattern, value):
                return Caller(value, pattern)
    return None


def _dns(pattern: str, name: str) -> bool:
    """`*` in the pattern is one whole label. A name that has one is many machines' and matches nothing."""
    wanted, given = pattern.lower().split("."), name.lower().split(".")
    if len(wanted) != len(given) or "*" in name:
        return False
    return all(label and ours in ("*", label) for ours, label in zip(wanted, given, strict=True))


def _uri(pattern: str, uri: str) -> bool:
    """A `*` at the end is the rest, of at least one character."""
    if pattern.endswith("*") and "://" in pattern:
        return uri.startswith(pattern[:-1]) and len(uri) >= len(pattern)
    return uri == pattern


def _email(pattern: str, address: str) -> bool:
    """RFC 5280, 4.2.1.6: only the host's case does not matter."""
    user, _, host = pattern.rpartition("@")
    given, _, at = address.rpartition("@")
    return bool(user) and user == given and host.lower() == at.lower()


def _address(pattern: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(pattern) == ipaddress.ip_address(address.strip())
    except ValueError:
        return False


_MATCHES: Mapping[str, Callable[[str, str], bool]] = {
    "DNS": _dns,
    "URI": _uri,
    "email": _email,
    "IP Address": _address,
}
"""By the kinds of names, in OpenSSL's words."""


def _keyed(secret: bytes) -> Callable[[str], bytes]:
    """BLAKE2b with a key, which makes it a MAC (RFC 7693, 2.9). 0.7 µs, where HMAC with SHA-256 takes 4."""
    begun = hashlib.blake2b(key=secret, digest_size=32)  # the key's block is worked out once

    def digest(text: str) -> bytes:
        made = begun.copy()
        made.update(text.encode(errors="surrogateescape"))
        return made.digest()

    return digest

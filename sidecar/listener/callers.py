"""
Whose a session is: a tenant's, a caller's, or anybody's who knows its id.

A client can write any header, so the one that names the tenant counts only when it comes from a peer that the
configuration trusts, a gateway say. From anybody else it is ignored, and said so in the log, once. Then the caller
tells sessions apart, where `routing.session_scope` is `caller`: by its name, where clients have to show who they are,
and another key under the same name keeps its sessions; else by a keyed hash of its credential, so that nobody who reads
the pins learns a key.
"""

import hmac
import ipaddress
import logging
import string
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from urllib.parse import quote

from multidict import MultiMapping

from sidecar.config.models import Routing, SessionScope
from sidecar.errors import RequestError
from sidecar.routing.session import LONGEST_ID, is_session_id
from sidecar.upstream.headers import CREDENTIALS

log = logging.getLogger("sidecar.listener")

CALLER = "caller:"
"""How the tenant of a session begins that is a caller's. No tenant's own name may."""
NAMED = "x-sidecar-caller"
"""Where `admission` says who a caller is. Elsewhere it is a header that any client may send, and says nothing."""
_LABEL = b"sidecar caller 1:"
"""What the key is used for here."""
_HEX_DIGITS = 32
"""128 bits of 256."""
_PEERS = 4096
"""So many are remembered to be trusted or not."""


class Callers:
    """
    `key`: a secret; sidecars that share their pins need the same one to know a caller again. `named`: whether requests
    have been through `admission`.
    """

    def __init__(self, policy: Routing, key: bytes, *, named: bool = False) -> None:
        cache = policy.session_cache
        self._header = cache.tenant_header
        self._by_caller = policy.session_scope is SessionScope.CALLER
        self.tell_apart = self._header is not None or self._by_caller
        """Whether `tenant` may say anything; else whoever knows a session's id is in it."""
        self._key = key
        self._named = named
        trusted = tuple(map(ipaddress.ip_network, cache.trusted_peers))
        self._is_trusted = lru_cache(_PEERS)(partial(_is_in, trusted))
        self._said = False

    def tenant(self, headers: Mapping[str, str], peer: str) -> str:
        """
        Whose session a request is in; empty when nobody's in particular. `peer`: the address it came from.

        Raises RequestError when a trusted peer names no tenant that could be one, or several.
        """
        if self._header is not None and self._header in headers:
            if self._is_trusted(peer):
                return _tenant(headers, self._header)
            self._say_it_is_ignored()
        return self.caller(headers) if self._by_caller else ""

    def caller(self, headers: Mapping[str, str]) -> str:
        """
        `caller:` and its name, or else a hash of the credential that came with a request. Callers without one are one:
        empty.
        """
        if self._named:
            name = headers.get(NAMED)
            return "" if name is None else CALLER + _quoted(name)
        credential = _credential(headers)
        if not credential:
            return ""
        told = _LABEL + credential.encode(errors="surrogateescape")
        return CALLER + hmac.digest(self._key, told, "sha256").hex()[:_HEX_DIGITS]

    def _say_it_is_ignored(self) -> None:
        if not self._said:
            self._said = True
            trusted = "routing.session_cache.trusted_peers"
            log.warning("%s is ignored: it came from a peer that is not among %s", self._header, trusted)


def _is_in(networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network], peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:  # a Unix socket's peer has no address
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in networks)


def _tenant(headers: Mapping[str, str], header: str) -> str:
    named = headers.getall(header) if isinstance(headers, MultiMapping) else [headers[header]]
    # A gateway that adds its own to what the client sent, instead of replacing it, lets the client choose.
    if len(named) == 1 and is_session_id(named[0]) and "," not in named[0] and not named[0].startswith(CALLER):
        return named[0]
    raise RequestError(
        f"{header} must be one name of 1 to {LONGEST_ID} visible ASCII characters, without a comma", param=header
    )


@lru_cache(_PEERS)
def _quoted(name: str) -> str:
    """As a tenant can be: visible ASCII. Names of keys may be more than that."""
    return quote(name, safe=string.punctuation.replace("%", ""))


def _credential(headers: Mapping[str, str]) -> str:
    """The first there is. However a key is sent, as a bearer or in a header of its own, it is the same key."""
    for name in CREDENTIALS:
        value = headers.get(name, "").strip()
        if value and value.lower() != "bearer":  # what an SDK without a key sends; all of them would be one caller
            scheme, _, token = value.rpartition(" ")
            return token if scheme.strip().lower() in ("", "bearer") else value
    return ""

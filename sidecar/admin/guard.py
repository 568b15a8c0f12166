"""
Who may ask what of the admin port.

    readiness, liveness, metrics     anybody who reaches the port: the kubelet and Prometheus are on the pod's network
    everything else                  loopback only, and under a name of loopback

Two ways around "loopback only" lead through an operator's own browser, and both end here. A page whose name was made
to point to 127.0.0.1 (DNS rebinding) gives itself away by the `Host` it asks for. A page that asks us across sites
gives itself away by `Origin` or `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), which no page can forge. It
could not read the answer, but it could have us work for nothing, again and again; a link that is followed may lead here.
"""

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Address, ip_address

from attrs import frozen

from sidecar.errors import RequestError

POD_NETWORK = frozenset({"/ready", "/live", "/metrics", "/stats/prometheus"})
"""What anybody who reaches the port may read."""
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]@/?#\s]+)(?::\d{1,5})?")


class Forbidden(RequestError):
    """Whoever asks may not."""

    status = 403
    code = "forbidden"


class NotFromLoopback(Forbidden):
    """The path answers this machine (in Kubernetes: this pod) only."""

    code = "not_from_loopback"


class ForeignHost(Forbidden):
    """The request names a host that is not ours: a page in a browser may be behind it."""

    code = "foreign_host"


class CrossSite(Forbidden):
    """A page of another site asks."""

    code = "cross_site"


@frozen
class Asking:
    """What the rules look at in a request."""

    method: str
    path: str
    peer: str | None
    """The address it came from."""
    hosts: Sequence[str]
    """Every `Host` header."""
    headers: Mapping[str, str]
    scheme: str = "http"
    """What the port speaks: `https` where it has TLS."""


@frozen
class Guard:
    """`address`: what the admin port is bound to, which is a name of ours as well."""

    address: str = "127.0.0.1"

    def check(self, asking: Asking) -> None:
        """Raises Forbidden."""
        if asking.path not in POD_NETWORK:
            if not is_loopback(asking.peer):
                raise NotFromLoopback(f"{asking.path[:200]} answers loopback only")
            if len(asking.hosts) != 1 or not self._is_ours(asking.hosts[0]):
                raise ForeignHost("the Host header names neither loopback nor the address of this port")
        if is_cross_site(asking) and not _is_for_other_sites(asking):
            raise CrossSite("a page of another site may change nothing here, nor have anything read")

    def _is_ours(self, host: str) -> bool:
        name = host_name(host)
        if name is None:
            return False
        return name == "localhost" or is_loopback(name) or (name == self.address.lower() and not _is_any(name))


def is_loopback(address: str | None) -> bool:
    """Of an IP address as text, IPv4 in IPv6 included. What is no address is not loopback."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    # Before Python 3.13 ::ffff:127.0.0.1 does not count by itself.
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def _is_any(name: str) -> bool:
    """0.0.0.0 and :: are no names of ours: some systems take a page's request for them to loopback."""
    try:
        return ip_address(name).is_unspecified
    except ValueError:
        return False


def host_name(host: str) -> str | None:
    """`Localhost:9901` → `localhost`, `[::1]` → `::1`; None for what is no host."""
    found = _HOST.fullmatch(host.strip())
    return found.group(1).strip("[]").lower() if found else None


def is_cross_site(asking: Asking) -> bool:
    """Whether a browser says that another site's page asks. Programs say nothing of the kind and may."""
    site = asking.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = asking.headers.get("Origin")
    return origin is not None and [origin.lower()] != [f"{asking.scheme}://{host.lower()}" for host in asking.hosts]


def _is_for_other_sites(asking: Asking) -> bool:
    """What anybody may read, and a link: the answer fills a window of its own, not a picture, a frame or a script."""
    if asking.method not in READING:
        return False
    return asking.path in POD_NETWORK or asking.headers.get("Sec-Fetch-Dest") == "document"

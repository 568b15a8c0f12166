"""
Where connections go.
"""

from functools import lru_cache
from typing import NamedTuple

from sidecar.upstream.trust import Authorities

_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where a connection goes, and whether by TLS."""

    scheme: str
    """`http` or `https`."""
    host: str
    """Without the brackets of an IPv6 address."""
    port: int
    authorities: Authorities | None = None
    """Whose certificates are trusted there; None: the system's."""


@lru_cache(256)
def authority(origin: Origin) -> str:
    """For `Host`: the port where it is not the scheme's own."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == _PORTS.get(origin.scheme) else f"{host}:{origin.port}"

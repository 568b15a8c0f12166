"""
One port for several processes: the parent takes it, each worker listens on it, and the kernel deals connections out.

The parent binds alone first, so that a port that anybody else has is refused, a sidecar with workers of its own
included; then it lets the others in (SO_REUSEPORT, socket(7)). It never listens: a connection always ends at a worker.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sidecar.server.sockets import CannotBind


@contextmanager
def reserved(address: str, port: int) -> Iterator[tuple[str, int]]:
    """The address and port that were taken; 0 takes a free one. Raises CannotBind."""
    with ExitStack() as held:
        try:
            infos = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, kind, _, _, place = infos[0]
            taken = _bound(held, family, kind, place)
            for family, kind, _, _, place in infos[1:]:  # a name may stand for an address of each kind
                _bound(held, family, kind, (place[0], taken[1], *place[2:]))
        except OSError as exc:
            raise CannotBind(f"cannot listen on {address}:{port}: {_why(exc)}") from exc
        yield taken


def _bound(held: ExitStack, family: int, kind: int, place: tuple[object, ...]) -> tuple[str, int]:
    taken = held.enter_context(socket.socket(family, kind))
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    taken.bind(place)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found = taken.getsockname()
    return str(found[0]), int(found[1])


def _why(exc: OSError) -> str:
    """The system's word; that of the resolver where it was the name."""
    return exc.strerror or "no such address" if isinstance(exc, socket.gaierror) else os.strerror(exc.errno or 0)

"""
One port for several processes: the parent takes it, each worker listens on it, and the kernel deals connections out.

The parent binds alone first, so that a port that anybody else has is refused, a sidecar with workers of its own
included; then it lets the others in (`ports.bound`). It never listens: a connection always ends at a worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sidecar.server.ports import bound


@contextmanager
def reserved(address: str, port: int) -> Iterator[tuple[str, int]]:
    """The address and port that were taken; 0 takes a free one. Raises CannotBind."""
    with bound(address, port) as sockets:
        taken = sockets[0].getsockname()
        yield str(taken[0]), int(taken[1])

"""
Taking a port: alone, beside other processes of ours, or in the place of one.

    alone        refused when anybody listens there, one that would share included: the address is bound without
                 SO_REUSEPORT. Then the option is set, so that whoever takes over from us can bind beside us
    beside       with SO_REUSEPORT from the beginning (socket(7)): for a worker, and for who takes over. The system
                 lets in processes of the same user only
    in place     beside, and then the kernel is told to give all new connections to us

The last is a program of the classic packet filter for the whole group of sockets (SO_ATTACH_REUSEPORT_CBPF, socket(7)):
it answers with the place of a socket in the group, in the order in which they began to listen. Where the answer is no
place, as when there is but one socket left, the kernel deals connections out as it always does.
"""

import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sidecar.errors import SidecarError

BACKLOG = 4096
"""Connections that may wait at a socket; the system has its own bound, too (net.core.somaxconn)."""

_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h; Python has no name for it
_RETURN = 0x06  # linux/bpf_common.h: BPF_RET | BPF_K
_SECOND = 1


class CannotBind(SidecarError):
    """An address or a port is not ours to take."""

    code = "cannot_bind"


@contextmanager
def bound(address: str, port: int, *, beside: bool = False) -> Iterator[list[socket.socket]]:
    """
    Sockets that do not listen yet, one for each address that a name stands for, all with the same port; 0 takes a free
    one. Whoever gives one away to be closed by others detaches it. Raises CannotBind.
    """
    with ExitStack() as held:
        try:
            infos = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            taken: list[socket.socket] = []
            for family, kind, _, _, place in dict.fromkeys(infos):
                numbered = place if not taken else (place[0], taken[0].getsockname()[1], *place[2:])
                taken.append(_bound(held, family, kind, numbered, beside=beside))
        except OSError as exc:
            raise CannotBind(f"cannot listen on {address}:{port}: {_why(exc)}") from exc
        yield taken


def _bound(held: ExitStack, family: int, kind: int, place: tuple[object, ...], *, beside: bool) -> socket.socket:
    taken = held.enter_context(socket.socket(family, kind))
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if beside:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.bind(place)
    if hasattr(socket, "SO_REUSEPORT"):
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    taken.settimeout(0)
    return taken


def steer(taken: socket.socket) -> None:
    """
    Gives all new connections to `taken`, which listens beside exactly one other socket that began before. Raises OSError
    where that cannot be done: then both get some, until one is closed.
    """
    if sys.platform != "linux":
        raise OSError(0, "there is nothing of the kind on this system")
    # struct sock_filter {u16 code; u8 jt; u8 jf; u32 k} and struct sock_fprog {u16 len; struct sock_filter *filter},
    # linux/filter.h.
    program = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, _SECOND))
    taken.setsockopt(socket.SOL_SOCKET, _ATTACH_REUSEPORT_CBPF, struct.pack("HP", 1, ctypes.addressof(program)))


def _why(exc: OSError) -> str:
    """The system's word; that of the resolver where it was the name."""
    return exc.strerror or "no such address" if isinstance(exc, socket.gaierror) else os.strerror(exc.errno or 0)

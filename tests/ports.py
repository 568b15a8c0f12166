"""
Ports for servers that have to be told one, and for addresses where nobody may answer. A port that the kernel chose and
that is let go again can be taken before it is used, by any connection of any other test; these cannot.
"""

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
WANTED = range(10_000, 20_000)
"""A Redis Cluster's bus is 10,000 above its port: never another's port."""


def free_port():
    """
    A port of 127.0.0.1 that nobody listens on, outside of those that the kernel gives to connections and to servers that
    ask for any. It is this process's until it ends: an abstract socket of that name says so to the others.
    """
    first, last = map(int, RANGE.read_text().split())
    outside = [port for port in WANTED if not first <= port <= last] or WANTED  # where all are given away, no help
    for port in random.sample(outside, len(outside)):
        if _reserved(port):
            return port
    raise OSError(f"no port is left of {len(outside)}")


def _reserved(port):
    ours = socket.socket(socket.AF_UNIX)
    try:
        ours.bind(f"\0sidecar-tests:{port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError:
        ours.close()
        return False
    ours.detach()  # the kernel closes it when this process ends
    return True

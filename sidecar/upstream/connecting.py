"""
A new connection: its name, its TCP, its TLS. What fails says which of them it was.

Both families of addresses are tried, the second while the first is silent (RFC 8305), by the library that aiohttp
does it with. No proxy of the environment is used.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

from sidecar.upstream.connection import Connection, Keeper, described
from sidecar.upstream.origin import Origin

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
NEXT_ADDRESS_AFTER_S = 0.25
"""RFC 8305 section 5."""


class Unconnected(Exception):
    """There is no connection: nothing was sent. `str()` is why."""


class Unresolved(Unconnected):
    """The name has no address."""


class Untrusted(Unconnected):
    """TLS failed, or the certificate is nobody's whom we trust."""


class ConnectTimeout(TimeoutError):
    """It took longer than a connection may."""


class Trust:
    """The TLS settings of all connections, made once, by `make`."""

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._making: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        if self._making is None:
            # In a thread, and not before it is needed: reading the system's authorities takes up to 100 ms.
            self._making = asyncio.get_running_loop().run_in_executor(None, self._make)
        return await asyncio.shield(self._making)


def system_trust() -> ssl.SSLContext:
    """Whom the system trusts, or whom SSL_CERT_FILE and SSL_CERT_DIR name."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def connect(origin: Origin, keeper: Keeper, trust: Trust) -> Connection:
    """A connection that was never used. Raises Unconnected."""
    loop = asyncio.get_running_loop()
    addresses = await _addresses(origin)
    try:
        context = await trust.context() if origin.scheme == "https" else None
        sock = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S, interleave=1, loop=loop)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, connection = await loop.create_connection(
            lambda: Connection(origin, keeper, loop),
            sock=sock,
            ssl=context,
            server_hostname=origin.host.rstrip(".") if context is not None else None,
        )
    except ssl.SSLError as exc:
        raise Untrusted("its certificate or TLS is not accepted") from exc
    except OSError as exc:
        raise Unconnected(described(exc)) from exc
    return connection


async def _addresses(origin: Origin) -> Sequence[AddrInfoType]:
    loop = asyncio.get_running_loop()
    try:
        try:
            # An address needs nobody who resolves it, and no thread.
            return socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=_NUMERIC)
        except socket.gaierror:
            return await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError) as exc:  # UnicodeError: a label that is no name
        raise Unresolved("its name cannot be resolved") from exc

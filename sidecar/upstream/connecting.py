"""
A new connection: its name, its TCP, its TLS. What fails says which of them it was.

Both families of addresses are tried, the second while the first is silent (RFC 8305), by the library that aiohttp
does it with. No proxy of the environment is used.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence

from aiohappyeyeballs import AddrInfoType, start_connection

from sidecar.certificates import CannotLoad
from sidecar.upstream.connection import Connection, Keeper, described
from sidecar.upstream.origin import Origin
from sidecar.upstream.trust import Trust

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


async def connect(origin: Origin, keeper: Keeper, trust: Trust) -> Connection:
    """A connection that was never used. Raises Unconnected."""
    loop = asyncio.get_running_loop()
    addresses = await _addresses(origin)
    connection = Connection(origin, keeper, loop)
    try:
        context = await trust.context(origin.authorities) if origin.scheme == "https" else None
        sock = await start_connection(addresses, happy_eyeballs_delay=NEXT_ADDRESS_AFTER_S, interleave=1, loop=loop)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.create_connection(
            lambda: connection,
            sock=sock,
            ssl=context,
            server_hostname=origin.host.rstrip(".") if context is not None else None,
        )
    except asyncio.CancelledError:
        # uvloop closes the socket, and does not tell a connection of its end that was told of its beginning just now.
        keeper.lost(connection)
        raise
    except ssl.SSLError as exc:
        raise Untrusted("its certificate or TLS is not accepted") from exc
    except CannotLoad as exc:
        raise Untrusted("whose certificates it may show cannot be read") from exc
    except OSError as exc:
        # Without its traceback: aiohappyeyeballs' frame has it, and both would wait for the collector.
        raise Unconnected(described(exc)) from exc.with_traceback(None)
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

"""A port, how it is bounded against those who connect and say nothing, and how it is closed."""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import frozen

from sidecar.errors import SidecarError

HANDSHAKE_S = 10.0
GOODBYE_S = 1.0
"""How long we wait for a client's own end of TLS."""
HEAD_S = 10.0
"""From the connection to the end of the first head. After it, and for later heads, `KEEPALIVE_S` holds."""
KEEPALIVE_S = 75.0
"""API servers keep connections; Go's client drops one of its own after 90 seconds."""
LINGER_S = 0.5
"""How long we read on after an answer that came before the end of the body, so that whoever sends it sees the answer."""
STOP_S = 5.0
"""How long reviews under way may take to finish; one takes a millisecond."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CannotBind(SidecarError):
    """An address or a port is not ours to take."""

    code = "cannot_bind"


@frozen
class Port:
    """One that listens."""

    address: str
    port: int
    close: Callable[[], None]
    """Takes no more connections, and leaves those there are alone."""


@asynccontextmanager
async def listening(
    app: web.Application, address: str, port: int, tls: ssl.SSLContext | None = None, head_s: float = HEAD_S
) -> AsyncIterator[Port]:
    """Raises CannotBind. Leaving it closes the port; requests under way have `STOP_S` to end."""
    # aiohttp writes a traceback for every request that is no HTTP, and anybody on the network may send one.
    silent = logging.Logger("sidecar.injector.http", logging.CRITICAL + 1)  # noqa: LOG001 - on no tree, for no handler
    heard = _Heard(head_s)
    app.middlewares.insert(0, heard.note)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=silent,
        shutdown_timeout=STOP_S / 2,  # aiohttp waits for it twice
        keepalive_timeout=KEEPALIVE_S,
        lingering_time=LINGER_S,
    )
    await runner.setup()
    try:
        server = await _bound(heard.factory(runner), address, port, tls)
        taken = server.sockets[0].getsockname()
        try:
            yield Port(taken[0], taken[1], server.close)
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def _bound(
    factory: Callable[[], asyncio.Protocol], address: str, port: int, tls: ssl.SSLContext | None
) -> asyncio.Server:
    """Not aiohttp's own sites: they say nothing to asyncio of how long a handshake may take, and a minute is much."""
    handshake_s, goodbye_s = (HANDSHAKE_S, GOODBYE_S) if tls is not None else (None, None)
    try:
        return await asyncio.get_running_loop().create_server(
            factory, address, port, ssl=tls, ssl_handshake_timeout=handshake_s, ssl_shutdown_timeout=goodbye_s
        )
    except OSError as exc:
        raise CannotBind(f"cannot listen on {address}:{port}: {os.strerror(exc.errno or 0)}") from exc


class _Heard:
    """Closes connections that have sent no head in time."""

    def __init__(self, head_s: float) -> None:
        self._head_s = head_s
        self._silent: set[asyncio.Protocol] = set()

    def factory(self, runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
        def connected() -> asyncio.Protocol:
            assert runner.server is not None  # noqa: S101 - it is set up
            connection = runner.server()
            self._silent.add(connection)
            asyncio.get_running_loop().call_later(self._head_s, self._cut, connection)
            return connection

        return connected

    @web.middleware
    async def note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        return await handler(request)

    def _cut(self, connection: web.RequestHandler) -> None:
        if connection in self._silent:
            self._silent.discard(connection)
            connection.force_close()

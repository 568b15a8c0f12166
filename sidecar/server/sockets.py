"""The two listening sockets, and how each is served."""

import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from sidecar.config.models import Limits
from sidecar.listener.door import Door
from sidecar.listener.http import HttpServer
from sidecar.server.ports import BACKLOG, CannotBind, bound, steer

LINGER_S = 1.0
"""What connections get that are still there after a drain: those of clients that do not take what they are sent."""

log = logging.getLogger("sidecar.server")

Place = tuple[str, int]
Close = Callable[[], Awaitable[None]]
Instead = Callable[[], Awaitable[None]]


def data_server(door: Door, *, fast: bool, limits: Limits) -> HttpServer:
    return HttpServer(door, fast=fast, limits=limits, auto_decompress=False, access_log=None, lingering_time=2.0)


def data_runner(server: HttpServer) -> web.ServerRunner:
    return web.ServerRunner(server, shutdown_timeout=LINGER_S / 2)  # aiohttp waits for it twice


def admin_runner(app: web.Application) -> web.AppRunner:
    # aiohttp writes a traceback for every request that is no HTTP, and anybody on the pod's network may send one.
    # Whoever did is told; what goes wrong in a handler the app logs itself.
    silent = logging.Logger("sidecar.admin.http", logging.CRITICAL + 1)  # noqa: LOG001 - on no tree, for no handler
    return web.AppRunner(app, access_log=None, logger=silent, shutdown_timeout=1.0)


@asynccontextmanager
async def listening(
    runner: web.BaseRunner,
    address: str,
    port: int,
    *,
    shared: bool = False,
    instead: Instead | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Place, Close]]:
    """
    The address and port that were taken, and what closes the socket, once, and leaves connections alone. `shared`: other
    processes of ours listen on the same port. With `instead` another sidecar listens there, whose clients come to us
    from here on: it is awaited while they wait at our socket, before the first is accepted. Raises CannotBind.
    """
    with bound(address, port, beside=shared or instead is not None) as sockets:
        await runner.setup()
        try:
            if instead is not None:
                for each in sockets:
                    _put_before(each)
                await instead()
            sites = [web.SockSite(runner, each, backlog=BACKLOG, ssl_context=tls) for each in sockets]
            try:
                for site in sites:
                    await site.start()
            except OSError as exc:
                raise CannotBind(f"cannot listen on {address}:{port}: {os.strerror(exc.errno or 0)}") from exc
            taken = sockets[0].getsockname()
            yield (str(taken[0]), int(taken[1])), _closing(sites, sockets)
        finally:
            await runner.cleanup()


def _put_before(taken: socket.socket) -> None:
    """It gets all new connections from here on."""
    taken.listen(BACKLOG)
    try:
        steer(taken)
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno else str(exc)
        log.warning("the system gives some new connections to the other sidecar until that has closed: %s", why)


def _closing(sites: list[web.SockSite], sockets: list[socket.socket]) -> Close:
    async def close() -> None:
        for site in sites:
            await site.stop()
        for each in sockets:
            each.close()  # uvloop has one of its own for it

    return close


@asynccontextmanager
async def listening_at(runner: web.BaseRunner, path: str) -> AsyncIterator[None]:
    """On a socket with a path, which nobody finds on a network."""
    await runner.setup()
    try:
        try:
            await web.UnixSite(runner, path).start()
        except OSError as exc:
            raise CannotBind(f"cannot listen at {path}: {os.strerror(exc.errno or 0)}") from exc
        yield
    finally:
        await runner.cleanup()

"""The two listening sockets, and how each is served."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from sidecar.errors import SidecarError
from sidecar.listener.door import Door
from sidecar.listener.http import HttpServer

STOP_S = 30.0
"""How long requests under way may take to finish once we stop."""


class CannotBind(SidecarError):
    """An address or a port is not ours to take."""

    code = "cannot_bind"


def data_server(door: Door, *, fast: bool) -> HttpServer:
    return HttpServer(
        door, fast=fast, auto_decompress=False, access_log=None, keepalive_timeout=75.0, lingering_time=2.0
    )


def data_runner(server: HttpServer) -> web.ServerRunner:
    return web.ServerRunner(server, shutdown_timeout=STOP_S / 2)  # aiohttp waits for it twice


def admin_runner(app: web.Application) -> web.AppRunner:
    # aiohttp writes a traceback for every request that is no HTTP, and anybody on the pod's network may send one.
    # Whoever did is told; what goes wrong in a handler the app logs itself.
    silent = logging.Logger("sidecar.admin.http", logging.CRITICAL + 1)  # noqa: LOG001 - on no tree, for no handler
    return web.AppRunner(app, access_log=None, logger=silent, shutdown_timeout=1.0)


@asynccontextmanager
async def listening(
    runner: web.BaseRunner, address: str, port: int, *, shared: bool = False
) -> AsyncIterator[tuple[tuple[str, int], Callable[[], Awaitable[None]]]]:
    """
    The address and port that were taken, and what closes the socket, once, and leaves connections alone. `shared`: other
    processes of ours listen on the same port.
    """
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port, reuse_port=shared or None)
        try:
            await site.start()
        except OSError as exc:
            raise CannotBind(f"cannot listen on {address}:{port}: {os.strerror(exc.errno or 0)}") from exc
        taken = runner.addresses[0]
        yield (str(taken[0]), int(taken[1])), site.stop
    finally:
        await runner.cleanup()


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

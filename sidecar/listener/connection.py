"""
One connection of a client, by what aiohttp offers in public: what it is doing, and how it is ended.
"""

import asyncio
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from sidecar.errors import SidecarError
from sidecar.listener.bounds import Bounds, Stay
from sidecar.listener.door import Door
from sidecar.listener.head import Heads
from sidecar.listener.incoming import Heard
from sidecar.listener.outlet import Outlet, Pumped
from sidecar.listener.seen import Table
from sidecar.listener.turn import Turn


class Server(web.Server):
    """What a connection asks its server for."""

    door: Door
    """Asked for each request: another one may be put in its place between two of them."""
    bounds: Bounds
    heads: Heads
    turn: Turn
    ends: bool = False
    """Whether every connection is to end with its next answer."""

    @property
    def known(self) -> Table:
        """The heads of requests that are known."""
        raise NotImplementedError


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_answerer", "_clock", "_moved_at", "_outlet", "_server", "_wire", "stay")

    awaits_head = False  # as far as can be known in public

    def __init__(self, server: "Server", **options: Any) -> None:
        super().__init__(server, **options)
        self._server = server
        self._clock = asyncio.get_running_loop().time
        self._moved_at = self._clock()
        self._outlet: Outlet | None = None
        self._answerer: asyncio.Task[Any] | None = None
        self._wire: asyncio.Transport | None = None
        self.stay = Stay(server.bounds.limits, self._moved_at)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._server.bounds.connections += 1
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._wire is not None:
            self._wire = None
            self._server.bounds.connections -= 1
        super().connection_lost(exc)
        self._answerer = None  # cancelled, it keeps us by its traceback: so both go at once, without the collector

    def data_received(self, data: bytes) -> None:
        self._moved_at = self._clock()
        super().data_received(data)

    def answering(self, outlet: Outlet | None) -> None:
        """The task that says so answers a request through `outlet`; None: it has."""
        self._outlet, self._moved_at = outlet, self._clock()
        self._answerer = None if outlet is None else asyncio.current_task()

    def quiet_s(self) -> float:
        """For how long nothing has come or gone; 0 while a request is being answered."""
        return 0.0 if self._outlet is not None else self._clock() - self._moved_at

    def leave(self) -> None:
        """Closes it, for want of requests."""
        if self.transport is not None:
            self.transport.close()

    def break_off(self, error: SidecarError) -> bool:
        """Ends the answer that is under way; whether there is one."""
        if self._outlet is None or self._answerer is None or self._outlet.broken is not None:
            return False
        self._outlet.broken = error
        self._answerer.cancel()
        return True

    @property
    def stuck(self) -> int:
        """See `Watched`. Of a connection that is being closed too, which waits for its client as well."""
        if self._wire is None or (self._outlet is not None and not self.writing_paused):
            return 0
        return self._wire.get_write_buffer_size()

    def give_up(self, error: SidecarError) -> None:
        if self._outlet is not None:
            self._outlet.broken = error
        if self._wire is not None:
            self._wire.abort()  # whoever answers is told by `connection_lost`

    def refuse(self, _error: SidecarError) -> None:
        """Nothing is known here that could be answered."""
        self.leave()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called for what the parser refuses; what a handler raises ends at the door already."""
        if isinstance(exc, HttpProcessingError | SidecarError):
            heard = cast("Heard", request)
            outlet = Pumped(heard, lambda: True)
            self._server.bounds.refuse(self._server.door, exc, heard, outlet)
            return outlet.response
        return super().handle_error(request, status, exc, message)

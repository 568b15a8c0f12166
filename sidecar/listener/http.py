"""
HTTP itself: aiohttp's server, with our own word where aiohttp would answer a malformed request.

Its own answer and its own log line repeat what the client sent, keys and session ids included; ours do not.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import _ErrInfo

from sidecar.listener.door import Door

MAX_HEADER_BYTES = 64 * 1024
"""Of one header, or of the request's line. aiohttp's own 8 KiB are less than some tokens that clients carry."""


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_door",)

    def __init__(self, server: "HttpServer", door: Door, **options: Any) -> None:
        super().__init__(server, **options)
        self._door = door

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._current_request is not None

    def data_received(self, data: bytes) -> None:
        """
        aiohttp queues a malformed chunk as a request of its own, and whoever reads the body that it stands in waits
        for ever: it is told here.
        """
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            bodies = [body for _, body in self._messages]
            if self._current_request is not None:
                bodies.append(self._current_request.content)
            for body in bodies:
                if not body.is_eof() and body.exception() is None:
                    body.set_exception(web.RequestPayloadError("malformed"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called for what the parser refuses; what a handler raises ends at the door already."""
        if isinstance(exc, HttpProcessingError):
            return self._door.not_http(type(exc).__name__, request)
        return super().handle_error(request, status, exc, message)


class HttpServer(web.Server):
    """Makes a `Connection` for every client that connects. `options` are those of aiohttp's `RequestHandler`."""

    def __init__(self, door: Door, **options: Any) -> None:
        # Without handler_cancellation a client that hangs up is never noticed.
        super().__init__(door, handler_cancellation=True)
        self.door = door
        self._options = {"max_line_size": MAX_HEADER_BYTES, "max_field_size": MAX_HEADER_BYTES, **options}

    def under_way(self) -> int:
        """How many requests are being answered."""
        return sum(isinstance(connection, Connection) and connection.is_busy for connection in self.connections)

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self.door, loop=asyncio.get_running_loop(), **self._options)

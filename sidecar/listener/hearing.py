"""
What a connection of aiohttp's does not tell whoever answers on it, nor those who look after it.

This touches private parts of aiohttp, as `sidecar.listener.lean` does: see there.
"""

from typing import Any

from aiohttp import EMPTY_PAYLOAD, web, web_protocol

from sidecar.errors import SidecarError
from sidecar.listener.connection import Connection

NotHttp: type[Any] = getattr(web_protocol, "_ErrInfo", type(None))
"""What the parser queues in the place of a request that it refuses."""


class HearingConnection(Connection):
    """
    A connection that knows when it waits for a request, and knows of malformed chunks. aiohttp queues one as a request
    of its own, and whoever reads the body that it stands in waits for ever: it is told here.
    """

    __slots__ = ()

    @property
    def awaits_head(self) -> bool:  # type: ignore[override]  # which is never so where it is not known
        return self._waiter is not None and not self._messages

    def refuse(self, error: SidecarError) -> None:
        """As if the parser had said so."""
        self._messages.append((NotHttp(status=error.status, exc=error, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _process_keepalive(self) -> None:
        if self._messages:  # and nobody may have been woken for them yet: the time begins anew with their answer
            self._keepalive_handle = None
            return
        super()._process_keepalive()
        if self._force_close:
            self._server.bounds.idled()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._messages:
            if self._waiter is not None:
                self._server.bounds.part_of_head(self, len(data), self._moved_at)
            return
        self.stay.head_at = None
        if isinstance(self._messages[-1][0], NotHttp):
            self._tell_readers()

    def _tell_readers(self) -> None:
        bodies = [body for _, body in self._messages]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for body in bodies:
            if not body.is_eof() and body.exception() is None:
                body.set_exception(web.RequestPayloadError("malformed"))

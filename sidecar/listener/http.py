"""
HTTP itself: the server that makes a connection for every client, and what is asked of all of them.

    LeanConnection    aiohttp's parser and connection, but nothing of its request and response: the fast path
    Connection        all of aiohttp, by what it offers in public; for an aiohttp that the other does not know

aiohttp's own answer to a malformed request, and its own log line, repeat what the client sent, keys and session ids
included; ours do not. `sidecar.listener.known` says whether aiohttp's private parts are what the fast path expects; when
they are not, or where the configuration says so, `Connection` serves every client.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from sidecar.config.models import Limits
from sidecar.errors import SidecarError
from sidecar.listener.bounds import Bounds
from sidecar.listener.connection import Connection, Server
from sidecar.listener.door import Door
from sidecar.listener.head import Heads
from sidecar.listener.hearing import HearingConnection
from sidecar.listener.incoming import Heard
from sidecar.listener.known import TESTED, lean_possible
from sidecar.listener.lean import LeanConnection
from sidecar.listener.outlet import Pumped
from sidecar.listener.seen import Table
from sidecar.listener.sweep import Sweep
from sidecar.listener.turn import Turn

faults = logging.getLogger("sidecar.listener")


class HttpServer(Server):
    """
    Makes a connection for every client that connects. `fast`: whether by the fast path, where it is `possible`.
    `options` are those of aiohttp's `RequestHandler`.
    """

    def __init__(
        self,
        door: Door,
        *,
        fast: bool = True,
        possible: Callable[[], bool] = lean_possible,
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        # Without handler_cancellation a client that hangs up is never noticed.
        super().__init__(self._answer, request_factory=self._made, handler_cancellation=True)
        self.door = door
        self.heads = Heads()
        self.turn = Turn()
        known = possible()
        self.lean = fast and known
        self._kind: type[Connection] = LeanConnection if self.lean else HearingConnection if known else Connection
        self.bounds = Bounds(limits or Limits())
        self._sweep: Sweep[Connection] = Sweep(
            lambda: cast("list[Connection]", self.connections), self.bounds.look, self.bounds.every_s
        )
        self._options = options
        self._known, self._known_within = Table(), self.bounds.limits
        if fast and not known:
            faults.warning(
                "this aiohttp is not the one that the fast path was written for (%s): it is not taken", TESTED
            )

    def under_way(self) -> int:
        """How many requests are being answered."""
        return round(sum(self.door.in_flight().values()))

    def clients(self) -> int:
        """How many connections there are."""
        return len(self.connections)

    def drain(self) -> None:
        """From now on every connection ends with its answer, and answers say so where their head is not out yet."""
        self.ends = True

    def close_idle(self, quiet_s: float) -> int:
        """
        Closes the connections without a request on which nothing has come or gone for `quiet_s`; how many. On one that
        was busy a moment ago, the client may just be sending its next request, which would be lost.
        """
        idle = [each for each in self._ours() if each.quiet_s() >= quiet_s]
        for connection in idle:
            connection.leave()
        return len(idle)

    def cut(self, error: SidecarError) -> int:
        """
        Ends what is being answered: by `error` where no head is out yet, by an error in the stream where there is a
        place for it, and then by a cut connection. How many requests; they end when the loop comes to them.
        """
        return sum([connection.break_off(error) for connection in self._ours()])

    @property
    def known(self) -> Table:
        """The heads of requests that are known. Other limits may refuse what these let through."""
        if self._known_within is not self.bounds.limits:
            self._known, self._known_within = Table(), self.bounds.limits
        return self._known

    def _ours(self) -> "list[Connection]":
        return [each for each in self.connections if isinstance(each, Connection)]

    def __call__(self) -> web.RequestHandler:
        if (turned_away := self.bounds.one_too_many()) is not None:
            return cast("web.RequestHandler", turned_away)  # all that the loop wants is a protocol
        self._sweep.wake()
        limits = self.bounds.limits
        options = {
            "max_line_size": limits.max_header_bytes,
            "max_field_size": limits.max_header_bytes,
            "max_headers": limits.max_headers,
            "keepalive_timeout": limits.keepalive_timeout_s,
            **self._options,
        }
        return self._kind(self, loop=asyncio.get_running_loop(), **options)

    def _made(
        self,
        message: RawRequestMessage,
        content: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> Heard:
        return Heard(message, content, protocol, writer, task, asyncio.get_running_loop())

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("Connection", request.protocol)
        heard = cast("Heard", request)
        outlet = Pumped(heard, lambda: self.ends or connection.stay.last)
        connection.answering(outlet)
        try:
            if (refused := self.bounds.enter(heard, connection.stay)) is None:
                await self.door.serve(heard, outlet)
            else:
                self.door.refuse(refused, heard, outlet)
            return await outlet.sent()
        finally:
            self.bounds.requests -= 1
            connection.answering(None)
            await outlet.aclose()

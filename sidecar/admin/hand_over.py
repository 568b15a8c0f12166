"""
`POST /hand_over`: another sidecar on this machine takes over. The new one asks; nobody else should.

It is answered when no request can come to this process any more, with the pins of sessions that got their model since
`since`, as `transfer` writes them: the others the new one has read before. Requests under way go on, then it ends.
"""

import asyncio
import os
from collections.abc import Callable

from aiohttp import web

from sidecar.admin.state import State
from sidecar.admin.transfer import exported
from sidecar.errors import RequestError
from sidecar.stores import PinStore

PATH = "/hand_over"


class CannotHandOver(RequestError):
    """It is another process that was meant, or this one stops already."""

    status = 409
    code = "cannot_hand_over"


class HandOver:
    """`begin` has the program take no more clients; `settled` is set when none can come. `clock`: Unix time."""

    def __init__(
        self,
        state: State,
        store: PinStore,
        begin: Callable[[], None],
        settled: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._store = store
        self._begin = begin
        self._settled = settled
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self.hand_over)]

    async def hand_over(self, request: web.Request) -> web.StreamResponse:
        """Ends in good order, for another sidecar on the same ports: ?pid= of this one, ?since= in Unix time."""
        since = self._since(request.query.get("since", ""))
        if request.query.get("pid") != str(os.getpid()):
            raise CannotHandOver(f"this is process {os.getpid()}")
        if self._state.name != "serving":
            raise CannotHandOver(f"this sidecar is {self._state.name}")
        self._begin()
        await self._settled.wait()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        async for piece in exported(self._store, self._clock(), since):
            await response.write(piece)
        await response.write_eof()
        return response

    def _since(self, text: str) -> float:
        """Raises RequestError."""
        try:
            return float(text)
        except ValueError:
            raise RequestError("since must be a number, Unix time", param="since") from None

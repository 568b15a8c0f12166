"""
`/listeners`: where the program listens; `/drain_listeners`: it stops taking clients.

    POST /drain_listeners            /ready turns 503 and the listener's socket closes; requests under way go on
    POST /drain_listeners?graceful   /ready turns 503; the socket closes when no request is under way any more, or
                                     after `patience_s`, so that whoever balances load has time to look elsewhere

The program itself goes on, and so does this port: /quitquitquit ends it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import frozen

from sidecar.admin.answers import json_answer
from sidecar.admin.state import State

LOOK_S = 0.1
"""How often a graceful drain looks whether requests are under way."""


@frozen
class Bound:
    """A socket that listens."""

    name: str
    """`listener` for clients, `admin` for operators."""
    address: str
    port: int

    @property
    def place(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Listeners:
    """Sockets are bound one after the other, this port's own first: whoever binds one tells it with `opened`."""

    def __init__(self, state: State, patience_s: float) -> None:
        self._state = state
        self._patience_s = patience_s
        self._bound: list[Bound] = []
        self._close: Callable[[], Awaitable[None]] | None = None
        self._under_way: Callable[[], int] = int
        self._draining: asyncio.Task[None] | None = None

    def opened(self, bound: Bound) -> None:
        self._bound.append(bound)

    def drained_by(self, close: Callable[[], Awaitable[None]], under_way: Callable[[], int]) -> None:
        """`close` closes the clients' socket and leaves connections alone; `under_way` counts clients' requests."""
        self._close, self._under_way = close, under_way

    @property
    def bound(self) -> tuple[Bound, ...]:
        return tuple(self._bound)

    def place_of(self, name: str) -> str | None:
        """`127.0.0.1:12000`; None when it is not bound, or no more."""
        return next((bound.place for bound in self._bound if bound.name == name), None)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/listeners", self.listeners), web.post("/drain_listeners", self.drain)]

    async def listeners(self, request: web.Request) -> web.Response:
        """Where the program listens; ?format=json."""
        if request.query.get("format") == "json":
            found = [{"name": each.name, "address": each.address, "port": each.port} for each in self._bound]
            return json_answer({"listeners": found})
        return web.Response(text="".join(f"{bound.name}::{bound.place}\n" for bound in self._bound))

    async def drain(self, request: web.Request) -> web.Response:
        """Takes no more clients: at once, or with ?graceful when no request is under way."""
        self._state.name = "draining"
        if "graceful" not in request.query:
            await self.close_clients()
        elif self._draining is None and self._close is not None:
            self._draining = asyncio.create_task(self._drained())
        return web.Response(text="OK\n")

    async def aclose(self) -> None:
        """The program stops and closes the socket itself: ends a graceful drain that still waits, and begins none."""
        self._close = None
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait((self._draining,))

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                while self._under_way():  # noqa: ASYNC110 - no request tells us that it was the last
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass  # long enough
        await self.close_clients()

    async def close_clients(self) -> None:
        """Closes the clients' socket, if it is open, and leaves connections alone."""
        self._bound = [bound for bound in self._bound if bound.name != "listener"]
        if self._close is not None:
            close, self._close = self._close, None
            await close()

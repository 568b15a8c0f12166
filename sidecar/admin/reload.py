"""
`POST /reload`: the configuration is read again, as at SIGHUP.

200 when it is in force, with what only a restart can change; 422 with every mistake when it is refused, and the old
one stays.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web
from attrs import frozen

from sidecar.admin.answers import error_answer, json_answer


@frozen
class Reloaded:
    """What became of a reload."""

    generation: int
    """The configuration in force now."""
    refused: str | None
    """Why the new one is not: every mistake, a line each."""
    waiting: tuple[str, ...] = ()
    """What the file changes and only a restart can do."""


class Reload:
    """`reload` takes who wanted it, in words for the log."""

    def __init__(self, reload: Callable[[str], Awaitable[Reloaded]]) -> None:
        self._reload = reload

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/reload", self.reload)]

    async def reload(self, _request: web.Request) -> web.Response:
        """Reads the configuration again; one with mistakes is refused, and the old one stays."""
        done = await self._reload("POST /reload")
        if done.refused is not None:
            return error_answer(422, "config_refused", done.refused)
        return json_answer({"generation": done.generation, "needs_restart": list(done.waiting)})

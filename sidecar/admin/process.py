"""
The program itself: `/server_info`, `/memory`, and what an operator may have it do: log more or less, open its log files
again after they were rotated, stop in good order.
"""

import gc
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from attrs import frozen

from sidecar import __version__, loop
from sidecar.admin.answers import json_answer, rfc3339
from sidecar.admin.dump import InForce
from sidecar.admin.listeners import Listeners
from sidecar.admin.state import State
from sidecar.errors import RequestError

LEVELS = ("debug", "info", "warning", "error", "critical")


class BadLevel(RequestError):
    """No such level, or no such logger."""

    code = "bad_level"


@frozen
class Orders:
    """What the program does when told. Must not raise."""

    quit: Callable[[], None]
    reopen_logs: Callable[[], None]


class Process:
    """`clock`: seconds, never backwards."""

    def __init__(
        self,
        state: State,
        in_force: Callable[[], InForce],
        listeners: Listeners,
        orders: Orders,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._in_force = in_force
        self._listeners = listeners
        self._orders = orders
        self._clock = clock
        self._started = clock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/server_info", self.server_info),
            web.get("/memory", self.memory),
            web.post("/logging", self.logging),
            web.post("/reopen_logs", self.reopen_logs),
            web.post("/quitquitquit", self.quit),
        ]

    async def server_info(self, _request: web.Request) -> web.Response:
        """Version, state, uptime, and what it was started with."""
        in_force = self._in_force()
        config = in_force.config
        return json_answer(
            {
                "version": __version__,
                "state": self._state.shown,
                "uptime_seconds": round(self._clock() - self._started, 3),
                "pid": os.getpid(),
                "event_loop": loop.name(),
                "config": {
                    "source": config.source,
                    "generation": in_force.generation,
                    "loaded_at": rfc3339(in_force.loaded_at_unix_s),
                },
                "listener": self._listeners.place_of("listener"),
                "admin": self._listeners.place_of("admin"),
                "classifier": config.routing.classifier.type.value,
                "routes": [route.name for route in config.routes],
            }
        )

    async def memory(self, _request: web.Request) -> web.Response:
        """Memory in bytes, and what Python's own allocator and collector say."""
        return json_answer(memory())

    async def logging(self, request: web.Request) -> web.Response:
        """Lists the loggers; ?level=LEVEL sets the level of all, ?LOGGER=LEVEL of one."""
        for name, level in request.query.items():
            if level not in LEVELS:
                raise BadLevel(f"a level is one of {', '.join(LEVELS)}")
            if name != "level" and name not in loggers():
                raise BadLevel("there is no logger of that name: POST /logging lists them")
        for name, level in request.query.items():
            set_level(None if name == "level" else name, level)
        lines = "".join(f"  {name}: {level}\n" for name, level in loggers().items())
        return web.Response(text=f"active loggers:\n{lines}")

    async def reopen_logs(self, _request: web.Request) -> web.Response:
        """Opens log files again, after they were rotated."""
        self._orders.reopen_logs()
        return web.Response(text="OK\n")

    async def quit(self, _request: web.Request) -> web.Response:
        """Stops the program in good order."""
        self._orders.quit()
        return web.Response(text="OK\n")


def memory() -> dict[str, object]:
    """What costs next to nothing to ask. The resident size where there is a /proc, its peak everywhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    collections = [{key: row[key] for key in ("collections", "collected", "uncollectable")} for row in gc.get_stats()]
    return {
        **_statm(),
        "peak_resident_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "python": {
            "allocated_blocks": sys.getallocatedblocks(),
            "tracked_since_collection": gc.get_count(),
            "generations": collections,
        },
    }


def _statm() -> dict[str, int]:
    """proc(5): the first two numbers are the whole and the resident size, in pages."""
    try:
        whole, resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[:2]
    except OSError:
        return {}
    page = resource.getpagesize()
    return {"resident_bytes": int(resident) * page, "virtual_bytes": int(whole) * page}


def loggers() -> dict[str, str]:
    """Our loggers and the level that holds for each, by name."""
    manager = logging.getLogger().manager
    names = sorted(name for name in manager.loggerDict if name == "sidecar" or name.startswith("sidecar."))
    return {name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel()).lower() for name in names}


def set_level(name: str | None, level: str) -> None:
    """
    Of one logger, or of all of ours, and then none has a level of its own any more. Others keep theirs: what a library
    writes at `debug` may hold what must not be logged.
    """
    if name is not None:
        logging.getLogger(name).setLevel(level.upper())
        return
    for each in loggers():
        logging.getLogger(each).setLevel(logging.NOTSET)
    logging.getLogger("sidecar").setLevel(level.upper())

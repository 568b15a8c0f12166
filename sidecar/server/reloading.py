"""
The configuration in force, and the way to the next one.

    SIGHUP, POST /reload, a changed file ──▶ read ──▶ installed: in force, between two requests
                                                └─ mistakes: refused, and the old one stays

Only one is read at a time. A refusal is told where operators look: the log, `/ready?verbose`, the metrics, and the
answer to whoever asked.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from attrs import frozen

from sidecar.admin.dump import InForce
from sidecar.admin.reload import Reloaded
from sidecar.config.models import Config
from sidecar.errors import ConfigError, SidecarError
from sidecar.server.changes import Signature, files_of, signature
from sidecar.server.fixed import kept
from sidecar.telemetry.meter import Metrics

log = logging.getLogger("sidecar.server")

Again = Callable[[], Config]
"""Reads the configuration anew, as the program was started. Raises ConfigError."""
NO_FILE = "there is no file to read: the built-in configuration is served"

Install = Callable[[InForce], Awaitable[None]]
"""Puts a configuration in force, whole. Raises SidecarError, and then has changed nothing."""


@frozen
class _Last:
    """How the last reading ended."""

    refused: bool = False
    waiting: tuple[str, ...] = ()
    """What the file says and only a restart can do."""


class Reloads:
    """
    `again` is None where there is no file: then there is nothing to read. `first`: the one of the start; `known`: its
    files, as they were when they were read.
    """

    def __init__(
        self, first: InForce, again: Again | None, install: Install, metrics: Metrics, known: Signature | None = None
    ) -> None:
        self.in_force = first
        self._known = known or {}
        self._again = again
        self._install = install
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()
        self._begun: set[asyncio.Task[Reloaded]] = set()
        self._last = _Last()
        metrics.watch("sidecar_config_generation", lambda: {(): self.in_force.generation})
        metrics.watch("sidecar_config_last_reload_successful", lambda: {(): not self._last.refused})
        metrics.watch("sidecar_config_last_reload_timestamp_seconds", lambda: {(): self.in_force.loaded_at_unix_s})

    async def reload(self, why: str) -> Reloaded:
        """Reads the configuration anew. `why`: who wanted it, for the log. Raises nothing."""
        again = self._again
        if again is None:
            log.warning("nothing to read again (%s): %s", why, NO_FILE)
            return Reloaded(self.in_force.generation, NO_FILE)
        return await self._next(why, lambda: asyncio.to_thread(self._read, again))

    async def put(self, given: InForce, why: str) -> Reloaded:
        """The same with a configuration that somebody else has read, and numbered."""

        async def read() -> Config:
            return given.config

        return await self._next(why, read, given.generation)

    def begin(self, why: str) -> None:
        """`reload`, for a signal, which waits for nothing."""
        task = asyncio.get_running_loop().create_task(self.reload(why))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    def known(self) -> Signature:
        """The files whose change begins a reload, as they were when they were last read; none without `watch_config`."""
        return self._known if self.in_force.config.watch_config else {}

    def describe(self) -> tuple[bool, str]:
        """For `/ready?verbose`."""
        said = f"generation {self.in_force.generation}"
        if self._last.refused:
            return False, f"{said}; a newer one is refused, and the log says why"
        if self._last.waiting:
            return True, f"{said}, waiting for a restart: {', '.join(self._last.waiting)}"
        return True, said

    async def aclose(self) -> None:
        """Begins nothing more, and ends what was begun."""
        for task in self._begun:
            task.cancel()
        await asyncio.gather(*self._begun, return_exceptions=True)

    async def _next(self, why: str, read: Callable[[], Awaitable[Config]], number: int | None = None) -> Reloaded:
        async with self._one_at_a_time:
            try:
                config, waiting = kept(self.in_force.config, await read())
                made = InForce(config, number or self.in_force.generation + 1, time.time())
                await self._install(made)
            except SidecarError as exc:
                return self._refused(why, exc.message)
            except Exception:  # the last resort, with the cause in the log
                log.exception("unexpected, in a reload (%s)", why)
                return self._refused(why, "internal error: the log has the cause")
            self.in_force = made
            return self._taken(why, made, waiting)

    def _read(self, again: Again) -> Config:
        """
        In a thread. The files are looked at before they are read: what changes meanwhile is seen to have changed. Those
        that a refused one names are looked at too, for one of them may be what has to change.
        """
        before, files = signature(self._known), tuple(self._known)
        try:
            config = again()
        except ConfigError as exc:
            files += exc.files
            raise
        else:
            files = files_of(config)
            return config
        finally:
            self._known = before | signature(path for path in files if path not in before)
            self._known = {path: self._known[path] for path in files}

    def _taken(self, why: str, made: InForce, waiting: tuple[str, ...]) -> Reloaded:
        self._last = _Last(waiting=waiting)
        self._metrics.reloaded("success")
        log.info("configuration %d is in force (%s)", made.generation, why)
        if waiting:
            log.warning("only a restart can change %s: kept as before", ", ".join(waiting))
        return Reloaded(made.generation, None, waiting)

    def _refused(self, why: str, message: str) -> Reloaded:
        self._last = _Last(refused=True, waiting=self._last.waiting)
        self._metrics.reloaded("refused")
        number = self.in_force.generation
        log.error("the new configuration is refused (%s), configuration %d stays in force:", why, number)
        for mistake in message.splitlines():
            log.error("%s", mistake)
        return Reloaded(number, message)

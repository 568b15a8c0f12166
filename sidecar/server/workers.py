"""
`workers: N`: a parent that starts N processes of this program, and another for each that ends before its time.

    parent ── the listener's port, taken and not listened to; the admin port, which asks all of them
      ├─ worker 1 ── an event loop of its own, listening on the same port (SO_REUSEPORT)
      └─ worker 2 ── …

Processes and not threads, since one interpreter runs on one core; started anew and not forked, since a fork copies
locks and connections in whatever state they are. A worker that ends takes its own connections with it and no others.
The first is started alone: what is wrong with the configuration is then told once.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Self

import msgspec
from attrs import define

from sidecar.admin.state import State
from sidecar.errors import ConfigError, SidecarError
from sidecar.server.line import Line
from sidecar.server.sockets import STOP_S
from sidecar.server.worker import Assignment, Report, written
from sidecar.telemetry.merge import Merged, Share

log = logging.getLogger("sidecar.server")

COMMAND = (sys.executable, "-P", "-m", "sidecar.cli", "worker")
"""`-P`: a folder that somebody happens to stand in is not where programs are found."""
FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
STEADY_S = 30.0
"""A worker that served so long did not fail at its start: the next one begins without delay again."""
SPARE_S = 10.0
"""What workers get to stop beyond the time for their requests."""


@define(eq=False)
class Worker:
    """One process that serves."""

    line: Line
    process: asyncio.subprocess.Process
    writer: asyncio.StreamWriter
    """Our end of its channel: while it is open, the worker knows that we are here."""
    share: Share
    began_s: float

    @property
    def number(self) -> int:
        return self.line.number


class Workers:
    """
    `async with` it: all of them serve when it begins, and none is left when it ends. Its beginning raises ConfigError
    or SidecarError with what a worker says that cannot start. `state` turns `serving` while all of them do, and while
    it is `draining` nobody is started. `greet` tells each what operators have told the others since the start.
    """

    def __init__(
        self,
        assignments: Mapping[int, Assignment],
        state: State,
        merged: Merged,
        greet: Callable[[Line], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._assignments = assignments
        self._state = state
        self._merged = merged
        self._greet = greet
        self._clock = clock
        self._processes: set[asyncio.subprocess.Process] = set()
        self._keepers: set[asyncio.Task[None]] = set()
        self._up: dict[int, Worker] = {}
        self._stopping = asyncio.Event()
        self.restarts = 0
        self.count = len(assignments)

    @property
    def up(self) -> tuple[Worker, ...]:
        """Those that serve, by number."""
        return tuple(self._up[number] for number in sorted(self._up))

    async def __aenter__(self) -> Self:
        first, *others = self._assignments
        try:
            self._keep(await self._started(first))
            for worker in await asyncio.gather(*map(self._started, others)):
                self._keep(worker)
        except BaseException:
            await self._cut()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cut()

    async def stop(self) -> bool:
        """Lets all finish what they do; whether all did."""
        self._stopping.set()
        self._state.name = "draining"
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.terminate()
        ending = [asyncio.ensure_future(process.wait()) for process in self._processes]
        if not ending:
            return True
        done, late = await asyncio.wait(ending, timeout=STOP_S + SPARE_S)
        if late:
            log.error("%d workers did not stop within %g s: killed", len(late), STOP_S + SPARE_S)
        # One that had not begun to serve knows no other end than the signal.
        return not late and all(each.result() in (0, -signal.SIGTERM) for each in done)

    async def _cut(self) -> None:
        """Whatever still runs ends now."""
        self._stopping.set()
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(*(process.wait() for process in self._processes))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for worker in self._up.values():
            worker.writer.close()

    # One worker

    async def _started(self, number: int) -> Worker:
        """Returns when it serves. Raises ConfigError or SidecarError."""
        assignment = self._assignments[number]
        here, there = socket.socketpair()
        with there:
            # In a session of its own: what a terminal sends at Ctrl-C reaches the parent alone. A process group would do,
            # but uvloop knows no `process_group`.
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=there.fileno(),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,
            )
        self._processes.add(process)
        reader, writer = await asyncio.open_connection(sock=here)
        try:
            await self._served(number, process, reader, writer, assignment)
        except BaseException:
            writer.close()
            raise
        line = Line(number, assignment.seat.path)
        await self._greet(line)
        return Worker(line, process, writer, self._merged.join(str(number)), self._clock())

    async def _served(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        assignment: Assignment,
    ) -> None:
        said = b""
        with suppress(ConnectionError):  # it has ended, and how says its exit code
            writer.write(written(assignment))
            await writer.drain()
            said = await reader.readline()
        report = msgspec.json.decode(said, type=Report) if said else Report()
        if report.listener is not None:
            return
        code = await process.wait()
        self._processes.discard(process)
        if report.in_config:
            raise ConfigError(report.failure or "")
        raise SidecarError(report.failure or f"worker {number} ended before it served: {ending(code)}")

    def _keep(self, worker: Worker) -> None:
        self._join(worker)
        task = asyncio.create_task(self._kept(worker))
        self._keepers.add(task)
        task.add_done_callback(self._keepers.discard)

    async def _kept(self, worker: Worker) -> None:
        """One number's processes, one after the other."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            code = await worker.process.wait()
            self._leave(worker)
            if not self._wanted():
                return
            if self._clock() - worker.began_s > STEADY_S:
                backoff_s = FIRST_BACKOFF_S
            log.error("worker %d ended: %s: starting another in %g s", worker.number, ending(code), backoff_s)
            again = await self._another(worker.number, backoff_s)
            if again is None:
                return
            worker, backoff_s = again
            self._join(worker)

    async def _another(self, number: int, backoff_s: float) -> tuple[Worker, float] | None:
        """A worker in the place of one that ended, and how long the next one would wait. None when we stop."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_s)
            if not self._wanted():
                return None
            self.restarts += 1
            backoff_s = min(LONGEST_BACKOFF_S, 2 * backoff_s)
            try:
                worker = await self._started(number)
            except SidecarError as exc:
                if not self._wanted():
                    return None
                log.error(  # noqa: TRY400 - whose traceback would say nothing: it comes from another process
                    "worker %d cannot start: %s: trying again in %g s", number, exc.message, backoff_s
                )
                continue
            log.warning("worker %d serves again", number)
            return worker, backoff_s

    def _wanted(self) -> bool:
        return not self._stopping.is_set() and self._state.name != "draining"

    def _join(self, worker: Worker) -> None:
        self._up[worker.number] = worker
        self._tell_state()

    def _leave(self, worker: Worker) -> None:
        del self._up[worker.number]
        self._processes.discard(worker.process)
        self._merged.leave(worker.share)
        worker.writer.close()
        self._tell_state()

    def _tell_state(self) -> None:
        if self._state.name != "draining":
            self._state.name = "serving" if len(self._up) == self.count else "starting"


def ending(code: int) -> str:
    """How a process ended, from its return code: `exit code 1`, `SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

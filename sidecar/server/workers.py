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
from sidecar.server.stopping import Stop
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
"""What workers get to stop beyond the times for their clients and requests."""


@define(eq=False)
class Worker:
    """One process that serves."""

    line: Line
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    """Our end of its channel: while it is open, the worker knows that we are here."""
    share: Share
    assignment: Assignment
    """The last that it was given."""
    began_s: float

    @property
    def number(self) -> int:
        return self.line.number

    async def give(self, assignment: Assignment) -> Report | None:
        """
        Another configuration, for a worker that serves. What it says to that; None when it has ended. One that says
        nothing for so long is ended here: what it says later would be taken for the answer to something else.
        """
        said = b""
        with suppress(ConnectionError):
            try:
                async with asyncio.timeout(SPARE_S):
                    self.writer.write(written(assignment))
                    await self.writer.drain()
                    said = await self.reader.readline()
            except TimeoutError:
                log.error("worker %d does not take the new configuration: killed", self.number)  # noqa: TRY400 - no cause to tell
                with suppress(ProcessLookupError):
                    self.process.kill()
        if not said:
            return None
        report = msgspec.json.decode(said, type=Report)
        if report.failure is None:
            self.assignment = assignment
        return report


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
        self._assigning = asyncio.Lock()
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

    async def assign(self, assignments: Mapping[int, Assignment]) -> None:
        """
        Gives all another configuration, those that begin later included. Its parts are made there, and what one cannot
        make, hardly any can: one is asked alone. Raises SidecarError when that one refuses; then it is given to nobody.
        """
        async with self._assigning:
            asked: Worker | None = None
            for asked in self.up:
                report = await asked.give(assignments[asked.number])
                if report is not None and report.failure is not None:
                    raise SidecarError(report.failure)
                if report is not None:
                    break
            self._assignments = assignments
            await asyncio.gather(*(self._brought_up(each) for each in self.up if each is not asked))

    async def _brought_up(self, worker: Worker) -> None:
        """To the configuration of the others. One that refuses what another took goes on with its own, and says so."""
        wanted = self._assignments[worker.number]
        if worker.assignment is wanted:
            return
        report = await worker.give(wanted)
        if report is not None and report.failure is not None:
            log.error("worker %d stays with the configuration before: %s", worker.number, report.failure)

    async def stop(self, stop: Stop) -> bool:
        """Has all of them drain, as `stop` says, and cut when it says so; whether all ended in good order."""
        self._stopping.set()
        self._state.name = "draining"  # before any of them: whoever balances load asks here
        drain = next(iter(self._assignments.values())).config.drain
        most_s = (drain.delay_s if stop.delays else 0.0) + drain.timeout_s + SPARE_S
        log.info("stopping (%s): %d workers have %g s", stop.why, len(self._processes), most_s)
        sign = signal.SIGTERM if stop.delays else signal.SIGINT
        ending = [asyncio.ensure_future(process.wait()) for process in self._processes]
        self._send(sign)
        cutting = asyncio.create_task(self._cut_at_once(stop, sign))
        done, late = await asyncio.wait(ending, timeout=most_s) if ending else (set(), set())
        cutting.cancel()
        if late:
            log.error("%d workers did not stop within %g s: killed", len(late), most_s)
        # One that had not begun to serve knows no other end than the signal.
        return not late and all(each.result() in (0, -sign, 128 + sign) for each in done)

    async def _cut_at_once(self, stop: Stop, sign: signal.Signals) -> None:
        await stop.at_once.wait()
        # Not the same again: two of a kind that come at once are one.
        self._send(signal.SIGINT if sign is signal.SIGTERM else signal.SIGTERM)

    def _send(self, sign: signal.Signals) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(sign)

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
        return Worker(line, process, reader, writer, self._merged.join(str(number)), assignment, self._clock())

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
            async with self._assigning:  # which another configuration may have come in the meantime
                await self._brought_up(worker)
                self._join(worker)
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

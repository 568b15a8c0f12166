"""
Lines on their way out of the process, without ever holding whoever wrote them.

    write(line) ──▶ what waits, bounded in bytes ──one thread──▶ sink

The event loop appends to a deque and goes on; a thread of its own takes what has gathered and writes it in one piece.
A disk may be full and a pipe without a reader: lines then wait up to the bound, and past it they are lost and counted.
Each of the two numbers that make the bound is changed by one side alone, so there is no lock between them.
"""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from sidecar.config.models import MIB
from sidecar.telemetry.sinks import Sink

log = logging.getLogger("sidecar.telemetry")

CAPACITY_BYTES = 8 * MIB
"""Some ten thousand lines: what a busy sidecar says in a few seconds."""
BATCH_BYTES = 64 * 1024
"""What is written at once, and what a pipe holds."""
GATHER_S = 0.1
"""How long a line waits for others, so that a thousand requests a second do not wake the thread a thousand times."""
RETRY_S = 0.5
"""How long a sink that failed is left alone."""
STOP_S = 2.0
"""How long the last lines may take."""


class Writer:
    """
    `async with` it; what waits at the end is still written, for at most `stop_s`. `lost` is told how many lines nobody
    will see, by any thread, and must not raise. `batch_bytes`: the most that is written at once, but for a longer line.
    """

    def __init__(
        self,
        sink: Sink,
        lost: Callable[[int], None],
        *,
        capacity_bytes: int = CAPACITY_BYTES,
        batch_bytes: int = BATCH_BYTES,
        stop_s: float = STOP_S,
    ) -> None:
        self._sink = sink
        self._batch_bytes = batch_bytes
        self._lost = lost
        self._capacity = capacity_bytes
        self._stop_s = stop_s
        self._lines: deque[bytes] = deque()
        self._put = 0  # bytes, by whoever writes
        self._taken = 0  # bytes, by the thread
        self._behind = False
        self._lost_now = 0
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._ends_at = 0.0
        self._anew = False
        # The thread's own:
        self._rest = b""
        self._torn = False
        self._opening, self._writing = _Trouble("open", sink.name), _Trouble("write to", sink.name)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends_at = time.monotonic() + self._stop_s
        self._stopping.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, self._stop_s)
        # A pipe that nobody reads may hold the thread for ever; it is a daemon and ends with the process.
        if self._put != self._taken:
            log.warning("access log: stopped with %d bytes not written to %s", self._put - self._taken, self._sink.name)

    def write(self, line: bytes) -> None:
        """One whole line. Never waits and never raises; call it from one thread only."""
        waiting = self._put - self._taken
        if waiting + len(line) > self._capacity:
            self._lose()
            return
        self._lines.append(line)
        self._put += len(line)
        if self._behind and waiting < self._capacity // 2:
            self._caught_up()
        if not self._wake.is_set():
            self._wake.set()

    def reopen(self) -> None:
        """Opens the file again before the next line, whether it was moved away or not. Does not wait for it."""
        self._anew = True
        self._wake.set()

    def _lose(self) -> None:
        self._lost(1)
        self._lost_now += 1
        if not self._behind:
            self._behind = True
            log.error("access log: %s does not take lines fast enough: from here on some are lost", self._sink.name)

    def _caught_up(self) -> None:
        log.warning("access log: %s keeps up again; %d lines were lost", self._sink.name, self._lost_now)
        self._behind, self._lost_now = False, 0

    # The thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._stopping.wait(GATHER_S)
            self._wake.clear()
            self._drain()
        self._drain()
        self._sink.close()

    def _drain(self) -> None:
        """Writes all that waits, unless the sink fails or has no room."""
        self._refresh()
        try:
            while self._rest or self._lines:
                if not self._rest:
                    self._rest = self._batch()
                if not self._write() and not self._hurried():
                    self._wake.set()
                    return
        except OSError as exc:
            self._writing.met(exc)
            self._wake.set()
            self._stopping.wait(RETRY_S)

    def _hurried(self) -> bool:
        """Whether these are the last lines, and there is time left for them."""
        return self._stopping.is_set() and time.monotonic() < self._ends_at

    def _refresh(self) -> None:
        anew, self._anew = self._anew, False
        try:
            fresh = self._sink.refresh(anew=anew)
        except OSError as exc:
            self._opening.met(exc)  # what is open already is still better than nothing
            return
        self._opening.over()
        if fresh and self._torn:
            # Half of this line is where the file was before.
            half, _, self._rest = self._rest.partition(b"\n")
            self._taken += len(half) + 1
            self._torn = False
            self._lost(1)

    def _batch(self) -> bytes:
        batch, size = [], 0
        while self._lines and (not size or size + len(self._lines[0]) <= self._batch_bytes):
            batch.append(line := self._lines.popleft())
            size += len(line)
        return b"".join(batch)

    def _write(self) -> bool:
        """Whether the sink took anything. Raises OSError."""
        count = self._sink.write(self._rest)
        if count:
            self._torn = self._rest[count - 1] != ord("\n")
            self._rest = self._rest[count:]
            self._taken += count
            self._writing.over()
        return bool(count)


class _Trouble:
    """What the log says of something that fails again and again: a line when it begins, and one when it is over."""

    def __init__(self, what: str, name: str) -> None:
        self._what, self._name = what, name
        self._why: str | None = None

    def met(self, exc: OSError) -> None:
        why = os.strerror(exc.errno or 0)
        if why != self._why:
            self._why = why
            log.error("access log: cannot %s %s: %s; trying on", self._what, self._name, why)

    def over(self) -> None:
        if self._why is not None:
            self._why = None
            log.warning("access log: could %s %s again", self._what, self._name)

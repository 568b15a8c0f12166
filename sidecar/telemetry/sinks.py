"""
Where lines end: a file, which may be moved away and is then opened anew, or standard output.

Everything here may block or fail, and only the writer's thread calls it.
"""

import os
import select
import sys
from pathlib import Path
from typing import Protocol

from sidecar.errors import SidecarError

STDOUT = "stdout"
ROOM_S = 0.5
"""How long a sink waits for room."""


class CannotOpen(SidecarError):
    """A log's file cannot be written to."""

    code = "cannot_open"


class Sink(Protocol):
    name: str
    """For messages."""

    def write(self, data: bytes) -> int:
        """How many bytes were taken; 0 when there was no room, after a wait of `ROOM_S` at most. Raises OSError."""
        ...

    def refresh(self, *, anew: bool) -> bool:
        """Opens what was moved away, or `anew` in any case. Whether it did. Raises OSError, and goes on as before."""
        ...

    def close(self) -> None: ...


def sink_of(target: str) -> Sink:
    """`stdout`, or a file's path. Raises CannotOpen."""
    try:
        return Stdout() if target == STDOUT else File(target)
    except OSError as exc:
        raise CannotOpen(f"telemetry.access_log: cannot write to {target}: {os.strerror(exc.errno or 0)}") from exc


class Descriptor:
    """An open file descriptor, which is closed with it."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd

    def write(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # a pipe, made non-blocking by us or by whoever shares it with us, and it is full
            waiting = select.poll()
            waiting.register(self._fd, select.POLLOUT)
            waiting.poll(ROOM_S * 1000)
            return 0

    def refresh(self, *, anew: bool) -> bool:  # noqa: ARG002 - there is nothing to open
        return False

    def close(self) -> None:
        os.close(self._fd)


class Stdout(Descriptor):
    """A descriptor of its own, so that nobody else's buffer is between us and whoever reads."""

    def __init__(self) -> None:
        if sys.stdout is None:
            raise CannotOpen("telemetry.access_log: standard output is closed")
        super().__init__("standard output", os.dup(sys.stdout.fileno()))


class File(Descriptor):
    """Raises OSError. What is there already stays; a new file may be read by its group, and by nobody else."""

    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__(path, self._opened())

    def refresh(self, *, anew: bool) -> bool:
        if not anew and _identity(os.fstat(self._fd)) == self._there():
            return False
        before, self._fd = self._fd, self._opened()
        os.close(before)
        return True

    def _opened(self) -> int:
        # O_NONBLOCK: a named pipe that nobody reads is an error, and not a wait without end. Files do not know it.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        return os.open(self._path, flags, 0o640)

    def _there(self) -> tuple[int, int] | None:
        try:
            return _identity(Path(self._path).stat())
        except FileNotFoundError:
            return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

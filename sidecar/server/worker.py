"""
One of several processes that share the listener's port: what it is told, and what it says.

    parent ──assignment──▶ worker      the configuration as the parent read it, so that all have the same
    parent ◀──report────── worker      where it listens, or why it cannot
    parent ──end of file─▶ worker      the parent is gone: stop

Both ways are one socket, the worker's standard input.
"""

import asyncio
import logging
import os
import pickle
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path

import msgspec
from attrs import frozen

from sidecar import loop
from sidecar.config.models import Config
from sidecar.errors import ConfigError, SidecarError
from sidecar.server.seat import Seat
from sidecar.server.serving import serve

log = logging.getLogger("sidecar.server")

_HEAD = struct.Struct(">I")


@frozen
class Assignment:
    """What a worker is to do."""

    config: Config
    """With the port that the parent took."""
    log_level: str
    seat: Seat


class Report(msgspec.Struct, omit_defaults=True):
    """What a worker says when it serves, or cannot."""

    listener: tuple[str, int] | None = None
    failure: str | None = None
    in_config: bool = False
    """Whether the configuration is at fault."""


def written(assignment: Assignment) -> bytes:
    """As it goes through the channel; `assigned` reads it."""
    # Our own objects, from one process of ours to another over a socket that nobody else has.
    body = pickle.dumps(assignment)
    return _HEAD.pack(len(body)) + body


def assigned(channel: socket.socket) -> Assignment:
    """Waits for it. Raises SidecarError when nobody is there to give it."""
    with channel.makefile("rb", buffering=0) as stream:
        head = stream.read(_HEAD.size) or b""
        body = b""
        if len(head) == _HEAD.size:
            (size,) = _HEAD.unpack(head)
            while len(body) < size and (piece := stream.read(size - len(body))):
                body += piece
    if not body:
        raise SidecarError("a worker is started by `sidecar up` only")
    found = pickle.loads(body)  # noqa: S301 - see `written`
    if not isinstance(found, Assignment):
        raise SidecarError("a worker is started by `sidecar up` of the same version only")
    return found


def channel_of(descriptor: int) -> socket.socket:
    """The worker's end. Raises SidecarError when it is none: somebody runs the command by hand."""
    try:
        return socket.socket(fileno=os.dup(descriptor))
    except OSError as exc:
        raise SidecarError("a worker is started by `sidecar up` only") from exc


async def work(assignment: Assignment, channel: socket.socket) -> int:
    """Serves until it is told to stop, or nobody is left to tell it. The exit code: 1 when it could not start."""
    stop = asyncio.Event()
    _signalled(stop)
    # What operators change, the parent's admin port has logged.
    logging.getLogger("sidecar.admin").addFilter(lambda record: record.levelno > logging.INFO)
    reader, writer = await _opened(channel)
    watching = asyncio.create_task(_parent_gone(reader, assignment.seat, stop))
    try:
        async with serve(assignment.config, stop, assignment.seat) as serving:
            loop.settle()
            await _say(writer, Report(listener=serving.listener))
            await stop.wait()
    except SidecarError as exc:
        await _say(writer, Report(failure=exc.message, in_config=isinstance(exc, ConfigError)))
        return 1
    finally:
        watching.cancel()
        writer.close()
    return 0


def _signalled(stop: asyncio.Event) -> None:
    """SIGINT is for the parent: a terminal sends it to all at once."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)


async def _opened(channel: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    channel.settimeout(0)
    return await asyncio.open_connection(sock=channel)


async def _say(writer: asyncio.StreamWriter, report: Report) -> None:
    with suppress(ConnectionError):  # a parent that is gone needs no report
        writer.write(msgspec.json.encode(report) + b"\n")
        await writer.drain()


async def _parent_gone(reader: asyncio.StreamReader, seat: Seat, stop: asyncio.Event) -> None:
    """The parent says nothing more: whatever is read is the end. It can no longer tidy up, so the workers do."""
    with suppress(ConnectionError):
        await reader.read(1)
    log.warning("worker %d: the parent is gone: stopping", seat.number)
    stop.set()
    _tidied(Path(seat.path))


def _tidied(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()  # which the last of them can

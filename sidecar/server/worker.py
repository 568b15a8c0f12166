"""
One of several processes that share the listener's port: what it is told, and what it says.

    parent ──assignment──▶ worker      the configuration as the parent read it, so that all have the same
    parent ◀──report────── worker      where it listens, or why it cannot
    parent ──assignment──▶ worker      another configuration, and a report again: why it is refused, if it is
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
from sidecar.admin.dump import InForce
from sidecar.config.models import Config
from sidecar.errors import ConfigError, SidecarError
from sidecar.server.reloading import Reloads
from sidecar.server.seat import Seat
from sidecar.server.serving import serve
from sidecar.server.stopping import Stop

log = logging.getLogger("sidecar.server")

_HEAD = struct.Struct(">I")


@frozen
class Assignment:
    """What a worker is to do."""

    config: Config
    """With the port that the parent took."""
    seat: Seat
    generation: int = 1
    """Which of the configurations since the parent's start it is."""


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
    return _unpacked(body)


def _unpacked(body: bytes) -> Assignment:
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
    """
    Serves until it is told to stop, or nobody is left to tell it. The exit code: 1 when it could not start, or was told
    twice and cut what it had under way.
    """
    stop = Stop()
    _signalled(stop)
    # What operators change, the parent's admin port has logged.
    logging.getLogger("sidecar.admin").addFilter(lambda record: record.levelno > logging.INFO)
    reader, writer = await _opened(channel)
    reloads = asyncio.get_running_loop().create_future()
    watching = asyncio.create_task(_watch(reader, writer, reloads, assignment.seat, stop))
    try:
        async with serve(assignment.config, stop, assignment.seat, number=assignment.generation) as serving:
            loop.settle()
            reloads.set_result(serving.reloads)
            await _say(writer, Report(listener=serving.listener))
            await stop.asked.wait()
    except SidecarError as exc:
        await _say(writer, Report(failure=exc.message, in_config=isinstance(exc, ConfigError)))
        return 1
    finally:
        watching.cancel()
        writer.close()
    return 1 if stop.at_once.is_set() else 0


def _signalled(stop: Stop) -> None:
    """Both come from the parent, as it got them: a terminal's Ctrl-C does not reach us, we are in another group."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.signalled, sign)
    # Whoever sends it to all processes of this name means the parent, and would end us.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)


async def _opened(channel: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    channel.settimeout(0)
    return await asyncio.open_connection(sock=channel)


async def _say(writer: asyncio.StreamWriter, report: Report) -> None:
    with suppress(ConnectionError):  # a parent that is gone needs no report
        writer.write(msgspec.json.encode(report) + b"\n")
        await writer.drain()


async def _watch(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reloads: asyncio.Future[Reloads],
    seat: Seat,
    stop: Stop,
) -> None:
    """Takes what the parent gives. When it is gone, it can no longer tidy up, so the workers do."""
    while (given := await _given(reader)) is not None:
        done = await (await reloads).put(InForce(given.config, given.generation), "the parent")
        await _say(writer, Report(failure=done.refused))
    log.warning("worker %d: the parent is gone: stopping", seat.number)
    stop.ask("the parent is gone", delays=False)
    _tidied(Path(seat.path))


async def _given(reader: asyncio.StreamReader) -> Assignment | None:
    """The next assignment; None at the end of the channel."""
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        (size,) = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return _unpacked(await reader.readexactly(size))
    return None


def _tidied(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
        path.parent.rmdir()  # which the last of them can

"""How another configuration comes to workers: to one first, then to all, and to those that begin meanwhile."""

import asyncio
import socket
from contextlib import AsyncExitStack

import msgspec
import pytest
from attrs import define

from sidecar.admin.state import State
from sidecar.config.models import Config
from sidecar.errors import SidecarError
from sidecar.server.line import Line
from sidecar.server.seat import Seat
from sidecar.server.worker import Assignment, Report
from sidecar.server.workers import Worker, Workers
from sidecar.telemetry.merge import Merged


def assignments(generation, count=3):
    return {n: Assignment(Config(version=str(generation)), Seat(n, str(n)), generation) for n in range(1, count + 1)}


@define
class Process:
    """Of a worker that a test plays."""

    killed: bool = False

    def kill(self):
        self.killed = True


class Fleet(Workers):
    """Workers whose processes are the test's: each says what `says` has for its number, when it is given something."""

    def __init__(self, **says):
        self.says = says
        self.asked = []
        super().__init__(assignments(1), State(), Merged(), None, asyncio.get_running_loop().time)

    async def begin(self, stack):
        for number, assignment in assignments(1).items():
            here, there = socket.socketpair()
            reader, writer = await asyncio.open_connection(sock=here)
            playing = asyncio.create_task(self.plays(number, *await asyncio.open_connection(sock=there)))
            stack.push_async_callback(_ended, writer, playing)
            worker = Worker(
                Line(number, str(number)), Process(), reader, writer, self._merged.join(str(number)), assignment, 0
            )
            self._join(worker)
        return self

    async def plays(self, number, reader, writer):
        size = await reader.read(1)
        while size:
            await reader.readexactly(int.from_bytes(size + await reader.readexactly(3), "big"))
            self.asked.append(number)
            said = self.says.get(f"w{number}", Report())
            if said is None:
                break
            writer.write(msgspec.json.encode(said) + b"\n")
            size = await reader.read(1)
        await _closed(writer)


async def _ended(writer, playing):
    await _closed(writer)
    await playing


async def _closed(writer):
    writer.close()
    await writer.wait_closed()


@pytest.fixture
async def fleet():
    async with AsyncExitStack() as stack:

        async def begin(**says):
            return await Fleet(**says).begin(stack)

        yield begin


async def test_all_are_given_it_and_the_first_before_the_others(fleet):
    workers, new = await fleet(), assignments(2)
    await workers.assign(new)
    assert (workers.asked[0], sorted(workers.asked)) == (1, [1, 2, 3])
    assert [each.assignment for each in workers.up] == list(new.values())


async def test_what_the_first_refuses_is_given_to_nobody(fleet):
    workers = await fleet(w1=Report(failure="no such file"))
    with pytest.raises(SidecarError, match="no such file"):
        await workers.assign(assignments(2))
    assert workers.asked == [1]
    assert [each.assignment.generation for each in workers.up] == [1, 1, 1]


async def test_one_that_has_just_ended_is_not_taken_for_one_that_agrees(fleet):
    workers = await fleet(w1=None, w2=Report(failure="no such file"))
    with pytest.raises(SidecarError, match="no such file"):
        await workers.assign(assignments(2))
    assert workers.asked == [1, 2]


async def test_one_that_refuses_what_another_took_goes_on_and_is_told_of(fleet, caplog):
    workers = await fleet(w2=Report(failure="out of memory"))
    await workers.assign(assignments(2))
    assert [each.assignment.generation for each in workers.up] == [2, 1, 2]
    assert caplog.messages == ["worker 2 stays with the configuration before: out of memory"]
    workers.says.clear()
    await workers.assign(assignments(3))
    assert [each.assignment.generation for each in workers.up] == [3, 3, 3]

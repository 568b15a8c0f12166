"""The writer: lines leave in order, nobody waits for it, and whatever goes wrong is told once and counted."""

import asyncio
import errno
import logging
import os
import threading
import time

import pytest
from attrs import define, field

from sidecar.telemetry.sinks import Descriptor, File, sink_of
from sidecar.telemetry.writer import GATHER_S, Writer

PATIENCE_S = 10


async def until(holds):
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.01)


@define(eq=False)
class Sink:
    """It takes what the test lets it: `room` bytes at a time, or raises `error`; first, whatever `script` says."""

    name: str = "the sink"
    data: bytearray = field(factory=bytearray)
    room: int = 1 << 20
    error: int | None = None
    script: list = field(factory=list)
    """A step for each write: so many bytes, or an OSError."""
    moved: bool = False
    tried: int = 0
    writing: threading.Event = field(factory=threading.Event)
    gate: threading.Event = field(factory=threading.Event)
    closed: bool = False

    def __attrs_post_init__(self):
        self.gate.set()

    def write(self, data):
        self.writing.set()
        assert self.gate.wait(PATIENCE_S)
        self.tried += 1
        step = self.script.pop(0) if self.script else self.room
        if isinstance(step, OSError):
            raise step
        if self.error is not None:
            raise OSError(self.error, "No")
        taken = data[:step]
        self.data += taken
        return len(taken)

    def refresh(self, *, anew):
        moved, self.moved = self.moved, False
        return moved or anew

    def close(self):
        self.closed = True


def lines(count):
    return [b"%d\n" % number for number in range(count)]


async def test_what_waits_at_the_end_is_written_in_order_and_the_sink_closed():
    sink = Sink(room=7)  # most lines are torn
    async with Writer(sink, pytest.fail) as writer:
        for line in lines(10_000):
            writer.write(line)
    assert bytes(sink.data) == b"".join(lines(10_000))
    assert sink.closed


async def test_lines_come_out_by_themselves():
    sink = Sink()
    async with Writer(sink, pytest.fail) as writer:
        for line in lines(3):
            writer.write(line)
            await until(lambda line=line: sink.data.endswith(line))


async def test_a_sink_that_blocks_holds_nobody_and_what_is_too_much_is_lost_counted_and_told_once(caplog):
    sink, lost = Sink(), []
    sink.gate.clear()
    async with Writer(sink, lost.append, capacity_bytes=1000) as writer:
        began = time.perf_counter()
        for _ in range(300):
            writer.write(b"123456789\n")
        assert time.perf_counter() - began < PATIENCE_S / 2
        assert sum(lost) == 200
        assert caplog.text.count("some are lost") == 1
        sink.gate.set()
        await until(lambda: len(sink.data) == 1000)
        writer.write(b"123456789\n")
    assert "keeps up again; 200 lines were lost" in caplog.text
    assert bytes(sink.data) == b"123456789\n" * 101


async def test_a_full_disk_is_told_once_and_nothing_is_lost_when_there_is_room_again(caplog):
    sink = Sink(room=5, error=errno.ENOSPC)
    async with Writer(sink, pytest.fail) as writer:
        writer.write(b"123456789\n")
        await until(lambda: sink.tried >= 2)
        assert caplog.text.count("No space left") == 1
        sink.error = None
        await until(lambda: sink.data == b"123456789\n")
    assert "could write to the sink again" in caplog.text


async def test_a_sink_without_room_is_no_error_and_is_asked_again(caplog):
    caplog.set_level(logging.DEBUG)
    sink = Sink(room=0)
    async with Writer(sink, pytest.fail) as writer:
        writer.write(b"x\n")
        await until(lambda: sink.tried >= 2)
        sink.room = 100
    assert bytes(sink.data) == b"x\n"
    assert not caplog.messages


async def test_the_stop_does_not_wait_for_a_sink_that_never_returns(caplog):
    sink = Sink()
    sink.gate.clear()
    async with Writer(sink, pytest.fail, stop_s=0.05) as writer:
        writer.write(b"x\n")
        await until(sink.writing.is_set)
    assert "stopped with 2 bytes not written to the sink" in caplog.text
    sink.gate.set()  # for the thread's sake


async def test_the_second_half_of_a_torn_line_does_not_begin_a_new_file():
    sink, lost = Sink(script=[5, OSError(errno.ENOSPC, "No")]), []
    async with Writer(sink, lost.append) as writer:
        writer.write(b"123456789\n")
        writer.write(b"next\n")
        await until(lambda: sink.tried == 2)
        sink.moved = True
    assert bytes(sink.data) == b"12345" + b"next\n"
    assert lost == [1]


# Files


@pytest.fixture
async def logging_to(tmp_path):
    path, lost = tmp_path / "access.log", []
    async with Writer(File(str(path)), lost.append) as writer:
        yield path, writer
    assert not lost


async def test_a_file_that_was_moved_away_is_opened_anew(logging_to):
    path, writer = logging_to
    writer.write(b"before\n")
    await until(lambda: path.read_bytes() == b"before\n")
    path.rename(path.with_suffix(".1"))
    writer.write(b"after\n")
    await until(lambda: path.exists() and path.read_bytes() == b"after\n")
    assert path.with_suffix(".1").read_bytes() == b"before\n"


async def test_reopen_opens_it_before_there_is_anything_to_write(logging_to):
    path, writer = logging_to
    path.rename(path.with_suffix(".1"))
    writer.reopen()
    await until(path.exists)


async def test_a_file_cut_down_by_others_goes_on_at_its_new_end(logging_to):
    path, writer = logging_to
    writer.write(b"before\n")
    await until(lambda: path.read_bytes() == b"before\n")
    os.truncate(path, 0)
    writer.write(b"after\n")
    await until(lambda: path.read_bytes() == b"after\n")


async def test_where_nothing_can_be_opened_the_old_file_goes_on_and_that_is_told_once(tmp_path, caplog):
    folder = tmp_path / "logs"
    folder.mkdir()
    async with Writer(File(str(folder / "access.log")), pytest.fail) as writer:
        folder.rename(tmp_path / "away")
        for line in (b"1\n", b"2\n"):
            writer.write(line)
            await until(lambda line=line: (tmp_path / "away" / "access.log").read_bytes().endswith(line))
        assert caplog.text.count("cannot open") == 1
        folder.mkdir()
        writer.write(b"3\n")
        await until((folder / "access.log").exists)
    assert (folder / "access.log").read_bytes() == b"3\n"
    assert caplog.text.count("could open") == 1


async def test_the_disks_own_error_is_told(caplog):
    lost = []
    async with Writer(sink_of("/dev/full"), lost.append, capacity_bytes=10, stop_s=0.05) as writer:
        writer.write(b"12345678\n")
        writer.write(b"12345678\n")
        await until(lambda: "No space left on device" in caplog.text)
    assert lost == [1]


async def test_a_slow_reader_of_a_pipe_gets_every_line():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    read = []

    def slowly():
        while data := os.read(reading, 10_000):
            read.append(data)
            time.sleep(0.001)

    async with Writer(Descriptor("a pipe", writing), pytest.fail) as writer:
        for line in lines(50_000):
            writer.write(line)
        await asyncio.sleep(GATHER_S)
        reader = threading.Thread(target=slowly)
        reader.start()
    reader.join(PATIENCE_S)
    os.close(reading)
    assert b"".join(read) == b"".join(lines(50_000))


async def test_a_pipe_whose_reader_is_gone_is_told_once_and_the_writer_goes_on(caplog):
    reading, writing = os.pipe()
    os.close(reading)
    async with Writer(sink_of(f"/dev/fd/{writing}"), pytest.fail, stop_s=0.05) as writer:
        for _ in range(3):
            writer.write(b"x\n")
            await asyncio.sleep(GATHER_S)
    os.close(writing)
    assert caplog.text.count("cannot write to") == 1

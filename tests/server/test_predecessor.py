"""Taking over from a sidecar that runs in this process."""

import asyncio
import json
import logging
import os
from contextlib import asynccontextmanager, closing

import pytest
from attrs import evolve
from ports import free_port
from running import CONFIG, chat

from sidecar.config import read_text
from sidecar.errors import RequestError
from sidecar.server import Stop, serve
from sidecar.server.predecessor import CannotTakeOver, Found, found


@pytest.fixture
def config():
    read = read_text(CONFIG, "test.yaml", {}).config
    ports = evolve(read.listener, port=free_port()), evolve(read.admin, port=free_port())
    return evolve(read, listener=ports[0], admin=ports[1])


@asynccontextmanager
async def running(config):
    """A sidecar that ends when it is told to."""
    stop, up = Stop(), asyncio.Event()

    async def run():
        async with serve(config, stop):
            up.set()
            await stop.asked.wait()

    task = asyncio.create_task(run())
    await up.wait()
    yield stop
    stop.ask("the test is over")
    await task


async def decide(session, http, config):
    url = f"http://127.0.0.1:{config.listener.port}/routing/v1/chat/completions"
    async with http.post(url, json=chat(), headers={"x-session-id": session}) as answer:
        assert answer.status == 200


async def test_all_pins_come_first_and_the_newest_last(config):
    heard = []

    async def take_up(lines):
        heard.append(b"".join([line async for line in lines]))

    async with running(config) as stop, found(config) as other:
        await decide("early", other.session, config)
        before = await other.introduced(take_up)
        await decide("late", other.session, config)
        await before.hand_over()
        assert (before.pid, stop.hands_over, stop.settled.is_set()) == (os.getpid(), True, True)
    assert [(b'"early"' in lines, b'"late"' in lines) for lines in heard][:1] == [(True, False)]
    assert b'"late"' in heard[1]


async def test_one_that_stops_already_is_not_taken_over_from(config):
    async with running(config), found(config) as other:
        before = evolve(await other.introduced(None), pid=1)
        with pytest.raises(CannotTakeOver, match="process 1 does not hand over: this is process"):
            await before.hand_over()


async def test_one_that_breaks_off_leaves_nobody_else_to_serve(config, caplog):
    async def breaks_off(_reader, writer):
        writer.close()

    async with running(config), found(config) as other:
        before = await other.introduced(None)
        async with await asyncio.start_server(breaks_off, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            caplog.set_level(logging.WARNING)
            await evolve(before, url=f"http://127.0.0.1:{port}").hand_over()
    assert "broke off while it handed over (Client" in caplog.text


async def test_pins_that_cannot_be_read_keep_nobody_from_serving(config, caplog):
    async def take_up(_lines):
        raise RequestError("line 1")

    async with running(config) as stop, found(config) as other:
        before = evolve(await other.introduced(None), take_up=take_up)
        await before.hand_over()
        assert stop.settled.is_set()
    assert "broke off while it handed over (RequestError): going on" in caplog.text


async def test_one_that_breaks_off_while_its_pins_are_read_stays(config):
    async with running(config), found(config) as other:
        gone = Found(other.session, f"http://127.0.0.1:{free_port()}", 7)
        with pytest.raises(CannotTakeOver, match="process 7 broke off while its pins were read"):
            await gone.introduced(print)


async def test_where_nobody_listens_nobody_is_found(config):
    async with found(config) as other:
        assert other is None


# Who is left alone


@asynccontextmanager
async def somebody_else(config, told, status=200):
    """Answers whatever the admin port is asked with the same."""

    async def answer(reader, writer):
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(told)}\r\n\r\n"
            writer.write(head.encode() + told)
            await writer.drain()

    async with await asyncio.start_server(answer, "127.0.0.1", config.admin.port):
        yield


def info(config, **more):
    place = f"127.0.0.1:{config.listener.port}"
    return json.dumps({"pid": os.getpid(), "version": "1", "state": "serving", "listener": place, **more}).encode()


async def refused(config, why):
    with pytest.raises(CannotTakeOver, match=why):
        async with found(config):
            pass


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, b"<html>"), (200, b'{"pid": "1", "version": "1", "state": "serving", "listener": ":1"}'), (404, b"no")],
)
async def test_what_is_no_sidecar(config, status, told):
    async with somebody_else(config, told, status):
        await refused(config, "does not answer as a sidecar")


async def test_one_that_listens_elsewhere(config):
    async with somebody_else(config, info(config, listener="127.0.0.1:1")):
        await refused(config, f"listens at 127.0.0.1:1, and the configuration says 127.0.0.1:{config.listener.port}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
async def test_another_users(config):
    process = await asyncio.create_subprocess_exec("sleep", "60", user=65534)
    try:
        async with somebody_else(config, info(config, pid=process.pid)):
            await refused(config, f"is process {process.pid}, of another user")
    finally:
        process.kill()
        await process.wait()


async def test_one_that_has_workers(config):
    async with somebody_else(config, info(config, workers=[{"worker": 1}])):
        await refused(config, "has workers, which cannot be taken over from")


async def test_one_of_another_machine(config):
    async with somebody_else(config, info(config, pid=2**22 + 1)):  # more than Linux gives
        await refused(config, "there is none on this machine")


async def test_with_workers_or_free_ports_nobody_is_looked_for(config):
    await refused(evolve(config, workers=2), "--take-over is for one process")
    await refused(evolve(config, admin=evolve(config.admin, port=0)), "--take-over needs ports that are known")

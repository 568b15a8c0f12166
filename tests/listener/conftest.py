import asyncio

import pytest
from attrs import evolve
from rawclient import PATIENCE_S, connected
from running import serve

from sidecar.config import read_text
from sidecar.listener.http import HttpServer

BOTH_PATHS = {"test_door", "test_forward", "test_http", "test_limits", "test_outlet", "test_relay", "test_streams"}
"""What is tried on the fast path and on the public one; all else knows nothing of either."""
ON_ONE = {
    "test_arbitrary_bytes_and_json_never_make_a_5xx_or_a_traceback",  # of bodies, and long
    "test_a_body_that_never_comes_is_a_408",  # of the body's own timer, and long
    "test_a_compressed_body_is_read_or_refused",
    "test_a_bad_body_is_refused_in_the_clients_own_shape",
}


def pytest_generate_tests(metafunc):
    module, name = metafunc.module.__name__.rpartition(".")[2], metafunc.function.__name__
    if "fast_path" in metafunc.fixturenames and module in BOTH_PATHS and name not in ON_ONE:
        metafunc.parametrize("fast_path", [True, False], ids=["fast", "public"], indirect=True)


@pytest.fixture
async def raw():
    """`await raw(port, bytes)`: sends bytes, gives back all that comes until the other side closes or is silent."""

    async def exchange(port, sent, *, patience_s=0.5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            await writer.drain()
            received = b""
            while True:
                try:
                    chunk = await asyncio.wait_for(reader.read(65536), patience_s if received else PATIENCE_S)
                except TimeoutError:
                    return received
                if not chunk:
                    return received
                received += chunk
        finally:
            writer.close()

    return exchange


class Plain:
    """A door that answers as a test says."""

    def __init__(self, answers):
        self.serve = answers

    def not_http(self, kind, _request, outlet):
        outlet.whole(400, None, [], kind.encode(), closes=True)

    def refuse(self, error, _request, outlet):
        outlet.whole(error.status, None, [], error.code.encode(), closes=True)

    def in_flight(self):
        return {}


@pytest.fixture
async def plainly(fast_path):
    """`port = await plainly(answers, **options)`: HTTP alone. `answers(incoming, outlet)` is a coroutine function."""
    begun = []

    async def begin(answers, **options):
        server = HttpServer(Plain(answers), fast=fast_path, access_log=None, **options)
        begin.server = server
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        begun.append((server, listening))
        return listening.sockets[0].getsockname()[1]

    yield begin
    for server, listening in begun:
        listening.close()
        await server.shutdown(1)


@pytest.fixture
async def ask():
    """`await ask(port, bytes)`: one request on a connection of its own, and its answer to the end."""

    async def exchange(port, sent, *, method="POST"):
        async with connected(port) as client:
            await client.send(sent)
            return await client.heard(method)

    return exchange


@pytest.fixture
async def stopping():
    """`port, stop = await stopping(yaml, environ)`: a sidecar that stops once the event `stop` is set."""
    stop, tasks = asyncio.Event(), []

    async def run(config, started):
        async with serve(config) as serving_now:
            started.set_result(serving_now.listener[1])
            await stop.wait()

    async def begin(text, environ):
        config = read_text(text, "test.yaml", environ).config
        config = evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=0))
        started = asyncio.get_running_loop().create_future()
        tasks.append(asyncio.ensure_future(run(config, started)))
        return await started, stop

    yield begin
    stop.set()
    await asyncio.gather(*tasks)

import asyncio

import pytest
from attrs import evolve
from provider import serving
from rawclient import connected

from sidecar.config import read_text
from sidecar.server import serve


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
                    chunk = await asyncio.wait_for(reader.read(65536), patience_s)
                except TimeoutError:
                    return received
                if not chunk:
                    return received
                received += chunk
        finally:
            writer.close()

    return exchange


@pytest.fixture
async def provider():
    async with serving() as double:
        yield double


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

"""Connections as they are made: what a call that is given up in the middle of it leaves behind."""

import asyncio
from contextlib import suppress

import pytest

from sidecar import loop
from sidecar.upstream.connecting import connect
from sidecar.upstream.connection import Origin
from sidecar.upstream.pool import Pool
from sidecar.upstream.trust import Trust, system_trust


@pytest.mark.parametrize("turns", range(1, 12))
def test_a_call_given_up_while_its_connection_is_made_leaves_none_open(turns):
    """With the loop of the program: asyncio's own tells every end of a connection that it told the beginning of."""

    async def story():
        pool = Pool(asyncio.get_running_loop(), Trust(system_trust))
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            origin = Origin("http", *server.sockets[0].getsockname())
            for _ in range(20):
                task = asyncio.ensure_future(connect(origin, pool, pool._trust))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    (await task).abort()
            async with asyncio.timeout(5):
                await pool.close()
        return pool.counts()

    assert loop.run(story()) == (0, 0)

"""
A real Redis for the tests of stores: one server for all of them, and for each test a prefix of its own. Where Valkey is
installed too, they are all run on that as well.
"""

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from shutil import which

import pytest
from redis_servers import redis_server

from sidecar.config.models import Secret, SessionCache
from sidecar.stores.connect import connect
from sidecar.stores.redis import RedisStore

PATIENT_S = 10.0
"""For tests that are not about time, on a machine that runs many at once."""
numbers = count()


@pytest.fixture(scope="session", params=["redis-server", *filter(which, ["valkey-server"])])
def server(request, tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis"), program=request.param) as started:
        yield started


@pytest.fixture
async def reach():
    """`reach(url, …)`: a client of the Redis there, closed when the test is over."""
    async with AsyncExitStack() as stack:

        def begin(url, command_timeout_s=PATIENT_S, **more):
            settings = {"command_timeout_s": command_timeout_s, "connect_timeout_s": PATIENT_S} | more
            client = connect(SessionCache(url=Secret(url), **settings))
            stack.push_async_callback(client.aclose)
            return client

        yield begin
    await _nothing_more_to_tell()


async def _nothing_more_to_tell():
    """What stores that no test closed were about to tell Redis of."""
    left = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__.startswith("Tracked.")]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture
def prefix():
    return f"test{next(numbers)}:"


@pytest.fixture
def a_store(server, reach, prefix):
    """`a_store(…)`: one more sidecar's store on the same server and prefix, with a connection of its own."""

    def make(**more):
        settings = {"ttl_s": 10, "key_prefix": prefix} | more
        return RedisStore(reach(server.url), **settings)

    return make

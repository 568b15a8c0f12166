"""A provider and a client of it; and the connection between them is tried on both event loops that it may run on."""

import asyncio

import pytest
import uvloop

from sidecar.upstream.client import open_client

ON_BOTH = ("test_client", "test_connection", "test_pool", "test_reply")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(item):
    return LOOPS if item.path.stem in ON_BOTH else {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def client():
    async with open_client() as opened:
        yield opened

"""The connection to a provider is tried on both event loops that it may run on."""

import asyncio

import uvloop

ON_BOTH = ("test_client", "test_connection", "test_pool", "test_reply")
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories(item):
    return LOOPS if item.path.stem in ON_BOTH else {"asyncio": asyncio.new_event_loop}

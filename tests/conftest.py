"""What all tests share: a sidecar in this process on real sockets, and a model endpoint whose behaviour a test writes."""

import gc
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from attrs import evolve
from doubles import Endpoint, says
from forks import forks
from hypothesis import HealthCheck, settings
from provider import serving
from running import CONFIG, Running, serve

from sidecar.config import read_text

settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is collected stays to the end: no search for garbage need look at it. 3 s of 11 while it is collected."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


LONG = ("translate", "e2e")
"""Folders of long files: of tests that compute, and of tests that wait for programs."""


def pytest_collection_modifyitems(items):
    """The long files come first: whoever began one of them last would be alone at the end."""
    turns = {folder: turn for turn, folder in enumerate(LONG)}
    items.sort(key=lambda item: min((turns[part] for part in item.path.parts if part in turns), default=len(LONG)))


@pytest.fixture(scope="session")
def imported():
    """The program, imported once for those tests that are not about its imports: half a second less for each start."""
    with forks() as made:
        yield made


@pytest.fixture
async def provider():
    """A provider, which answers with a completion until a test gives it another story."""
    async with serving() as double:
        yield double


@pytest.fixture
def fast_path(request):
    """Whether a sidecar's listener takes the fast path: a test's parameter where both are tried."""
    return getattr(request, "param", True)


@pytest.fixture
async def start(fast_path):
    """`await start(yaml)`: a whole sidecar on free ports, stopped when the test is over."""
    async with AsyncExitStack() as stack:

        async def begin(text=CONFIG, environ=None):
            config = read_text(text, "test.yaml", environ or {}).config
            listener = evolve(config.listener, port=0, fast_path=fast_path and config.listener.fast_path)
            config = evolve(config, listener=listener, admin=evolve(config.admin, port=0))
            serving = await stack.enter_async_context(serve(config))
            base = f"http://127.0.0.1:{serving.listener[1]}"
            client = await stack.enter_async_context(aiohttp.ClientSession(base))
            return Running(client, f"http://127.0.0.1:{serving.admin[1]}", serving.listener[1])

        yield begin


@pytest.fixture
async def endpoint(aiohttp_server):
    async def handle(request):
        double.asked.append(await request.json())
        return await double.behave(request)

    app = web.Application()
    app.router.add_post("/v1/{what:.*}", handle)
    server = await aiohttp_server(app)
    double = Endpoint(str(server.make_url("/v1")), says('{"route": "code_generation"}'), [])
    return double

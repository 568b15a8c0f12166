"""What the fast path takes from aiohttp: whether it is still there, and still what it was."""

import hashlib
import inspect
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from sidecar.listener.known import lean_possible

SOURCES = {
    "start": "2e565fd40c8e04fb",
    "connection_lost": "df2fe6e95fd04c7c",
    "shutdown": "5eb4bd473db61e84",
    "data_received": "1ee57ebe052e6c80",
}
"""Of the methods that `LeanConnection` stands in for, or that it is called by: the digests of their text."""


@pytest.mark.parametrize("name", SOURCES)
def test_aiohttp_is_the_one_that_the_fast_path_was_written_beside(name):
    source = inspect.getsource(getattr(web.RequestHandler, name))
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == SOURCES[name], (
        f"RequestHandler.{name} of aiohttp {aiohttp.__version__} is another one: compare it with LeanConnection in"
        " sidecar/listener/lean.py, run the tests, then write the new digest here"
    )


def test_the_fast_path_is_possible_with_this_aiohttp():
    assert lean_possible(), "aiohttp has not what LeanConnection takes: see sidecar/listener/known.py"


def test_it_is_not_where_a_part_is_missing():
    class Handler:
        async def start(self): ...

    assert not lean_possible(handler=Handler)
    assert not lean_possible(message=object)
    assert not lean_possible(parser=object)
    assert not lean_possible(module=SimpleNamespace(ERROR=None))
    assert not lean_possible(body=object)

"""Connections between requests, on real sockets."""

import asyncio
import time

import pytest
from provider import answers, serving
from upstream_calls import asked, call, until

from sidecar.upstream.client import open_client


@pytest.fixture
async def provider():
    async with serving(answers(b"hello")) as double:
        yield double


async def opened(client, provider, count):
    """So many connections to `provider`, idle."""
    replies = [await client.send(call(provider)) for _ in range(count)]
    for reply in replies:
        async with reply:
            await reply.first(None)


async def test_the_last_that_came_back_goes_out_first(provider):
    numbers = []

    async def story(call):
        numbers.append(call.number)
        await answers(b"hello")(call)

    provider.story = story
    async with open_client() as client:
        await opened(client, provider, 3)
        for _ in range(3):
            await asked(client, provider)
    assert numbers == [1, 2, 3, 3, 3, 3]


async def test_each_origin_has_its_own(provider):
    async with serving(answers(b"other")) as other, open_client() as client:
        for _ in range(2):
            assert await asked(client, provider) == (200, b"hello")
            assert await asked(client, other) == (200, b"other")
        assert (provider.opened, other.opened, client.connections()["idle",]) == (1, 1, 2)


async def test_a_connection_that_nobody_uses_is_closed_and_one_that_is_used_is_not(provider):
    async with open_client(keep_s=0.7) as client:
        await opened(client, provider, 2)
        began = time.monotonic()
        while time.monotonic() - began < 0.9:
            await asked(client, provider)
            await asyncio.sleep(0.02)
        await until(lambda: provider.closed == 1)
        assert client.connections() == {("active",): 0, ("idle",): 1}
        await until(lambda: provider.closed == 2)
        assert client.connections() == {("active",): 0, ("idle",): 0}
        assert await asked(client, provider) == (200, b"hello")
        assert provider.opened == 3


async def test_a_connection_that_the_provider_closes_is_not_given_out(provider):
    async def once(call):
        await answers(b"hello")(call)
        await call.cut()

    provider.story = once
    async with open_client() as client:
        await opened(client, provider, 3)
        await until(lambda: client.connections()["idle",] == 0)
        assert await asked(client, provider) == (200, b"hello")
    assert (provider.opened, len(provider.requests)) == (4, 4)


async def test_a_provider_that_says_close_is_not_kept(provider):
    provider.story = answers(b"hello", "connection: close")
    async with open_client() as client:
        assert await asked(client, provider) == (200, b"hello")
        assert client.connections()["idle",] == 0


async def test_at_the_end_all_are_closed_those_in_use_too(provider):
    async with open_client() as client:
        await opened(client, provider, 2)
        reply = await client.send(call(provider))
    assert client.connections() == {("active",): 0, ("idle",): 0}
    await until(lambda: provider.closed == 2)
    async with reply:  # the caller's end of it, later
        assert await reply.first(None) == b"hello"


async def test_many_calls_at_once_get_their_own_answers(provider):
    async def echo(call):
        await answers(call.request.body)(call)

    provider.story = echo
    async with open_client() as client:
        for _ in range(3):
            bodies = [b"%d" % number for number in range(50)]
            found = await asyncio.gather(*(asked(client, provider, body=body) for body in bodies))
            assert [body for _, body in found] == bodies
        assert provider.opened <= 50

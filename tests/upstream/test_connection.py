"""One connection, and a server whose every byte the test writes."""

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import END, EVENTS_HEAD, chunk, head, serving, whole
from upstream_calls import Taking, call

from sidecar.upstream.client import open_client

CHUNKED = EVENTS_HEAD + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + END


def writes(*pieces):
    """One by one, each in a packet of its own as far as the other side can tell."""

    async def story(call):
        for piece in pieces:
            await call.send(piece)
            await asyncio.sleep(0)

    return story


@asynccontextmanager
async def talking(story):
    async with serving(story) as provider, open_client() as client:
        yield provider, client


@pytest.mark.parametrize(
    "data", [whole(b"hello", "x-a: 1"), CHUNKED, head(100, "Continue") + whole(b"hello", "x-a: 1")]
)
@pytest.mark.parametrize("pours", [False, True])
async def test_an_answer_that_comes_byte_by_byte_is_the_same(data, pours):
    async with talking(writes(*(data[at : at + 1] for at in range(len(data))))) as (provider, client):
        for _ in range(2):
            async with await client.send(call(provider)) as reply:
                sink = Taking()
                if pours:
                    await reply.pour(sink)
                else:
                    sink.take(await reply.read(1000))
                assert sink.body == (b"data: 1\n\ndata: 2\n\n" if data is CHUNKED else b"hello")
                assert reply.ended
        assert provider.opened == 1


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, len(CHUNKED) - 1), max_size=6), pours=st.booleans())
def test_any_split_of_an_answer_gives_the_same_body(cuts, pours):
    edges = [0, *sorted(cuts), len(CHUNKED)]
    split = [CHUNKED[start:end] for start, end in pairwise(edges)]

    async def story():
        async with talking(writes(*split)) as (provider, client), await client.send(call(provider)) as reply:
            sink = Taking()
            sink.take(await reply.first(None))
            await (reply.pour(sink) if pours else take_the_rest(reply, sink))
            return sink.body, reply.ended

    assert asyncio.run(story()) == (b"data: 1\n\ndata: 2\n\n", True)


async def take_the_rest(reply, sink):
    while piece := await reply.chunk():
        sink.take(piece)


async def test_a_request_and_its_small_body_are_one_packet():
    sizes = []

    class Counting(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            sizes.append(data)
            self.transport.write(whole(b""))

    server = await asyncio.get_running_loop().create_server(Counting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with open_client() as client, await client.send(call(port, body=b"b" * 2000)):
        pass
    server.close()
    assert len(sizes) == 1
    assert sizes[0].endswith(b"\r\n\r\n" + b"b" * 2000)


async def test_a_small_call_waits_once_and_makes_no_task():
    async with talking(writes(whole(b"hello"))) as (provider, client):
        async with await client.send(call(provider)) as reply:
            await reply.first(None)
        before = asyncio.all_tasks()
        sending = client.send(call(provider))
        waiter = sending.send(None)  # as a task would
        assert asyncio.all_tasks() == before
        here = asyncio.Event()
        waiter.add_done_callback(lambda _: here.set())
        await asyncio.wait_for(here.wait(), 5)
        with pytest.raises(StopIteration) as answered:
            sending.send(None)  # it does not wait again
        async with answered.value.value as reply:
            assert await reply.first(None) == b"hello"

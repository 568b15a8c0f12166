"""Where an answer goes, by the fast path and by the public one: the same on the wire, but for two headers."""

import asyncio

import pytest
from rawclient import connected, request

MIB = 1024 * 1024
EVENTS = [("content-type", "text/event-stream")]


async def test_a_whole_answer_leaves_in_one_write_and_the_next_request_is_answered(plainly):
    async def answers(_request, outlet):
        outlet.whole(200, "Fine", [("x-a", "1")], b"hello")

    async with connected(await plainly(answers)) as client:
        for _ in range(2):
            await client.send(request("GET", "/"))
            heard = await client.heard()
            assert (client.line, heard.body, heard.ending) == ("HTTP/1.1 200 Fine", b"hello", "whole")
            assert heard.one("connection") is None


async def test_a_whole_answer_may_end_its_connection(plainly):
    async def answers(_request, outlet):
        outlet.whole(200, None, [], b"hello", closes=True)

    async with connected(await plainly(answers)) as client:
        await client.send(request("GET", "/") * 2)
        assert (await client.heard()).one("connection") == "close"
        assert await client.reader.read() == b""


@pytest.mark.parametrize("size", [1, 100_000])
async def test_parts_are_framed_as_they_are_written(plainly, size):
    async def answers(_request, outlet):
        outlet.begin(200, None, EVENTS, b"1" * size)
        await asyncio.sleep(0)
        outlet.write(b"")
        outlet.write(b"2" * size)
        outlet.end()

    async with connected(await plainly(answers)) as client:
        await client.send(request())
        await client.head()
        assert [await client.chunk(), await client.chunk(), await client.chunk()] == [b"1" * size, b"2" * size, b""]


async def test_a_head_leaves_before_there_is_a_body(plainly):
    seen = asyncio.Event()

    async def answers(_request, outlet):
        outlet.begin(200, None, EVENTS)
        await seen.wait()
        outlet.write(b"1")
        outlet.end()

    async with connected(await plainly(answers)) as client:
        await client.send(request())
        assert (await client.head())[0] == 200
        seen.set()
        assert await client.chunk() == b"1"


async def test_an_answer_of_a_told_length_is_not_chunked(plainly):
    async def answers(_request, outlet):
        outlet.begin(200, None, [("content-length", "2")], b"1")
        outlet.write(b"2")
        outlet.end()

    async with connected(await plainly(answers)) as client:
        for _ in range(2):
            await client.send(request())
            heard = await client.heard()
            assert (heard.body, heard.ending, heard.one("transfer-encoding")) == (b"12", "whole", None)


async def test_a_cut_answer_is_seen_as_cut_after_all_that_was_written(plainly):
    async def answers(_request, outlet):
        outlet.begin(200, None, EVENTS, b"1" * MIB)
        outlet.cut()

    async with connected(await plainly(answers)) as client:
        await client.send(request())
        heard = await client.heard()
    assert (len(heard.body), heard.ending) == (MIB, "cut")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_an_answer_to_head_has_no_body_however_it_is_made(plainly, method):
    async def answers(incoming, outlet):
        if incoming.path == "/whole":
            outlet.whole(200, None, [], b"hello")
        else:
            outlet.begin(200, None, [], b"hel")
            outlet.write(b"lo")
            outlet.end()

    async with connected(await plainly(answers)) as client:
        for path in ("/whole", "/parts", "/whole"):
            await client.send(request(method, path, framing="accept: */*"))
            assert (await client.heard(method)).body == (b"" if method == "HEAD" else b"hello")


async def test_whoever_fills_it_is_told_to_pause_and_to_go_on(plainly):
    told, over = [], asyncio.Event()

    async def answers(_request, outlet):
        room = asyncio.Event()
        outlet.on_room(lambda: told.append("pause"), lambda: (told.append("resume"), room.set()))
        outlet.begin(200, None, EVENTS)
        await asyncio.sleep(0)
        while not outlet.full:
            outlet.write(b"x" * MIB)
        assert told == ["pause"]
        over.set()
        await room.wait()
        assert not outlet.full
        outlet.end()

    async with connected(await plainly(answers), receive_buffer_bytes=4096) as client:
        client.writer.transport.pause_reading()
        await client.send(request())
        await asyncio.wait_for(over.wait(), 10)
        client.writer.transport.resume_reading()
        assert (await client.heard()).ending == "whole"
    assert told[:2] == ["pause", "resume"]


async def test_a_client_that_is_gone_is_seen_to_be_gone_and_nothing_more_is_written(plainly, caplog):
    seen, cancelled = [], asyncio.Event()

    async def answers(_request, outlet):
        outlet.begin(200, None, EVENTS, b"1")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            for _ in range(10):
                outlet.write(b"2")
            outlet.end()
            seen.append(outlet.gone)
            cancelled.set()
            raise

    async with connected(await plainly(answers)) as client:
        await client.send(request())
        await client.head()
        client.reset()
        await asyncio.wait_for(cancelled.wait(), 5)
    assert len(seen) == 1
    assert "socket.send" not in caplog.text

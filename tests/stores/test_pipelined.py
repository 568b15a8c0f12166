"""Commands over few connections: each asker gets its own answer, or an error in time, whatever the others do."""

import asyncio
import contextlib
import random
import time

import pytest
from redis_servers import redis_server, tls_server

from sidecar.stores import StoreDown
from sidecar.stores.pipelined import MOST_WAITING, ROUNDS


def connections(server):
    """How many the server has, but for the one that asks."""
    return len(server.cli("CLIENT", "LIST", "TYPE", "normal").splitlines()) - 1


async def test_what_is_asked_at_once_goes_out_over_few_connections(reach, tmp_path):
    with redis_server(tmp_path) as server:
        redis = reach(server.url)
        answers = await asyncio.gather(*(redis.ask("ECHO", str(n)) for n in range(1000)))
        assert answers == [str(n).encode() for n in range(1000)]
        assert 1 <= connections(server) <= ROUNDS


async def test_one_error_among_many_is_its_askers_alone(reach, server):
    redis = reach(server.url)
    asked = [redis.ask("ECHO", "a"), redis.ask("NONSENSE"), redis.ask("ECHO", "b")]
    first, error, last = await asyncio.gather(*asked, return_exceptions=True)
    assert (first, type(error), last) == (b"a", StoreDown, b"b")


async def test_no_one_gets_the_answer_of_one_who_gave_up(reach, server):
    redis, chance = reach(server.url), random.Random(7)  # noqa: S311 - chance that comes again

    async def one(n):
        if chance.random() < 0.5:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.random() / 200):
                    assert await redis.ask("ECHO", str(n)) == str(n).encode()
        else:
            await asyncio.sleep(chance.random() / 50)
            assert await redis.ask("ECHO", str(n)) == str(n).encode()

    for _ in range(5):
        await asyncio.gather(*map(one, range(200)))


async def test_a_late_answer_is_no_ones(reach, tmp_path):
    with redis_server(tmp_path) as server:
        redis = reach(server.url, command_timeout_s=0.1)
        await redis.ask("PING", within_s=5)
        server.freeze()
        started = time.monotonic()
        asked = (redis.ask("ECHO", f"late {n}") for n in range(20))
        late = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in late} == {StoreDown}
        assert time.monotonic() - started < 5
        server.thaw()
        answers = await asyncio.gather(*(redis.ask("ECHO", str(n), within_s=5) for n in range(200)))
        assert answers == [str(n).encode() for n in range(200)]


async def test_a_connection_that_takes_long_is_there_for_the_next(reach, tmp_path):
    with tls_server(tmp_path) as tls:
        files = {"tls_ca_file": str(tls.ca), "tls_cert_file": str(tls.cert), "tls_key_file": str(tls.key)}
        redis = reach(tls.url, command_timeout_s=0.5, connect_timeout_s=10.0, **files)
        tls.server.freeze()
        with pytest.raises(StoreDown):
            await redis.ask("PING", within_s=0.05)
        tls.server.thaw()
        assert await redis.ask("PING", within_s=10)
        assert connections(tls.server) <= 2


async def test_a_server_that_was_restarted_is_found_again(reach, tmp_path):
    with redis_server(tmp_path) as server:
        redis = reach(server.url)
        await asyncio.gather(*(redis.ask("ECHO", "a") for _ in range(600)))
        server.kill()
        with pytest.raises(StoreDown, match="Connection"):
            await redis.ask("PING")
        server.start()
        assert await asyncio.gather(*(redis.ask("ECHO", str(n)) for n in range(600)))


async def test_a_server_that_takes_connections_and_says_nothing_is_down(reach):
    async def hold_on(reader, writer):
        while await reader.read(1000):
            pass
        writer.close()

    silent = await asyncio.start_server(hold_on, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    redis = reach(f"redis://127.0.0.1:{port}", command_timeout_s=0.05)
    with pytest.raises(StoreDown, match=r"redis at 127\.0\.0\.1:\d+ gave no answer within 0\.05 s"):
        await redis.ask("PING")
    silent.close()


async def test_a_server_that_answers_rubbish_is_down(reach):
    async def rubbish(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3)
        writer.close()

    web = await asyncio.start_server(rubbish, "127.0.0.1", 0)
    redis = reach(f"redis://127.0.0.1:{web.sockets[0].getsockname()[1]}", command_timeout_s=1.0)
    for _ in range(3):
        with pytest.raises(StoreDown):
            await redis.ask("PING")
    web.close()


async def test_more_than_may_wait_are_refused_at_once(reach, tmp_path):
    with redis_server(tmp_path) as server:
        redis = reach(server.url)
        await redis.ask("PING")
        server.freeze()
        asked = [asyncio.ensure_future(redis.ask("PING")) for _ in range(MOST_WAITING + 1)]
        await asyncio.sleep(0)
        assert [each.done() for each in asked].count(True) == 1
        with pytest.raises(StoreDown, match="wait for it already"):
            await asked[-1]
        for each in asked:
            each.cancel()
        await asyncio.wait(asked)
        server.thaw()
        assert await redis.ask("ECHO", "those who gave up make room") == b"those who gave up make room"


async def test_a_walk_that_was_given_up_leaves_no_answer_behind(reach, tmp_path):
    with redis_server(tmp_path) as server:
        redis = reach(server.url)
        await redis.ask("SET", "a", "1")

        async def walk():
            return [name async for names in redis.names(b"", 10, 5.0) for name in names]

        server.freeze()
        walks = [asyncio.ensure_future(walk()) for _ in range(5)]
        await asyncio.sleep(0.05)
        for each in walks:
            each.cancel()
        await asyncio.wait(walks)
        server.thaw()
        assert await asyncio.gather(*(walk() for _ in range(5))) == [[b"a"]] * 5
        assert await asyncio.gather(*(redis.ask("ECHO", str(n)) for n in range(9))) == [b"%d" % n for n in range(9)]


async def test_closing_ends_every_wait(reach, tmp_path):
    with redis_server(tmp_path) as server:
        redis = reach(server.url)
        server.freeze()
        waiting = [asyncio.ensure_future(redis.ask("PING")) for _ in range(700)]
        await asyncio.sleep(0.05)
        await redis.aclose()
        assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {StoreDown}

"""One connection that carries everything: what becomes of the commands on it when it ends, is late or turns read-only."""

import asyncio
import time

import pytest
from redis.exceptions import NoScriptError, ReadOnlyError

from sidecar.stores import StoreDown
from sidecar.stores.line import Line

PATIENT_S = 10.0


class Redis:
    """A server whose `answers` a test writes: for each connection, for each thing it is told, what to answer."""

    def __init__(self):
        self.answers = []
        self.heard = []
        self.port = 0

    async def serve(self, reader, writer):
        heard, answers = [], self.answers.pop(0)
        self.heard.append(heard)
        for answer in answers:
            data = await reader.read(65536)
            if not data:
                break
            heard.append(data.decode())
            if answer is None:
                break
            writer.write(answer)
        else:
            await reader.read()
        writer.close()


@pytest.fixture
async def redis():
    redis = Redis()
    server = await asyncio.start_server(redis.serve, "127.0.0.1", 0)
    redis.port = server.sockets[0].getsockname()[1]
    yield redis
    server.close()


@pytest.fixture
async def line(redis):
    async def dial(protocol):
        await asyncio.get_running_loop().create_connection(protocol, "127.0.0.1", redis.port)

    line = Line(dial, [("AUTH", "secret")], "redis over there", PATIENT_S)
    yield line
    await line.aclose()
    await asyncio.sleep(0.01)


async def test_what_was_asked_at_once_goes_out_in_one_piece_after_the_greeting(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n$1\r\na\r\n*-1\r\n"]]
    asked = [line.ask(("ECHO", word), PATIENT_S) for word in ("a", b"b", 3)]
    assert await asyncio.gather(*asked) == [1, b"a", None]
    assert redis.heard == [
        ["*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n", "".join(f"*2\r\n$4\r\nECHO\r\n$1\r\n{word}\r\n" for word in "ab3")]
    ]


async def test_what_a_connection_that_ends_had_not_answered_is_asked_once_more_in_order(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n", None], [b"+OK\r\n", b":2\r\n:3\r\n"]]
    assert await line.ask(("ECHO", "a"), PATIENT_S) == 1
    assert await asyncio.gather(line.ask(("ECHO", "b"), PATIENT_S), line.ask(("ECHO", "c"), PATIENT_S)) == [2, 3]
    assert redis.heard[1][1] == redis.heard[0][2]


async def test_a_command_that_ends_two_connections_is_not_asked_again(redis, line):
    redis.answers = [[b"+OK\r\n", None], [b"+OK\r\n", None]]
    with pytest.raises(StoreDown, match="redis over there: ConnectionError: closed by the server"):
        await line.ask(("ECHO", "a"), PATIENT_S)
    assert len(redis.heard) == 2


async def test_a_master_that_is_none_any_more_is_left_for_whoever_is_now(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n-READONLY You can't write against a read only replica.\r\n"]]
    redis.answers.append([b"+OK\r\n", b":5\r\n:6\r\n"])
    asked = [line.ask(("INCR", name), PATIENT_S) for name in "abc"]
    assert await asyncio.gather(*asked) == [1, 5, 6]


async def test_one_that_finds_no_master_is_told_so(redis, line):
    redis.answers = [[b"+OK\r\n", b"-READONLY secret\r\n"]] * 2
    with pytest.raises(StoreDown, match="redis over there: ReadOnlyError READONLY") as raised:
        await line.ask(("INCR", "a"), PATIENT_S)
    assert [type(raised.value.__cause__), "secret" in raised.value.message] == [ReadOnlyError, False]


async def test_an_error_is_its_askers_alone_and_keeps_its_kind(redis, line):
    redis.answers = [[b"+OK\r\n", b"-NOSCRIPT no secret\r\n:1\r\n"]]
    error, one = await asyncio.gather(
        line.ask(("EVALSHA", "a"), PATIENT_S), line.ask(("ECHO", "b"), PATIENT_S), return_exceptions=True
    )
    assert [type(error.__cause__), error.message, one] == [NoScriptError, "redis over there: NoScriptError NOSCRIPT", 1]


async def test_a_password_that_is_wrong_is_said(redis, line):
    redis.answers = [[b"-WRONGPASS invalid\r\n"]]
    with pytest.raises(StoreDown, match="AuthenticationError: WRONGPASS"):
        await line.ask(("ECHO", "a"), PATIENT_S)


async def test_an_answer_that_is_late_ends_the_connection_and_the_others_are_asked_again(redis, line):
    redis.answers = [[b"+OK\r\n", b""], [b"+OK\r\n", b":2\r\n"]]
    late, other = line.ask(("ECHO", "a"), 0.2), line.ask(("ECHO", "b"), PATIENT_S)
    with pytest.raises(StoreDown, match=r"redis over there gave no answer within 0\.2 s"):
        await late
    assert await other == 2


async def test_a_pause_of_this_process_is_nobodys_fault(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n", b":2\r\n"]]
    await line.ask(("ECHO", "a"), PATIENT_S)
    asked = line.ask(("ECHO", "b"), 0.1)
    await asyncio.sleep(0)
    time.sleep(0.3)  # noqa: ASYNC251 - that is the point
    assert await asked == 2


@pytest.mark.parametrize("rubbish", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":1\r\n:2\r\n:3\r\n", b"*9999999999999\r\n"])
async def test_what_no_redis_says_ends_the_connection(redis, line, rubbish):
    redis.answers = [[b"+OK\r\n", rubbish], [b"+OK\r\n", b":7\r\n"]]
    first = await asyncio.gather(line.ask(("ECHO", "a"), PATIENT_S), return_exceptions=True)
    assert first in ([1], [7])
    assert await line.ask(("ECHO", "b"), PATIENT_S) == 7 if first == [1] else True


async def test_an_answer_is_read_where_it_stands_and_one_that_cannot_be_is_its_askers_alone(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n:2\r\n"]]
    read = []
    good = line.ask(("ECHO", "a"), PATIENT_S, lambda answer: read.append(answer) or answer + 1)
    bad = line.ask(("ECHO", "b"), PATIENT_S, lambda answer: answer["no such"])
    assert [await good, read] == [2, [1]]
    with pytest.raises(StoreDown, match="TypeError"):
        await bad


async def test_it_knows_since_when_it_has_heard(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n", None]]
    assert line.heard_at == float("-inf")
    began = time.monotonic()
    await line.ask(("ECHO", "a"), PATIENT_S)
    assert began <= line.heard_at <= time.monotonic()
    redis.answers.append([None])
    with pytest.raises(StoreDown):
        await line.ask(("ECHO", "b"), PATIENT_S)
    assert line.heard_at == float("-inf")


async def test_a_line_that_is_closed_makes_no_connection_any_more(redis, line):
    redis.answers = [[b"+OK\r\n", b":1\r\n"]]
    await line.ask(("ECHO", "a"), PATIENT_S)
    await line.aclose()
    with pytest.raises(StoreDown, match="redis over there: closed"):
        await line.ask(("ECHO", "b"), PATIENT_S)
    assert len(redis.heard) == 1

"""What is answered at once, without a task: when it is tried, and that nobody can tell the difference."""

import asyncio
import json
import time

import pytest
from rawclient import connected
from running import CODE, REASONING, chat

from sidecar.config.models import Limits
from sidecar.listener.turn import Turn

KNOWN_AFTER = 2
"""Times that a head must have come."""


def decide(body=b"body", *, session="run-1"):
    lines = ["POST /routing/v1/chat/completions HTTP/1.1", "Host: sidecar", f"X-Session-Id: {session}"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def said(text):
    return json.dumps(chat(text)).encode()


class Answers:
    """A door that says who answered: `at once`, where `can` says so, or `served`."""

    def __init__(self):
        self.can = True
        self.seen = []

    def at_once(self, request, outlet):
        if self.can:
            outlet.whole(200, None, [], b"at once " + request.whole)
        self.seen.append(self.can)
        return self.can

    async def serve(self, incoming, outlet):
        outlet.whole(200, None, [], b"served " + await incoming.content.read())


async def opened(plainly, **options):
    """(port, Answers) of a server that asks that door at once where it can."""
    door = Answers()
    port = await plainly(door.serve, **options)
    plainly.server.door.at_once = door.at_once
    return port, door


@pytest.fixture
async def answers(plainly):
    """(port, Answers, server): the head of `decide()` is known there."""
    port, door = await opened(plainly)
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER):
            assert await asked(client, decide()) == b"served body"
    assert not door.seen
    return port, door, plainly.server


async def asked(client, sent):
    await client.send(sent)
    return (await client.heard()).body


async def test_what_came_in_one_turn_is_answered_in_order_after_all_of_it_was_read():
    turn, seen = Turn(), []

    class Asks:
        def __init__(self, name):
            self.name = name

        def answer(self):
            seen.append(self.name)
            if self.name == "a":
                turn.asked(Asks("again"))

    for name in "ab":
        turn.asked(Asks(name))
    assert not seen
    await asyncio.sleep(0)
    assert seen == ["a", "b"]
    await asyncio.sleep(0)
    assert seen == ["a", "b", "again"]


async def test_a_known_decision_is_answered_at_once_and_what_cannot_be_is_served(answers):
    port, door, _ = answers
    async with connected(port) as client:
        assert await asked(client, decide(b"1")) == b"at once 1"
        door.can = False
        assert await asked(client, decide(b"22")) == b"served 22"
        door.can = True
        assert await asked(client, decide(b"3")) == b"at once 3"
    assert door.seen == [True, False, True]


async def test_a_body_that_is_not_all_here_and_another_path_are_served(answers):
    port, door, _ = answers
    other = decide().replace(b"/routing/v1", b"/v1")
    async with connected(port) as client:
        await client.send(decide(b"12")[:-1])
        await asyncio.sleep(0.01)
        assert await asked(client, b"2") == b"served 12"
        for _ in range(KNOWN_AFTER + 1):
            assert await asked(client, other) == b"served body"
    assert not door.seen


async def test_requests_behind_each_other_are_answered_in_order(answers):
    port, door, _ = answers
    sent = [b"%d" % number for number in range(9)]
    async with connected(port) as client:
        for can in (True, False):
            door.can = can
            await client.send(b"".join(map(decide, sent)))
            assert [(await client.heard()).body.split()[-1] for _ in sent] == sent
            assert (await asked(client, decide(b"next"))).endswith(b"next")


async def test_the_bounds_of_requests_hold_and_the_last_one_says_that_it_is(answers):
    port, door, server = answers
    server.bounds.requests = server.bounds.limits.max_requests
    async with connected(port) as client:
        await client.send(decide())
        assert (await client.heard()).status == 503
    server.bounds.requests = 0
    server.bounds.limits = Limits(max_requests_per_connection=KNOWN_AFTER)
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER):
            await asked(client, decide())
    async with connected(port) as client:
        await client.send(decide())
        first = await client.heard()
        await client.send(decide())
        last = await client.heard()
    assert (first.body, first.one("connection")) == (b"at once body", None)
    assert (last.body, last.one("connection")) == (b"served body", "close")
    assert door.seen == [True]


async def test_while_the_server_drains_every_answer_says_so(answers):
    port, door, server = answers
    async with connected(port) as client:
        assert await asked(client, decide()) == b"at once body"
        server.drain()
        await client.send(decide())
        heard = await client.heard()
    assert (heard.body, heard.one("connection")) == (b"served body", "close")
    assert door.seen == [True]


async def test_a_connection_that_is_answered_at_once_is_closed_when_it_idles(plainly):
    port, _ = await opened(plainly, keepalive_timeout=0.2)
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER + 1):
            body = await asked(client, decide())
        assert body == b"at once body"
        assert await asyncio.wait_for(client.reader.read(), 5) == b""


async def test_a_request_is_answered_that_was_read_in_the_very_turn_in_which_its_connection_had_idled_too_long(plainly):
    port, _ = await opened(plainly, keepalive_timeout=0.1)
    async with connected(port) as client:
        for _ in range(KNOWN_AFTER + 1):
            await asked(client, decide())
        await client.send(decide(b"late"))
        time.sleep(0.15)  # noqa: ASYNC251 - the loop finds both at once: what came, and that it came too late
        assert (await client.heard()).body == b"at once late"
        assert await asked(client, decide(b"next")) == b"at once next"


async def test_what_goes_wrong_there_closes_the_connection_and_is_logged(answers, caplog):
    port, _, server = answers

    def breaks(_request, _outlet):
        raise ZeroDivisionError

    server.door.at_once = breaks
    async with connected(port) as client:
        await client.send(decide())
        assert await asyncio.wait_for(client.reader.read(), 5) == b""
    assert [record.message for record in caplog.records] == ["unexpected, in a connection"]
    caplog.clear()


async def test_a_decision_says_the_same_at_once_as_when_it_was_served_and_counts_the_same(start):
    sidecar = await start()
    heard = []
    async with connected(sidecar.port) as client:
        for _ in range(KNOWN_AFTER + 3):
            await client.send(decide(said(CODE)))
            heard.append(await client.heard())
        told = [answer.json for answer in heard]
        ids = [answer.one("x-request-id") for answer in heard]
        assert [body.pop("trace_id") for body in told] == ids
        assert len(set(ids)) == len(ids)
        assert told[1:] == [told[0] | {"pinned": True, "reason": "pinned"}] * (KNOWN_AFTER + 2)
        assert {tuple(name for name, _ in answer.headers) for answer in heard} == {tuple(dict(heard[0].headers))}
        assert [answer.one("x-sidecar-pin") for answer in heard[1:]] == ["hit; source=x-session-id"] * (KNOWN_AFTER + 2)
    async with sidecar.client.get(f"{sidecar.admin}/pins/run-1") as answer:
        assert (await answer.json())["turns"] == KNOWN_AFTER + 3
    looked = 'sidecar_store_operations_total{operation="get",store="memory"}'
    assert (await sidecar.metrics())[looked] == KNOWN_AFTER + 3
    assert await sidecar.total("sidecar_http_requests_total") == KNOWN_AFTER + 3


async def test_what_a_pin_does_not_decide_is_decided_all_the_same(start):
    sidecar = await start()
    async with connected(sidecar.port) as client:
        for _ in range(KNOWN_AFTER):
            await asked(client, decide(said(CODE)))
        await client.send(decide(said(REASONING), session="run-2"))
        fresh = (await client.heard()).json
        assert (fresh["route"], fresh["pinned"], fresh["session_id"]) == ("complex_reasoning", False, "run-2")
        await client.send(decide(b'{"messages": 1}'))
        wrong = await client.heard()
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "messages")
        await client.send(decide(said(REASONING)))
        assert (await client.heard()).json["route"] == "code_generation"

"""Where the program listens, and how it stops taking clients."""

import asyncio

import aiohttp
import pytest
from provider import CHAT_EVENTS, END, EVENTS_HEAD, KEYS, before, chunk, entry, serving
from running import chat

from sidecar.admin.listeners import Bound, Listeners
from sidecar.admin.state import State


async def ask(client, path, method="GET"):
    async with client.request(method, path) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_listeners_are_shown_with_the_ports_that_were_taken(port):
    listeners = Listeners(State(), 30)
    listeners.opened(Bound("admin", "127.0.0.1", 9901))
    listeners.opened(Bound("listener", "::1", 12000))
    client = await port(listeners)
    assert await ask(client, "/listeners") == "admin::127.0.0.1:9901\nlistener::[::1]:12000\n"
    async with client.get("/listeners?format=json") as answer:
        assert (await answer.json())["listeners"][1] == {"name": "listener", "address": "::1", "port": 12000}


async def refuses(sidecar):
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was closing while somebody came
        return True
    writer.close()
    await writer.wait_closed()
    return False


async def test_a_drain_closes_the_socket_at_once_and_running_requests_go_on(start):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    async with serving(story) as provider:
        sidecar = await start(before(entry(provider)), KEYS)
        async with sidecar.client.post("/v1/chat/completions", json=chat(stream=True)) as answer:
            assert await answer.content.readany()
            async with aiohttp.ClientSession() as operator:
                assert not await refuses(sidecar)
                assert await ask(operator, f"{sidecar.admin}/drain_listeners", "POST") == "OK\n"
                assert await refuses(sidecar)
                async with operator.get(f"{sidecar.admin}/ready?verbose") as ready:
                    assert ready.status == 503
                    assert "[-] listener: closed" in await ready.text()
                assert await ask(operator, f"{sidecar.admin}/drain_listeners", "POST") == "OK\n"
                assert "listener::" not in await ask(operator, f"{sidecar.admin}/listeners")
                gate.set()
                assert (await answer.read()).endswith(CHAT_EVENTS[-1])


@pytest.fixture
def drained():
    """Listeners whose socket is a list of when it was closed, and whose requests a test counts."""

    class Drained:
        def __init__(self, patience_s):
            self.state, self.closed, self.under_way = State("serving"), asyncio.Event(), 0
            self.listeners = Listeners(self.state, patience_s)
            self.listeners.opened(Bound("listener", "127.0.0.1", 1))
            self.listeners.drained_by(self.close, lambda: self.under_way)

        async def close(self):
            assert not self.closed.is_set()
            self.closed.set()

    return Drained


async def test_a_graceful_drain_waits_for_running_requests(port, drained):
    it = drained(30)
    it.under_way = 1
    client = await port(it.listeners)
    await ask(client, "/drain_listeners?graceful", "POST")
    await ask(client, "/drain_listeners?graceful", "POST")
    assert (it.state.name, it.closed.is_set()) == ("draining", False)
    assert "listener::" in await ask(client, "/listeners")
    it.under_way = 0
    await asyncio.wait_for(it.closed.wait(), 5)
    await it.listeners.aclose()


async def test_a_graceful_drain_has_an_end(port, drained):
    it = drained(0.01)
    it.under_way = 1
    await ask(await port(it.listeners), "/drain_listeners?graceful", "POST")
    await asyncio.wait_for(it.closed.wait(), 5)
    await it.listeners.aclose()


async def test_a_drain_at_once_overtakes_a_graceful_one(port, drained):
    it = drained(30)
    it.under_way = 1
    client = await port(it.listeners)
    await ask(client, "/drain_listeners?graceful", "POST")
    await ask(client, "/drain_listeners", "POST")
    assert it.closed.is_set()
    await it.listeners.aclose()


async def test_a_stop_ends_a_graceful_drain(port, drained):
    it = drained(30)
    it.under_way = 1
    client = await port(it.listeners)
    await ask(client, "/drain_listeners?graceful", "POST")
    await it.listeners.aclose()
    for how in ("", "?graceful"):
        await ask(client, f"/drain_listeners{how}", "POST")
    assert not it.closed.is_set()


async def test_a_request_under_way_is_seen_by_a_graceful_drain(start):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    async with serving(story) as provider:
        sidecar = await start(before(entry(provider)), KEYS)
        async with aiohttp.ClientSession() as operator:
            async with sidecar.client.post("/v1/chat/completions", json=chat(stream=True)) as answer:
                assert await answer.content.readany()
                await ask(operator, f"{sidecar.admin}/drain_listeners?graceful", "POST")
                assert not await refuses(sidecar)
                gate.set()
                assert (await answer.read()).endswith(CHAT_EVENTS[-1])
            async with asyncio.timeout(5):
                while not await refuses(sidecar):  # noqa: ASYNC110 - a closed socket tells nobody
                    await asyncio.sleep(0.02)

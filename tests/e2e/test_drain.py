"""How the real program ends: in phases, each of which its log tells with counts."""

import asyncio
import json
import signal
import socket
import time

import aiohttp
import pytest
from attrs import define, field
from provider import CHAT_EVENTS, END, EVENTS_HEAD, KEYS, MESSAGES_EVENTS, before, chunk, entry, serving
from rawclient import connected, request
from running import chat

from sidecar.stores import snapfile

DECIDE = request(
    "POST", "/routing/v1/chat/completions", "content-type: application/json", "x-session-id: kept",
    body=json.dumps(chat()).encode(),
)  # fmt: skip
HEALTH = request("GET", "/healthz")


def ask(path="chat/completions", **more):
    body = json.dumps({"max_tokens": 9, **chat(**more)}).encode()
    return request("POST", f"/v1/{path}", "content-type: application/json", body=body)


@define
class Provider:
    """Begins a stream, or no answer at all, and goes on when `gate` is set."""

    events: tuple = CHAT_EVENTS
    gate: asyncio.Event = field(factory=asyncio.Event)

    async def __call__(self, call):
        if call.request.json.get("stream"):
            await call.send(EVENTS_HEAD, chunk(self.events[0]))
        await self.gate.wait()
        await call.send(*map(chunk, self.events[1:]), END)


@define
class Stopping:
    """A sidecar, and what it says of its end."""

    program: object
    lines: list = field(factory=list)

    @property
    def port(self):
        return int(self.program.url.rpartition(":")[2])

    @property
    def admin(self):
        return next(line for line in self.program.printed if line.startswith("admin")).split()[1].rstrip("/")

    def signal(self, sign=signal.SIGTERM):
        self.program.process.send_signal(sign)

    async def says(self, words):
        while not (self.lines and words in self.lines[-1]):
            line = (await asyncio.wait_for(self.program.process.stderr.readline(), 20)).decode()
            assert line, self.lines
            self.lines.append(line)

    async def end(self):
        """(exit code, all that was logged)."""
        code, rest = await self.program.end()
        return code, "".join(self.lines) + rest

    async def call(self, method, path):
        async with aiohttp.ClientSession() as client, client.request(method, self.admin + path) as answer:
            return answer.status, await answer.text()


@pytest.fixture
def start(sidecar, tmp_path):
    """`await start(provider, delay_s, timeout_s)`."""

    async def begin(provider, delay_s, timeout_s, fast_path=True, **more):  # noqa: FBT002
        config = tmp_path / "config.yaml"
        drain = {"delay_seconds": delay_s, "timeout_seconds": timeout_s}
        listeners = [{"type": "model", "port": 0, "fast_path": fast_path}]
        config.write_text(before(entry(provider), drain=drain, admin={"port": 0}, listeners=listeners, **more))
        program = await sidecar("up", config, environ=KEYS)
        await program.until("sessions")
        return Stopping(program)

    return begin


async def whole(client, asked):
    await client.send(asked)
    return await client.heard()


async def closed(client):
    return await asyncio.wait_for(client.reader.read(), 10) == b""


async def test_a_stop_goes_through_its_phases(start, tmp_path):
    story = Provider()
    async with serving(story) as provider:
        cache = {"snapshot": str(tmp_path / "pins"), "snapshot_interval": "1h"}
        stopping = await start(provider, 1, 20, routing={"session_cache": cache})
        async with connected(stopping.port) as busy, connected(stopping.port) as kept, connected(stopping.port) as idle:
            assert (await whole(idle, HEALTH)).one("connection") is None
            await busy.send(ask(stream=True))
            streaming = asyncio.ensure_future(busy.heard())
            await provider.began.wait()
            stopping.signal()
            await stopping.says("listening for 1 s more; 3 connections, 1 requests under way")

            assert await stopping.call("GET", "/ready") == (503, "draining\n")
            async with connected(stopping.port) as late:
                assert (await whole(late, DECIDE)).status == 200
            last = await whole(kept, DECIDE)
            assert last.one("connection") is None

            while last.one("connection") is None:  # idle, it would be closed
                await asyncio.sleep(0.05)
                last = await whole(kept, DECIDE)
            await stopping.says("no new connections; 3 connections, ")
            assert "requests under way have 20 s to end" in stopping.lines[-1]
            with pytest.raises(ConnectionRefusedError):
                async with connected(stopping.port):
                    pass
            assert (last.status, last.one("connection"), await closed(kept)) == (200, "close", True)
            assert await closed(idle)

            story.gate.set()
            assert ((await streaming).body, (await streaming).ending) == (b"".join(CHAT_EVENTS), "whole")
        code, log = await stopping.end()
    assert (code, "Traceback" in log, "are cut" in log) == (0, False, False)
    assert "2 connections closed idle" in log or "1 connections closed idle" in log
    assert [pin.key for pin in snapfile.understood((tmp_path / "pins").read_bytes()).pins()] != []


@define
class Balanced:
    """Clients that go to whoever was ready when somebody last looked, as those of a Service do. `keeps`: connections."""

    sidecars: list
    ready: list = field(factory=list)
    asked: int = 0
    failed: list = field(factory=list)
    over: bool = False

    async def look(self):
        while not self.over:
            found = [each for each in self.sidecars if await self.is_ready(each)]
            self.ready = found
            await asyncio.sleep(0.05)

    async def is_ready(self, sidecar):
        try:
            return (await sidecar.call("GET", "/ready"))[0] == 200
        except aiohttp.ClientError:
            return False

    async def client(self, number, *, keeps):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keeps)) as http:
            while not self.over:
                url = f"http://127.0.0.1:{self.ready[number % len(self.ready)].port}/routing/v1/chat/completions"
                try:
                    async with http.post(url, json=chat()) as answer:
                        assert (answer.status, bool(await answer.read())) == (200, True)
                    self.asked += 1
                except Exception as exc:  # noqa: BLE001 - whatever it is, a request has failed
                    self.failed.append(repr(exc))


async def test_under_load_no_request_fails(start):
    async with serving() as provider:
        load = Balanced([await start(provider, 1.5, 20) for _ in range(2)])
        looking = asyncio.create_task(load.look())
        while len(load.ready) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        clients = [asyncio.create_task(load.client(number, keeps=number % 4 < 2)) for number in range(16)]
        while load.asked <= 200:  # noqa: ASYNC110 - so that there is a load
            await asyncio.sleep(0.01)
        first, second = load.sidecars
        first.signal()
        code, _ = await first.end()
        earlier = load.asked
        while load.asked <= earlier + 100 and not load.failed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        load.over = True
        await asyncio.gather(looking, *clients)
        assert (code, load.failed) == (0, [])
        second.signal()
        assert (await second.end())[0] == 0


@pytest.mark.parametrize("fast_path", [True, False])
async def test_what_still_runs_after_the_time_is_cut_visibly(start, tmp_path, fast_path):
    async with serving(Provider()) as provider:
        access = tmp_path / "access.log"
        stopping = await start(provider, 0, 0.1, fast_path, telemetry={"access_log": str(access)})
        async with connected(stopping.port) as streaming, connected(stopping.port) as waiting:
            await streaming.send(ask(stream=True))
            await streaming.head()
            await waiting.send(ask())
            while len(provider.requests) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            stopping.signal()
            rest = (await asyncio.wait_for(streaming.reader.read(), 10)).decode()
            answer = await waiting.heard()
            assert await closed(waiting)
        code, log = await stopping.end()
    assert rest.count('"code":"draining"') == 1
    assert not rest.endswith("0\r\n\r\n")  # no end that a client could take for one
    assert (answer.status, answer.json["error"]["code"], answer.one("retry-after")) == (503, "draining", "1")
    assert (code, "0.1 s are over: 2 requests are cut" in log, "Traceback" in log) == (0, True, False)
    told = {(line["status"], line["code"]) for line in map(json.loads, access.read_text().splitlines())}
    assert told == {(200, "draining"), (503, "draining")}


async def test_a_cut_stream_of_messages_has_an_error_event(start):
    async with serving(Provider(MESSAGES_EVENTS)) as provider:
        stopping = await start(provider, 0, 0.1)
        async with connected(stopping.port) as client:
            await client.send(ask("messages", stream=True))
            await client.head()
            stopping.signal()
            rest = (await asyncio.wait_for(client.reader.read(), 10)).decode()
        assert (await stopping.end())[0] == 0
    assert "event: error" in rest


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_cuts_at_once(start, sign):
    async with serving(Provider()) as provider:
        stopping = await start(provider, 30, 30)
        async with connected(stopping.port) as client:
            await client.send(ask(stream=True))
            await client.head()
            stopping.signal(sign)
            await stopping.says("more" if sign == signal.SIGTERM else "have 30 s to end")
            began = time.monotonic()
            stopping.signal(signal.SIGTERM)
            assert b"draining" in await asyncio.wait_for(client.reader.read(), 10)
        code, log = await stopping.end()
    assert (code, "a second signal: 1 requests are cut" in log, time.monotonic() - began < 15) == (1, True, True)


async def test_ctrl_c_does_not_wait_for_whoever_balances_load(start):
    async with serving() as provider:
        stopping = await start(provider, 30, 30)
        stopping.signal(signal.SIGINT)
        code, log = await stopping.end()
    assert (code, "stopping (SIGINT): not ready, listening for 0 s more" in log) == (0, True)


async def test_a_signal_after_quitquitquit_cuts_nothing(start):
    story = Provider()
    async with serving(story) as provider:
        stopping = await start(provider, 0.1, 30)
        async with connected(stopping.port) as client:
            await client.send(ask(stream=True))
            streaming = asyncio.ensure_future(client.heard())
            await provider.began.wait()
            assert await stopping.call("POST", "/quitquitquit") == (200, "OK\n")
            await stopping.says("stopping (/quitquitquit): not ready, listening for 0.1 s more")
            stopping.signal()
            await stopping.says("no new connections")
            story.gate.set()
            assert (await streaming).ending == "whole"
        assert (await stopping.end())[0] == 0


async def test_a_taken_port_is_said_in_a_sentence_and_ends_with_1(sidecar):
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:  # one that would share is no exception
        port = taken.getsockname()[1]
        program = await sidecar("up", "--port", str(port), "--admin-port", "0")
        code, errors = await program.end()
    assert (code, errors) == (1, f"sidecar: cannot listen on 127.0.0.1:{port}: Address already in use\n")


async def test_a_configuration_with_mistakes_is_told_before_anything_is_bound(sidecar, tmp_path):
    (tmp_path / "config.yaml").write_text(
        "model_providers: [{model: openai/gpt-4o}]\nworkers: many\ndrain: {delay: 1}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = await sidecar("up", "config.yaml", "--port", str(taken.getsockname()[1]), "--admin-port", "0")
        code, errors = await program.end()
    assert (code, "workers" in errors, "drain" in errors, "cannot listen" in errors) == (78, True, True, False)

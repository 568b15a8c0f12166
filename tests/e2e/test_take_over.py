"""`sidecar up --take-over`: real processes, one in the place of the other, under load."""

import asyncio
import json
import signal

import aiohttp
import pytest
from attrs import define, field
from ports import free_port
from provider import CHAT_EVENTS, END, EVENTS_HEAD, KEYS, before, chunk, entry, serving
from rawclient import connected, request
from running import CODE, REASONING, chat

from sidecar.stores import snapfile

CONFIG = """
model_providers:
  - {model: openai/gpt-4o-mini, default: true}
  - {model: openai/gpt-4o}
  - {model: anthropic/claude-sonnet}
routing_preferences:
  - {name: code, description: "generating new code, writing functions", models: [anthropic/claude-sonnet]}
  - {name: reasoning, description: "complex reasoning tasks, multi-step analysis", models: [openai/gpt-4o]}
routing: {session_cache: {snapshot: pins}}
"""


@define
class Ports:
    """Those of the sidecars of one test, and how to start one."""

    run: object
    config: object
    listener: int = field(factory=free_port)
    admin: int = field(factory=free_port)

    async def start(self, *arguments, config=None):
        if config is not None:
            self.config.write_text(config)
        ports = ("--port", self.listener, "--admin-port", self.admin)
        return await self.run("up", self.config, *ports, *arguments, environ=KEYS)

    async def serving(self, *arguments, config=None):
        program = await self.start(*arguments, config=config)
        await program.until("sessions")
        return program

    async def ask(self, path):
        async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{self.admin}{path}") as answer:
            return answer.status, await answer.text()

    async def pid(self):
        return json.loads((await self.ask("/server_info"))[1])["pid"]


@pytest.fixture
def ports(sidecar, tmp_path):
    return Ports(sidecar, tmp_path / "config.yaml")


@define
class Load:
    """
    Clients that ask without a pause. Each request of a session asks for what the other route is for, so that a session
    which is decided anew changes its model. `models`: session -> those it had.
    """

    url: str
    models: dict = field(factory=dict)
    failed: list = field(factory=list)
    over: bool = False

    @property
    def asked(self):
        return sum(map(len, self.models.values()))

    @property
    def changed(self):
        return {session for session, models in self.models.items() if len(set(models)) > 1}

    async def client(self, number, *, keeps):
        """Sessions of nine requests, and beside them requests of another client's latest but one."""
        count = 0
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=not keeps)) as http:
            while not self.over:
                session = f"{number}-{count // 9}"
                await self.ask(http, session, (CODE, REASONING)[count % 2])
                if number:
                    await self.ask(http, f"{number - 1}-{max(0, count // 9 - 1)}", (REASONING, CODE)[count % 2])
                count += 1

    async def ask(self, http, session, prompt):
        try:
            async with http.post(self.url, json=chat(prompt), headers={"x-session-id": session}) as answer:
                told = await answer.json()
                assert answer.status == 200, told
                self.models.setdefault(session, []).append(told["model"])
        except Exception as exc:  # noqa: BLE001 - whatever it is, a request has failed
            self.failed.append(repr(exc))


async def test_no_request_fails_and_no_session_changes_its_model(ports, tmp_path):
    old = await ports.serving(config=CONFIG)
    load = Load(f"http://127.0.0.1:{ports.listener}/routing/v1/chat/completions")
    clients = [asyncio.create_task(load.client(number, keeps=number % 2)) for number in range(16)]
    while load.asked <= 200:  # noqa: ASYNC110 - so that many sessions have begun
        await asyncio.sleep(0.01)
    new = await ports.serving("--take-over")
    code, log = await old.end()
    earlier = load.asked
    while load.asked <= earlier + 200 and not load.failed:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    load.over = True
    await asyncio.gather(*clients)
    assert (load.failed, load.changed, code) == ([], set(), 0)
    assert len(load.models) > 2 * 16  # many sessions began before, while and after
    assert await ports.pid() == new.process.pid != old.process.pid
    assert "stopping (another one takes over)" in log
    code, log = await new.end(signal.SIGTERM)
    assert (code, f"process {old.process.pid} has handed over" in log, "Traceback" in log) == (0, True, False)
    kept = {pin.key for pin in snapfile.understood((tmp_path / "pins").read_bytes()).pins()}
    assert len(kept) == len(load.models)


async def test_a_stream_of_the_old_one_finishes_while_the_new_one_serves(ports):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    body = json.dumps(chat(stream=True)).encode()
    async with serving(story) as provider:
        old = await ports.serving(config=before(entry(provider)))
        async with connected(ports.listener) as client, connected(ports.listener) as idle:
            await client.send(request("POST", "/v1/chat/completions", "content-type: application/json", body=body))
            streaming = asyncio.ensure_future(client.heard())
            await provider.began.wait()
            new = await ports.serving("--take-over")
            assert (await ports.pid(), await ports.ask("/ready")) == (new.process.pid, (200, "OK\n"))
            assert await idle.reader.read() == b""
            async with connected(ports.listener) as late:
                await late.send(request("GET", "/healthz"))
                assert (await late.heard()).status == 200
            gate.set()
            assert ((await streaming).body, (await streaming).ending) == (b"".join(CHAT_EVENTS), "whole")
        assert (await old.end())[0] == 0


async def test_where_nobody_serves_it_starts_as_always(ports):
    program = await ports.serving("--take-over", config=CONFIG)
    code, log = await program.end(signal.SIGTERM)
    assert (code, "there is nothing to take over" in log) == (0, True)


async def refused(ports, *arguments, config=None):
    """Why one did not start."""
    program = await ports.start(*arguments, config=config)
    code, errors = await program.end()
    assert (code, errors.count("\n"), program.printed) == (1, 1, [])
    return errors.strip()


async def test_without_being_told_nobody_takes_a_port(ports):
    await ports.serving(config=CONFIG)
    said = await refused(ports)
    assert said == f"sidecar: cannot listen on 127.0.0.1:{ports.admin}: Address already in use"
    assert (await ports.ask("/ready"))[0] == 200

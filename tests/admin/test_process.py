"""The program itself, and what it does when told."""

import logging
import os
from contextlib import AsyncExitStack

import aiohttp
import pytest
from attrs import evolve
from running import CONFIG, chat, serve

from sidecar import __version__
from sidecar.admin.dump import InForce
from sidecar.admin.listeners import Bound, Listeners
from sidecar.admin.process import Orders, Process
from sidecar.admin.state import State
from sidecar.config import read_text

CANARY = "canary-e9b4"


@pytest.fixture
async def told(port):
    """(client, what the program was told)"""
    heard = []
    state, listeners = State("serving"), Listeners(State(), 30)
    listeners.opened(Bound("admin", "127.0.0.1", 9901))
    config = read_text(CONFIG, "test.yaml", {}).config
    orders = Orders(quit=lambda: heard.append("quit"), reopen_logs=lambda: heard.append("reopen"))
    times = iter((100.0, 160.5))
    process = Process(state, lambda: InForce(config, 3, 1.0), listeners, orders, lambda: next(times))
    return await port(process), heard


async def ask(client, path, method="POST"):
    async with client.request(method, path) as answer:
        return answer.status, await answer.text()


async def test_server_info_says_what_runs_since_when_and_with_which_configuration(told):
    client, _ = told
    async with client.get("/server_info") as answer:
        assert await answer.json() == {
            "version": __version__,
            "state": "serving",
            "uptime_seconds": 60.5,
            "pid": os.getpid(),
            "event_loop": "asyncio",
            "config": {"source": "test.yaml", "generation": 3, "loaded_at": "1970-01-01T00:00:01.000Z"},
            "listener": None,
            "admin": "127.0.0.1:9901",
            "classifier": "embedded",
            "routes": ["code_generation", "complex_reasoning"],
        }


async def test_memory_is_in_bytes(told):
    client, _ = told
    async with client.get("/memory") as answer:
        found = await answer.json()
    assert 1e6 < found["resident_bytes"] <= found["peak_resident_bytes"] + 1e6
    assert found["python"]["allocated_blocks"] > 1000
    assert len(found["python"]["generations"]) >= 1


@pytest.mark.parametrize(("path", "heard"), [("/quitquitquit", ["quit"]), ("/reopen_logs", ["reopen"])])
async def test_the_program_does_what_it_is_told_by_post_only(told, path, heard):
    client, said = told
    assert (await ask(client, path, "GET"))[0] == 405
    assert said == []
    assert await ask(client, path) == (200, "OK\n")
    assert said == heard


@pytest.fixture
def levels():
    """Our loggers have no level of their own, before and after."""
    before = {name: logging.getLogger(name).level for name in ("sidecar", "sidecar.server", "sidecar.admin")}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


async def test_logging_lists_the_loggers_and_sets_all_or_one(told, levels):
    client, _ = told
    status, text = await ask(client, "/logging")
    assert (status, text.splitlines()[0]) == (200, "active loggers:")
    _, text = await ask(client, "/logging?sidecar.server=error")
    assert "  sidecar.server: error\n" in text
    assert "  sidecar.admin: error\n" not in text
    _, text = await ask(client, "/logging?level=debug")
    assert {line.rpartition(": ")[2] for line in text.splitlines()[1:]} == {"debug"}
    assert logging.getLogger("sidecar.server").isEnabledFor(logging.DEBUG)


async def test_what_libraries_log_is_not_turned_up(told, levels):
    client, _ = told
    before = logging.getLogger("aiohttp.client").getEffectiveLevel()
    await ask(client, "/logging?level=debug")
    assert logging.getLogger("aiohttp.client").getEffectiveLevel() == before
    assert (await ask(client, "/logging?asyncio=debug"))[0] == 400


@pytest.mark.parametrize("query", ["level=loud", "level=", "sidecar.nothing=info", "sidecar.server=info&level=x"])
async def test_a_level_that_is_none_changes_nothing(told, levels, query):
    client, _ = told
    before = logging.getLogger("sidecar.server").level
    assert (await ask(client, f"/logging?{query}"))[0] == 400
    assert logging.getLogger("sidecar.server").level == before


async def test_quitquitquit_tells_whoever_serves():
    config = read_text(CONFIG, "test.yaml", {}).config
    config = evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=0))
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(serve(config))
        client = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{serving.admin[1]}"))
        assert not serving.stop.asked.is_set()
        await ask(client, "/quitquitquit")
        assert serving.stop.asked.is_set()


async def test_no_key_no_prompt_and_no_session_is_seen_on_any_page(start):
    text = CONFIG.replace("openai/gpt-4o}", "openai/gpt-4o, access_key: $KEY, headers: {x-team: $TEAM}}")
    sidecar = await start(text, {"KEY": f"sk-{CANARY}", "TEAM": f"team-{CANARY}"})
    status, _, _ = await sidecar.decide(chat(f"{CANARY} sort a list in Python"), X_Session_Id=f"session-{CANARY}")
    assert status == 200
    _, text = await ask(sidecar.client, f"{sidecar.admin}/help", "GET")
    seen = []
    for line in text.splitlines():
        method, path = line.split()[:2]
        if method != "GET" or path.startswith("/pins"):  # that one is for the names of sessions
            continue
        for query in ("", "?format=json", "?format=prometheus", "?verbose"):
            status, body = await ask(sidecar.client, f"{sidecar.admin}{path}{query}", "GET")
            assert status < 500
            assert CANARY not in body, path
            seen.append(path)
    assert {"/config_dump", "/server_info", "/clusters", "/stats", "/metrics"} <= set(seen)

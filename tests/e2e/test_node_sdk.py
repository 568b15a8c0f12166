"""The official JavaScript SDKs as clients: what they make of every pair, and README.md's own lines."""

import asyncio
import fcntl
import json
import os
import shutil
from pathlib import Path

import pytest
from aiohttp import web
from scripted import NAMES, Provider, builtin, config, environ, snippet
from speaking import Calls, Cost, Fails, Script, Words

NODE = Path(__file__).parent / "node"
QUIETLY = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
HELLO = "Grüß Gott, 你好 👋"


async def run(*command, cwd, environ=None):
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env=None if environ is None else {"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 240)
    assert process.returncode == 0, errors.decode() or out.decode()
    return out.decode()


@pytest.fixture
async def workshop(tmp_path):
    """A folder in which the SDKs can be imported. They are installed once a machine, outside the work tree."""
    for command in ("node", "npm"):
        if shutil.which(command) is None:
            give_up(f"{command} is not installed")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-sidecar-tests" / "node"
    try:
        await installed(home)
    except AssertionError as exc:
        give_up(f"npm install failed: {str(exc).partition(chr(10))[0]}")
    (tmp_path / "node_modules").symlink_to(home / "node_modules")
    return tmp_path


def give_up(why):
    """Where it must not go unnoticed, a failure."""
    why = f"the JavaScript SDKs cannot be tried: {why}"
    pytest.fail(why) if os.environ.get("CI") == "true" else pytest.skip(why)


async def installed(home):
    home.mkdir(parents=True, exist_ok=True)
    wanted, done = (NODE / "package.json").read_text(), home / "installed.json"
    with (home / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)  # two test runs on one machine
        if done.exists() and done.read_text() == wanted:
            return
        (home / "package.json").write_text(wanted)
        await run("npm", "install", "--prefix", home, *QUIETLY, cwd=home)
        done.write_text(wanted)


@pytest.fixture
async def provider(aiohttp_server):
    double = Provider()
    app = web.Application()
    app.router.add_post("/v1/{form:.*}", double.handle)
    server = await aiohttp_server(app)
    double.url = str(server.make_url("")).rstrip("/")
    return double


def said(body):
    """What the double says, by the model's name and by whether it has tools to call."""
    if body["model"] == "busy":
        return Fails(429)
    if body["model"] == "broken":
        return Script((Words(HELLO),), breaks="cut")
    if body.get("tools"):
        return Script((Calls("call_1", "weather", {"city": "Zürich"}),), "tools")
    return Script((Words(HELLO),), cost=Cost(100, 40, 20))


async def test_the_javascript_sdks_work_with_every_pair(workshop, provider, start):
    provider.says(said)
    sidecar = await start(config(provider.url))
    shutil.copy(NODE / "clients.mjs", workshop)
    models = [f"{name}/m" for name in NAMES.values()]
    found = json.loads(await run("node", "clients.mjs", sidecar.port, *models, cwd=workshop))
    finishes = {"chat": "stop", "responses": "completed", "messages": "end_turn"}
    assert provider.flaws == []
    assert found == {
        model: {
            form: {
                "text": HELLO,
                "model": model,
                "tokens": 120,
                "streamed": HELLO,
                "finish": finish,
                "streamedTokens": 120,
                "calls": [["call_1", "weather", {"city": "Zürich"}]],
                "error": "RateLimitError",
                "status": 429,
                "broken": True,
            }
            for form, finish in finishes.items()
        }
        for model in models
    }


async def test_the_javascript_of_the_readme_does_what_it_says(workshop, provider, start):
    provider.says(said)
    sidecar = await start(builtin(provider.url))
    lines, expected = snippet("javascript", "console.log")
    (workshop / "readme.mjs").write_text(lines)
    out = await run("node", "readme.mjs", cwd=workshop, environ=environ(sidecar.port))
    assert out.splitlines() == [*expected, HELLO]

"""The real program, whose configuration changes on disk while it serves."""

import asyncio
import json
import re
import signal
import time

import aiohttp
import pytest
from attrs import define
from provider import CHAT_EVENTS, entry, serving, streams
from redis_servers import redis_server
from running import CODE, CONFIG, chat

PATIENCE_S = 30
MORE = "  - {model: openai/more}\n"
WITH_MORE = CONFIG.replace("model_aliases", f"{MORE}model_aliases")
WRONG = "modell_providers: []\nworkers: many\n"


@define
class Up:
    """The program, and a client of it."""

    program: object
    client: aiohttp.ClientSession
    base: str
    admin: str
    file: object

    def signal(self, sign=signal.SIGHUP):
        self.program.process.send_signal(sign)

    async def ask(self, method, path):
        async with self.client.request(method, self.admin + path) as answer:
            return answer.status, await answer.text()

    async def config(self):
        return json.loads((await self.ask("GET", "/server_info"))[1])["config"]

    async def models(self):
        async with self.client.get(f"{self.base}/v1/models") as answer:
            return {each["id"] for each in (await answer.json())["data"]}

    async def metric(self, name):
        lines = (await self.ask("GET", "/metrics"))[1].splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), None)

    async def generation(self, number):
        """Waits until it is in force."""
        async with asyncio.timeout(PATIENCE_S):
            while (await self.config())["generation"] < number:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        return (await self.config())["generation"]

    async def refused(self, times):
        async with asyncio.timeout(PATIENCE_S):
            refused = 'sidecar_config_reloads_total{outcome="refused"}'
            while await self.metric(refused) != times:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)

    async def decide(self, session):
        body, headers = chat(CODE), {"x-session-id": session}
        async with self.client.post(f"{self.base}/routing/v1/chat/completions", json=body, headers=headers) as answer:
            assert answer.status == 200
            return (await answer.json())["model"]


@pytest.fixture
async def up(sidecar, tmp_path):
    """`await up(text)`: it serves a file of that text; `file` is where that file is, if it is not to be made."""
    async with aiohttp.ClientSession() as client:

        async def begin(text=CONFIG, file=None, **environ):
            if file is None:
                file = tmp_path / "sidecar.yaml"
                file.write_text(text)
            program = await sidecar("up", file, "--port", "0", "--admin-port", "0", environ=environ)
            await program.until("sessions")
            (admin,) = (re.search(r"http://\S+", line)[0] for line in program.printed if line.startswith("admin"))
            return Up(program, client, program.url, admin.rstrip("/"), file)

        yield begin


async def test_a_signal_and_an_order_read_the_file_again(up):
    running = await up(f"watch_config: false\n{CONFIG}")
    assert await running.config() | {"loaded_at": None} == {
        "source": str(running.file), "generation": 1, "loaded_at": None
    }  # fmt: skip
    running.file.write_text(f"watch_config: false\n{WITH_MORE}")
    assert "openai/more" not in await running.models()
    running.signal()
    assert await running.generation(2) == 2
    assert "openai/more" in await running.models()
    status, body = await running.ask("POST", "/reload")
    assert (status, json.loads(body)) == (200, {"generation": 3, "needs_restart": []})
    _, errors = await running.program.end(signal.SIGTERM)
    assert "configuration 2 is in force (SIGHUP)" in errors
    assert "configuration 3 is in force (POST /reload)" in errors


async def test_the_swap_of_a_config_map_and_a_rotated_key_are_seen(up, tmp_path):
    """As the kubelet mounts both: a folder ..data that is a link, and a rename over it."""

    def swap(name, **files):
        folder = tmp_path / f"..{time.monotonic_ns()}"
        folder.mkdir()
        for path, text in files.items():
            (folder / path).write_text(text)
        link = tmp_path / name
        fresh = tmp_path / f"{name}_tmp"
        fresh.symlink_to(folder.name)
        fresh.rename(link)

    async with serving(streams(*CHAT_EVENTS)) as provider:
        given = json.dumps({"model_providers": [entry(provider, default=True, access_key_file="secret/key")]})
        given = given.replace('"access_key": "$KEY", ', "")
        more = given.replace('"model_providers": [', '"model_providers": [{"model": "openai/more"}, ')
        swap("secret", key="first-key")
        swap("..data", config=given)
        (tmp_path / "sidecar.yaml").symlink_to("..data/config")
        running = await up(file=tmp_path / "sidecar.yaml")

        async def key():
            asked = chat(stream=True, model="openai/first")
            async with running.client.post(f"{running.base}/v1/chat/completions", json=asked) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            return provider.last.one("authorization")

        assert await key() == "Bearer first-key"
        swap("secret", key="second-key")
        await running.generation(2)
        assert await key() == "Bearer second-key"
        swap("..data", config=more)
        await running.generation(3)
        assert "openai/more" in await running.models()


async def test_a_bad_file_is_refused_once_with_every_mistake_and_a_good_one_over_it_is_read(up):
    """Written in place, moved away, and renamed over."""
    running = await up()
    running.file.write_text(WRONG)
    await running.refused(1)
    assert (await running.config())["generation"] == 1
    assert await running.decide("s") == "anthropic/claude-sonnet"
    status, ready = await running.ask("GET", "/ready?verbose")
    assert (status, "[-] config: generation 1; a newer one is refused" in ready) == (200, True)
    assert await running.metric("sidecar_config_last_reload_successful") == 0
    status, body = await running.ask("POST", "/reload")
    told = json.loads(body)["error"]["message"]
    assert (status, len(told.splitlines()), str(running.file) in told) == (422, 2, True)
    running.file.unlink()
    await running.refused(3)
    await asyncio.sleep(1.2)  # two looks more: what is known is not told again
    assert await running.metric('sidecar_config_reloads_total{outcome="refused"}') == 3
    good = running.file.with_suffix(".new")
    good.write_text(WITH_MORE)
    good.rename(running.file)
    await running.generation(2)
    assert "openai/more" in await running.models()
    assert await running.metric("sidecar_config_last_reload_successful") == 1
    _, errors = await running.program.end(signal.SIGTERM)
    for line in told.splitlines():
        assert errors.count(f"ERROR sidecar.server {line}\n") == 2
    assert errors.count("cannot be read: No such file") == 1
    assert errors.count("is in force (a file changed)") == 1


async def test_what_needs_a_restart_is_named_and_kept_and_the_log_level_is_not(up):
    running = await up(f"watch_config: false\n{CONFIG}")
    running.file.write_text(
        f"watch_config: false\nadmin: {{address: 127.0.0.2}}\nworkers: 1\n"
        f"telemetry: {{log_level: debug, log_format: json}}\n{CONFIG}"
    )
    _, body = await running.ask("POST", "/reload")
    assert json.loads(body)["needs_restart"] == ["admin.address", "telemetry.log_format"]
    _, ready = await running.ask("GET", "/ready?verbose")
    assert "[+] config: generation 2, waiting for a restart: admin.address, telemetry.log_format\n" in ready
    assert "  sidecar.server: debug\n" in (await running.ask("POST", "/logging"))[1]


async def test_options_go_before_the_file_at_a_reload_too(up, sidecar, tmp_path):
    running = await up(f"listeners: [{{type: model, port: 1}}]\nwatch_config: false\n{CONFIG}")
    assert json.loads((await running.ask("POST", "/reload"))[1])["needs_restart"] == []
    assert await running.decide("s") == "anthropic/claude-sonnet"


async def test_without_a_file_there_is_nothing_to_read(sidecar):
    program = await sidecar("up", "--port", "0", "--admin-port", "0")
    await program.until("sessions")
    (admin,) = (re.search(r"http://\S+", line)[0] for line in program.printed if line.startswith("admin"))
    program.process.send_signal(signal.SIGHUP)
    async with aiohttp.ClientSession() as client, client.post(f"{admin.rstrip('/')}/reload") as answer:
        assert (answer.status, "there is no file to read" in await answer.text()) == (422, True)
    code, errors = await program.end(signal.SIGTERM)
    assert (code, errors.count("nothing to read again")) == (0, 2)


# Several workers


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


async def test_a_reload_reaches_all_workers_and_one_that_begins_later(up, redis):
    def text(base, **more):
        cache = {"type": "redis", "url": redis.url, "key_prefix": "reload:"}
        settings = {"workers": 2, "routing": {"session_cache": cache}, "watch_config": False, **more}
        return base + "\n".join(f"{name}: {json.dumps(value)}" for name, value in settings.items())

    running = await up(text(CONFIG))

    async def everywhere():
        """Over so many connections that both have some."""
        found = []
        for _ in range(12):
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"{running.base}/v1/models", headers={"connection": "close"}) as answer,
            ):
                found.append("openai/more" in await answer.text())
        return set(found)

    async def workers():
        told = json.loads((await running.ask("GET", "/server_info"))[1])
        return {each["worker"]: each["pid"] for each in told["workers"]}

    assert await everywhere() == {False}
    running.file.write_text(text(WITH_MORE, telemetry={"log_level": "warning"}))
    running.signal()
    await running.generation(2)
    assert await everywhere() == {True}
    assert "  sidecar.server: warning\n" in (await running.ask("POST", "/logging"))[1]

    running.file.write_text(WRONG)
    status, _ = await running.ask("POST", "/reload")
    _, ready = await running.ask("GET", "/ready?verbose")
    assert (status, "[-] config: generation 2; a newer one is refused" in ready) == (422, True)
    assert ready.count("config") == 1
    assert await everywhere() == {True}
    assert await running.metric("sidecar_config_last_reload_successful") == 0
    assert await running.metric("sidecar_config_generation") == 2

    running.file.write_text(text(WITH_MORE, drain={"timeout_seconds": 5}))
    assert (await running.ask("POST", "/reload"))[0] == 200
    before = await workers()
    (await asyncio.create_subprocess_exec("kill", "-HUP", str(before[1])))  # which is the parent's business
    (await asyncio.create_subprocess_exec("kill", "-KILL", str(before[2])))
    async with asyncio.timeout(PATIENCE_S):
        while (await workers()).get(2, before[2]) == before[2]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    assert (await workers())[1] == before[1]
    assert await everywhere() == {True}
    _, ready = await running.ask("GET", "/ready?verbose")
    assert "[+] config: generation 3\n" in ready
    assert ready.count("config") == 1
    assert await running.metric('sidecar_config_reloads_total{outcome="success"}') == 2
    assert await running.metric("sidecar_config_last_reload_successful") == 1

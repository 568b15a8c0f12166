"""Where pins live, as the configuration says; what becomes of a Redis that fails is in tests/e2e/test_store_faults.py."""

import asyncio
import socket
import subprocess
import sys

import pytest
from attrs import evolve
from ports import free_port
from redis_servers import redis_server
from running import CODE, CONFIG, REASONING, chat, serve

from sidecar.config import read_text
from sidecar.config.models import Admin, Listener
from sidecar.errors import ConfigError


def shared(url, **more):
    cache = {"type": "redis", "url": url, "breaker": {"failures": 1, "cooldown_seconds": 60}, **more}
    return f"{CONFIG}\nrouting: {{session_cache: {cache}}}\n"


@pytest.fixture
def nobody():
    """The URL of a Redis that is not there."""
    return f"redis://127.0.0.1:{free_port()}/0"


async def store_line(sidecar):
    async with sidecar.client.get(f"{sidecar.admin}/ready?verbose") as answer:
        assert answer.status == 200
        return next(line for line in (await answer.text()).splitlines() if "] store: " in line)


async def test_two_sidecars_with_one_redis_share_their_pins_and_count_what_they_ask_it(start, tmp_path):
    with redis_server(tmp_path) as redis:
        one, other = await start(shared(redis.url)), await start(shared(redis.url))
        first = (await one.decide(chat(CODE), x_session_id="s"))[1]
        second = (await other.decide(chat(REASONING), x_session_id="s"))[1]
        assert (second["model"], first["pinned"], second["pinned"]) == (first["model"], False, True)
        assert await store_line(other) == "[+] store: redis, up"
        found = await other.metrics()
        assert found['sidecar_store_operations_total{operation="get",store="redis"}'] == 1
        assert found['sidecar_store_duration_seconds_count{operation="get",store="redis"}'] == 1
        assert (found['sidecar_store_up{store="redis"}'], found["sidecar_pins_limit"]) == (1, 10000)
        assert await other.total("sidecar_store_errors_total") == 0


async def test_hits_that_a_copy_answers_are_counted_apart(start, tmp_path):
    def operations(name):
        return f'sidecar_store_operations_total{{operation="{name}",store="redis"}}'

    with redis_server(tmp_path) as redis:
        one, other = await start(shared(redis.url, copies=10)), await start(shared(redis.url))
        for _ in range(1000):
            assert (await one.decide(chat(CODE), x_session_id="s"))[0] == 200
            found = await one.metrics()
            if found[operations("at_hand")]:
                break
        assert found[operations("get")] + found[operations("at_hand")] == await one.total("sidecar_pin_lookups_total")
        assert (await other.decide(chat(REASONING), x_session_id="s"))[1]["pinned"]
        assert await one.total("sidecar_store_errors_total") == 0


async def test_a_redis_that_is_not_there_is_told_where_operators_look_and_nobody_is_failed(start, nobody):
    sidecar = await start(shared(nobody))
    status, first, _ = await sidecar.decide(chat(CODE), x_session_id="s")
    assert (status, (await sidecar.decide(chat(REASONING), x_session_id="s"))[1]["model"]) == (200, first["model"])
    line = await store_line(sidecar)
    assert line.startswith("[-] store: redis, down for 0 s, left alone for now")
    assert "127.0.0.1" not in line
    assert (await sidecar.metrics())['sidecar_store_up{store="redis"}'] == 0
    assert await sidecar.total("sidecar_store_errors_total") >= 1


async def test_pins_in_this_process_are_always_well(start):
    sidecar = await start()
    assert await store_line(sidecar) == "[+] store: memory, in this process"
    assert (await sidecar.metrics())['sidecar_store_up{store="memory"}'] == 1


async def test_a_url_that_is_none_is_refused_at_the_start(start):
    with pytest.raises(ConfigError, match=r"session_cache\.url"):
        await start(shared("http://user:hush@host"))


async def test_a_sidecar_stops_at_once_although_its_redis_hangs():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = shared(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", command_timeout="30s")
        config = read_text(text, "test.yaml", {}).config
        async with asyncio.timeout(5):
            async with serve(evolve(config, listener=Listener(port=0), admin=Admin(port=0))):
                await asyncio.sleep(0)


def test_without_the_extra_a_redis_is_refused_in_one_sentence():
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "import asyncio\n"
        "from sidecar.config import read_text\n"
        "from sidecar.config.catalog import Catalog\n"
        "from sidecar.errors import SidecarError\n"
        "from sidecar.server import metrics_of\n"
        "from sidecar.server.remembering import remembering\n"
        f"config = read_text({shared('redis://localhost')!r}, 'test.yaml', {{}}).config\n"
        "async def run():\n"
        "    async with remembering(config, metrics_of(config, Catalog.of(config))): pass\n"
        "try: asyncio.run(run())\n"
        "except SidecarError as exc: print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.stdout, done.stderr) == (
        "routing.session_cache.type: redis needs the extra: pip install 'llm-sidecar[redis]'\n",
        "",
    )

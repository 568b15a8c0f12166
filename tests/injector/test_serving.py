"""How an injector starts and stops."""

import argparse
import asyncio
import socket

import pytest

from sidecar.errors import ConfigError
from sidecar.injector import options
from sidecar.injector.serving import settings_of
from sidecar.injector.sockets import CannotBind


async def ready(running):
    async with running.client.get(f"{running.admin}/ready") as answer:
        return answer.status


async def test_a_drain_is_not_ready_serves_on_and_asks_clients_to_go(injector, pod, review):
    running = await injector(drain_delay_s=30.0)
    hurry = asyncio.Event()
    assert await ready(running) == 200
    draining = asyncio.ensure_future(running.serving.drain(hurry))
    await asyncio.sleep(0)
    assert await ready(running) == 503
    async with running.client.post("/mutate", json=review(pod("bare"))) as answer:
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert not draining.done()
    hurry.set()
    await draining


async def test_a_drain_ends_by_itself(injector):
    running = await injector(drain_delay_s=0.01)
    await asyncio.wait_for(running.serving.drain(asyncio.Event()), 5)


@pytest.mark.parametrize("taken", ["port", "admin_port"])
async def test_a_port_that_is_taken_is_a_sentence(injector, taken):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(CannotBind, match=f"cannot listen on 127.0.0.1:{port}"):
            await injector(**{taken: port})


@pytest.fixture
def parsed():
    """`parsed(*words)`: what `sidecar injector` with these words is to do."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add(parser.add_subparsers(), print, int)
    return lambda *words: parser.parse_args(["injector", "--tls-cert=c", "--tls-key=k", *words])


def test_a_template_of_ones_own_and_another_image(parsed, tmp_path):
    (tmp_path / "t.yaml").write_text("container: {name: mine, image: old, restartPolicy: Always}")
    settings = settings_of(parsed(f"--template={tmp_path / 't.yaml'}", "--image=new"))
    assert settings.template.container == {"name": "mine", "image": "new", "restartPolicy": "Always"}


def test_a_template_with_a_mistake_is_one_of_the_configuration(parsed, tmp_path):
    (tmp_path / "t.yaml").write_text("container: {}")
    with pytest.raises(ConfigError, match=r"container\.name must be a text"):
        settings_of(parsed(f"--template={tmp_path / 't.yaml'}"))


@pytest.mark.parametrize("word", ["--drain-delay=-1", "--drain-delay=nan", "--drain-delay=soon", "--watch-interval=0"])
def test_a_time_that_is_none_is_refused(parsed, word, capsys):
    with pytest.raises(SystemExit):
        parsed(word)
    assert "must be a number of seconds" in capsys.readouterr().err

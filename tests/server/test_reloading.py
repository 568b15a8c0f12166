"""From one configuration to the next: who begins it, what is refused, and where that is told."""

import asyncio
import logging
import threading

import pytest
from attrs import evolve

from sidecar.admin.dump import InForce
from sidecar.config import read
from sidecar.config.models import Config
from sidecar.errors import ConfigError, SidecarError
from sidecar.server.changes import files_of, signature
from sidecar.server.reloading import NO_FILE, Reloads
from sidecar.telemetry.meter import Metrics

MODEL = "model_providers: [{model: openai/gpt-4o}]\n"


class Kit:
    """Reloads, with what they read and what they put in force."""

    def __init__(self, again, *, install=None, config=None):
        self.installed = []
        self.metrics = Metrics(models=(), routes=())
        config = config or Config()

        async def keep(in_force):
            self.installed.append(in_force)

        known = signature(files_of(config))
        self.reloads = Reloads(InForce(config), again, install or keep, self.metrics, known)

    def shown(self):
        """The numbers of the metrics, by name without `sidecar_config_`."""
        found = {}
        for family in self.metrics.registry.collect():
            if family.name.startswith("sidecar_config_"):
                for sample in family.samples:
                    found[(sample.name.removeprefix("sidecar_config_"), *sample.labels.values())] = sample.value
        return found


def says(text):
    def again():
        raise ConfigError(text)

    return again


async def test_what_is_read_is_put_in_force_under_the_next_number():
    new = Config(version="new")
    kit = Kit(lambda: new)
    done = await kit.reloads.reload("SIGHUP")
    assert (done.generation, done.refused, done.waiting) == (2, None, ())
    assert [each.config for each in kit.installed] == [new]
    assert kit.reloads.in_force is kit.installed[0]
    assert kit.reloads.describe() == (True, "generation 2")
    shown = kit.shown()
    assert shown["generation",], shown["last_reload_successful",] == (2, 1)
    assert shown["reloads_total", "success"] == 1
    assert shown["last_reload_timestamp_seconds",] == kit.installed[0].loaded_at_unix_s > 0


async def test_every_mistake_is_told_to_whoever_asked_and_to_the_log_and_the_old_one_stays(caplog):
    kit = Kit(says("sidecar.yaml:1: one\nsidecar.yaml:7: two"))
    with caplog.at_level(logging.INFO, "sidecar.server"):
        done = await kit.reloads.reload("SIGHUP")
    assert (done.generation, done.refused) == (1, "sidecar.yaml:1: one\nsidecar.yaml:7: two")
    assert kit.installed == []
    assert caplog.messages == [
        "the new configuration is refused (SIGHUP), configuration 1 stays in force:",
        "sidecar.yaml:1: one",
        "sidecar.yaml:7: two",
    ]
    assert kit.reloads.describe() == (False, "generation 1; a newer one is refused, and the log says why")
    shown = kit.shown()
    assert (shown["last_reload_successful",], shown["reloads_total", "refused"]) == (0, 1)


async def test_a_good_one_after_a_refused_one_makes_all_well():
    answers = iter([says("no"), Config])

    def again():
        return next(answers)()

    kit = Kit(again)
    await kit.reloads.reload("test")
    assert kit.reloads.describe()[0] is False
    assert (await kit.reloads.reload("test")).generation == 2
    assert kit.reloads.describe() == (True, "generation 2")
    assert kit.shown()["last_reload_successful",] == 1


async def test_a_part_that_cannot_be_made_refuses_the_whole():
    async def install(_in_force):
        raise SidecarError("no such certificate")

    kit = Kit(Config, install=install)
    assert (await kit.reloads.reload("test")).refused == "no such certificate"
    assert kit.reloads.in_force.generation == 1


async def test_what_nobody_expected_is_a_refusal_whose_cause_is_in_the_log_alone(caplog):
    def again():
        raise RuntimeError("quotes a key")

    done = await Kit(again).reloads.reload("test")
    assert done.refused == "internal error: the log has the cause"
    assert caplog.records[0].exc_info[0] is RuntimeError


async def test_without_a_file_there_is_nothing_to_read_and_nothing_wrong(caplog):
    kit = Kit(None)
    done = await kit.reloads.reload("POST /reload")
    assert (done.generation, done.refused) == (1, NO_FILE)
    assert kit.reloads.describe() == (True, "generation 1")
    assert kit.shown()["last_reload_successful",] == 1
    assert caplog.messages == [f"nothing to read again (POST /reload): {NO_FILE}"]


async def test_what_only_a_restart_can_do_is_named_and_kept_until_the_file_says_otherwise(caplog):
    now = Config()
    files = [evolve(now, workers=4), now]
    kit = Kit(lambda: files.pop(0), config=now)
    assert (await kit.reloads.reload("test")).waiting == ("workers",)
    assert kit.installed[0].config.workers == 1
    assert kit.reloads.describe() == (True, "generation 2, waiting for a restart: workers")
    assert "only a restart can change workers: kept as before" in caplog.messages
    assert (await kit.reloads.reload("test")).waiting == ()
    assert kit.reloads.describe() == (True, "generation 3")


async def test_reloads_come_one_after_the_other_and_the_last_one_reads_the_last_file():
    inside, most, number = 0, 0, 0

    async def install(_in_force):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1

    def again():
        nonlocal number
        number += 1
        return Config(version=str(number))

    kit = Kit(again, install=install)
    done = await asyncio.gather(*(kit.reloads.reload("test") for _ in range(5)))
    assert [each.generation for each in done] == [2, 3, 4, 5, 6]
    assert (most, kit.reloads.in_force.config.version) == (1, "5")


async def test_the_file_is_read_beside_the_loop():
    threads = []

    def again():
        threads.append(threading.current_thread())
        return Config()

    await Kit(again).reloads.reload("test")
    assert threads[0] is not threading.main_thread()


async def test_a_signal_begins_one_and_waits_for_nothing():
    kit = Kit(Config)
    kit.reloads.begin("SIGHUP")
    assert kit.reloads.in_force.generation == 1
    while kit.reloads.in_force.generation == 1:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)


async def test_the_end_cancels_what_a_signal_began():
    started = asyncio.Event()

    async def install(_in_force):
        started.set()
        await asyncio.sleep(30)

    kit = Kit(Config, install=install)
    kit.reloads.begin("SIGHUP")
    await started.wait()
    await kit.reloads.aclose()
    assert kit.reloads.in_force.generation == 1
    assert len(asyncio.all_tasks()) == 1


async def test_one_that_somebody_else_has_read_keeps_the_number_it_has():
    kit = Kit(None)
    assert (await kit.reloads.put(InForce(Config(version="given"), 7), "the parent")).generation == 7
    assert kit.reloads.in_force.config.version == "given"


# Which files are looked at


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sidecar.yaml"
    path.write_text(MODEL)
    return path


def of_file(file):
    return Kit(lambda: read(file, {}).config, config=read(file, {}).config)


async def test_what_was_read_is_known_as_it_was_then(file):
    kit = of_file(file)
    assert kit.reloads.known() == signature([str(file)])
    file.write_text(MODEL + "# longer")
    assert kit.reloads.known() != signature([str(file)])
    await kit.reloads.reload("test")
    assert kit.reloads.known() == signature([str(file)])


async def test_a_refused_file_is_known_too_so_that_it_is_refused_once(file):
    kit = of_file(file)
    file.write_text("no: such key")
    assert (await kit.reloads.reload("test")).refused
    assert kit.reloads.known() == signature([str(file)])
    file.unlink()
    assert "cannot be read" in (await kit.reloads.reload("test")).refused
    assert kit.reloads.known() == {str(file): None}


async def test_a_file_that_a_refused_one_names_is_looked_at_for_it_may_be_what_comes_late(file):
    """A ConfigMap and a Secret are swapped one after the other, in any order."""
    kit = of_file(file)
    late = file.parent / "prompt.txt"
    file.write_text(
        MODEL + "routing: {classifier: {type: llm, base_url: 'http://c/v1', model: m, template: prompt.txt}}"
    )
    assert "prompt.txt" in (await kit.reloads.reload("test")).refused
    assert kit.reloads.known() == {**signature([str(file)]), str(late): None}
    late.write_text("{routes} {conversation}")
    assert kit.reloads.known() != signature([str(file), str(late)])


async def test_what_changes_while_it_is_read_has_changed(file):
    config = read(file, {}).config

    def again():
        file.write_text(MODEL + "# in the meantime")
        return config

    kit = Kit(again, config=config)
    await kit.reloads.reload("test")
    assert kit.reloads.known() != signature([str(file)])


async def test_watch_config_off_looks_at_nothing_and_on_begins_at_once(file):
    kit = of_file(file)
    file.write_text(MODEL + "watch_config: false")
    await kit.reloads.reload("test")
    assert kit.reloads.known() == {}
    file.write_text(MODEL + "watch_config: true")
    await kit.reloads.reload("test")
    assert kit.reloads.known() == signature([str(file)])

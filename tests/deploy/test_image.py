import json
import re
import shlex

import pytest
from manifests import DEPLOY

from sidecar import __version__
from sidecar.cli import _parser
from sidecar.config.models import Admin, Listener

ROOT = DEPLOY.parent


@pytest.fixture(scope="session")
def stages():
    """A stage of the Dockerfile -> its instructions, each as (word, arguments). Before the first FROM: ''."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found, name = {"": []}, ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            name = rest.split(" AS ")[1] if " AS " in rest else "final"
            found[name] = []
        found[name].append((word, rest))
    return found


@pytest.fixture
def final(stages):
    """Word -> the arguments of each such instruction of the last stage."""
    return {word: [rest for each, rest in stages["final"] if each == word] for word, _ in stages["final"]}


def test_it_is_built_in_one_stage_and_runs_in_another_of_a_pinned_base(stages):
    assert list(stages) == ["", "build", "final"]
    assert re.fullmatch(r"BASE=docker\.io/library/debian:\d+\.\d+-slim", stages[""][0][1])
    assert stages["build"][0][1] == "${BASE} AS build"
    assert stages["final"][0][1] == "${BASE}"


def test_the_last_stage_installs_no_compiler_and_no_pip(stages, final):
    installed = re.findall(r"install --yes --no-install-recommends ([\w\s-]+?)\s+&&", " ".join(final["RUN"]))
    assert [line.split() for line in installed] == [["python3", "ca-certificates"]]
    assert final["COPY"] == ["--from=build /opt/sidecar /opt/sidecar"]
    assert "python3 -m venv --without-pip /opt/sidecar" in dict(_runs(stages))["build"]


def test_extras_are_chosen_by_an_argument_and_exist(stages):
    extras = dict(rest.split("=", 1) for word, rest in stages["build"] if word == "ARG" and "=" in rest)["EXTRAS"]
    project = (ROOT / "pyproject.toml").read_text()
    assert extras == "redis,otel"
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras.split(","))
    assert '".${EXTRAS:+[$EXTRAS]}"' in dict(_runs(stages))["build"]


def test_its_user_is_a_number_and_not_root(final):
    assert final["USER"] == ["65532:65532"]


def test_what_is_copied_is_there_and_nothing_else_is_sent(stages):
    copied = [rest.split()[:-1] for word, rest in stages["build"] if word == "COPY"]
    wanted = {name for names in copied for name in names}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert all((ROOT / name).exists() for name in wanted)
    assert {line[1:] for line in ignored if line.startswith("!")} == wanted
    assert "*" in ignored


def test_what_it_starts_is_a_command_of_the_package(final):
    (entry,), (arguments,) = final["ENTRYPOINT"], final["CMD"]
    (name,) = json.loads(entry)
    assert re.search(rf'^{name} = "sidecar\.cli:main"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    asked = _parser().parse_args(json.loads(arguments))
    assert (asked.run.__name__, asked.config) == ("_up", "/etc/sidecar/sidecar.yaml")


def test_it_names_the_ports_of_the_program(final):
    assert final["EXPOSE"] == [f"{Listener().port} {Admin().port}"]


def test_its_labels_say_what_it_is(final):
    labels = dict(each.split("=", 1) for each in shlex.split(final["LABEL"][0]))
    assert {name.removeprefix("org.opencontainers.image.") for name in labels} == {
        "title", "description", "source", "version", "revision",
    }  # fmt: skip
    assert f"VERSION={__version__}" in final["ARG"]


async def test_its_health_check_follows_the_readiness_of_the_program(final, start, run_command):
    (check,) = final["HEALTHCHECK"]
    command = json.loads(check[check.index("[") :])
    running = await start()
    assert await run_command(command, running.admin) == 0
    async with running.client.post(f"{running.admin}/healthcheck/fail") as answer:
        assert answer.status == 200
    assert await run_command(command, running.admin) == 1


async def test_its_health_check_fails_where_nothing_listens(final, run_command):
    (check,) = final["HEALTHCHECK"]
    assert await run_command(json.loads(check[check.index("[") :]), "http://127.0.0.1:1") == 1


def test_no_image_that_is_named_anywhere_moves():
    for path in DEPLOY.rglob("*.yaml"):
        for image in re.findall(r"^\s*(?:- )?image: ([^\s{]+)$", path.read_text(), re.MULTILINE):
            assert re.search(r":v?\d", image), f"{path.name}: {image}"


def _runs(stages):
    return [(name, " ".join(rest for word, rest in stage if word == "RUN")) for name, stage in stages.items()]

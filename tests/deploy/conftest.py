"""The dashboards and rules as tests read them, and a real Prometheus."""

import asyncio
import json
import os
import re
import shutil
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml
from attrs import define, frozen
from ports import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"


@frozen
class Expression:
    """A PromQL expression, and where it stands."""

    where: str
    """`file / title`, `, now` for a single number, and the letter of the query when a panel has several."""
    text: str
    kind: str
    """panel, variable, annotation, record or alert."""

    @property
    def metrics(self):
        """The names of the series it reads: what is neither function, keyword, label nor number."""
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", self.text)
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
        bare = re.sub(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", " ", bare)
        names = re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?![\w:]*\s*\()", bare)
        return set(names) - {"and", "or", "unless", "offset", "bool"}

    @property
    def labels(self):
        """Those it chooses or sums by."""
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', self.text)
        grouped = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", bare)
        matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare)
        return {label.strip() for group in grouped for label in group.split(",")} | set(matched)


@pytest.fixture(scope="session")
def dashboards():
    """Name of the file -> dashboard."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DEPLOY.glob("grafana/dashboards/*.json"))}


@pytest.fixture(scope="session")
def rules():
    """Every rule, in order."""
    return [rule for group in _yaml("prometheus/rules.yaml")["groups"] for rule in group["rules"]]


@pytest.fixture(scope="session")
def expressions(dashboards, rules):
    found = []
    for file, board in dashboards.items():
        marks = board["annotations"]["list"]
        found += [Expression(f"{file} / {mark['name']}", mark["expr"], "annotation") for mark in marks]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                chosen = re.fullmatch(r"label_values\((.*), \w+\)", variable["definition"])[1]
                found.append(Expression(f"{file} / ${variable['name']}", chosen, "variable"))
        for panel in board["panels"]:
            found += _of_panel(file, panel)
    for rule in rules:
        kind = "record" if "record" in rule else "alert"
        found.append(Expression(f"rules.yaml / {rule[kind]}", rule["expr"], kind))
    return found


def _of_panel(file, panel):
    title = f"{file} / {panel['title']}{', now' if panel['type'] == 'stat' else ''}"
    targets = panel.get("targets", [])
    letters = [f" {target['refId']}" if len(targets) > 1 else "" for target in targets]
    return [
        Expression(title + letter, target["expr"], "panel") for letter, target in zip(letters, targets, strict=True)
    ]


def _yaml(path):
    return yaml.safe_load((DEPLOY / path).read_text())


def _installed(program):
    path = shutil.which(program)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed: apt-get install prometheus")
    if path is None:
        pytest.skip(f"{program} is not installed: apt-get install prometheus")
    return path


@pytest.fixture(scope="session")
def promtool():
    """`promtool(*arguments, stdin=…)`: (exit code, all that it printed)."""
    path = _installed("promtool")

    async def run(*arguments, stdin=b""):
        process = await asyncio.create_subprocess_exec(
            path, *map(str, arguments), cwd=DEPLOY / "prometheus",
            env={**os.environ, "GOGC": "400"},  # it ends soon: a quarter less time for a few megabytes
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        printed, _ = await process.communicate(stdin)
        return process.returncode, printed.decode()

    return run


@define
class Prometheus:
    """One that runs. Its own answers, as its HTTP API gives them."""

    client: aiohttp.ClientSession
    log: Path

    async def query(self, expr):
        """The series and values there are now: [({label: value}, float)]. Raises AssertionError on an error."""
        async with self.client.post("/api/v1/query", data={"query": expr}) as answer:
            body = await answer.json()
        assert body["status"] == "success", f"{body.get('error')} in {expr}"
        return [(series["metric"], float(series["value"][1])) for series in body["data"]["result"]]

    async def get(self, path):
        async with self.client.get(path) as answer:
            return (await answer.json())["data"]

    async def until_ready(self, *, patience_s=15.0):
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            try:
                async with self.client.get("/-/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)
        raise AssertionError(f"Prometheus is not ready: {self.log.read_text()[-2000:]}")


@pytest.fixture
async def prometheus(tmp_path):
    """`await prometheus(target)`: a real one with our prometheus.yaml, which scrapes that address twice a second."""
    path = _installed("prometheus")
    async with AsyncExitStack() as stack:

        async def begin(target):
            return await stack.enter_async_context(_running(path, tmp_path, target))

        yield begin


@asynccontextmanager
async def _running(path, folder, target):
    port, log = free_port(), folder / "prometheus.log"
    arguments = (
        f"--config.file={_configured(folder, target)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(path, *arguments, stdout=written, stderr=written)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            prometheus = Prometheus(client, log)
            await prometheus.until_ready()
            yield prometheus
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _configured(folder, target):
    """Our own files, only faster and with another target."""
    config = _yaml("prometheus/prometheus.yaml")
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus/rules.yaml")]
    (folder / "targets.yaml").write_text(json.dumps([{"targets": [target]}]))
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    return folder / "prometheus.yaml"


@pytest.fixture
def run_command():
    """`await run_command(command, admin)`: the exit code of a command of the image, with that admin port for its own."""

    async def run(command, admin):
        there = [word.replace("9901", admin.rpartition(":")[2]) for word in command]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*there, stdout=quiet, stderr=quiet)
        return await process.wait()

    return run

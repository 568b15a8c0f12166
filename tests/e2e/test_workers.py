"""`workers: 2`: real processes behind one port, with a real Redis between them."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress

import pytest
from attrs import define, field
from forks import Popen
from ports import free_port
from provider import CHAT_EVENTS, END, EVENTS_HEAD, KEYS, before, chunk, entry, serving
from rawclient import connected, request
from redis_servers import redis_server
from running import CODE, CONFIG, REASONING, chat

PATIENCE_S = 60
DECIDE = "/routing/v1/chat/completions"


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


def shared(redis, prefix, **telemetry):
    """The configuration of two workers; each test has its own pins."""
    cache = {
        "type": "redis",
        "url": redis.url,
        "key_prefix": f"{prefix}:",
        "command_timeout": "5s",
        "flight_wait": "5s",
    }
    return (
        f"{CONFIG}\nworkers: 2\nrouting: {json.dumps({'session_cache': cache})}\ntelemetry: {json.dumps(telemetry)}\n"
    )


@define
class Fleet:
    """The program with its workers."""

    process: Popen
    folder: object
    port: int = 0
    admin: int = 0
    out: list = field(factory=list)

    def read_ports(self):
        for line in self.process.stdout:
            self.out.append(line.decode())
            if line.startswith(b"decisions"):
                self.port = int(re.search(rb":(\d+)/", line)[1])
            if line.startswith(b"admin"):
                self.admin = int(re.search(rb":(\d+)/", line)[1])
            if line.startswith(b"sessions"):
                return self
        raise AssertionError((self.folder / "err").read_text())

    def ask(self, method, path, body=None, port=None, **headers):
        """(status, body), on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", port or self.admin, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def decide(self, session, prompt=CODE):
        status, body = self.ask("POST", DECIDE, json.dumps(chat(prompt)), self.port, x_session_id=session)
        assert status == 200, body
        return json.loads(body)["models"][0]

    def metrics(self):
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def total(self, name):
        return sum(value for series, value in self.metrics().items() if series.partition("{")[0] == name)

    def workers(self):
        """Number -> process id."""
        told = json.loads(self.ask("GET", "/server_info")[1])["workers"]
        return {worker["worker"]: worker["pid"] for worker in told}

    def of_worker(self, number, path):
        """What one worker says on its own admin port."""
        (place,) = self.folder.glob(f"sidecar-*/{number}")
        with closing(_OverUnix(str(place))) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def until_ready(self):
        until(lambda: self.ask("GET", "/ready")[0] == 200)

    def errors(self):
        return (self.folder / "err").read_text()


class _OverUnix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("worker", timeout=PATIENCE_S)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def until(true):
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


def alive(pid):
    """Whether it runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - a path that may vanish
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def fleet(imported):
    """`with fleet(folder, config, …) as started`: the parent is forked; its workers are started by their name."""

    @contextmanager
    def begun(folder, config, *arguments):
        (folder / "config.yaml").write_text(config)
        words = ["up", "config.yaml", "--admin-port", "0", *arguments]
        environ = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), **KEYS}
        with (folder / "err").open("wb") as err:
            process = imported.begin(words, folder, environ, err)
        try:
            yield Fleet(process, folder)
        finally:
            process.stdout.close()
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE_S)

    return begun


@pytest.fixture(scope="module")
def two(fleet, redis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    with fleet(folder, shared(redis, "two", access_log=str(folder / "access.log")), "--port", "0") as started:
        yield started.read_ports()


def test_connections_come_to_both_workers_and_the_metrics_are_those_of_both(two):
    def shown():
        each = [_counted(two.of_worker(number, "/stats?filter=http_requests_total")) for number in (1, 2)]
        names = ("sidecar_http_requests_total", "sidecar_http_request_duration_seconds_count")
        return [*each, *map(two.total, names)]

    earlier = shown()
    for n in range(60):
        two.decide(f"spread-{n}")
    first, second, requests, durations = (now - then for now, then in zip(shown(), earlier, strict=True))
    assert min(first, second) > 0
    assert first + second == requests == durations == 60


def _counted(stats):
    return sum(int(line.rpartition(" ")[2]) for line in stats.splitlines())


def test_what_is_said_once_is_said_once(two):
    found = two.metrics()
    assert [value for name, value in found.items() if name.startswith("sidecar_build_info")] == [1.0]
    assert (found["sidecar_ready"], found['sidecar_store_up{store="redis"}']) == (1.0, 1.0)
    assert found["sidecar_pins_limit"] == 10_000
    owners = {name for name in found if name.startswith("process_open_fds")}
    assert owners == {f'process_open_fds{{worker="{who}"}}' for who in ("1", "2", "parent")}


def test_one_session_keeps_its_model_over_many_connections(two):
    models = {two.decide("faithful", prompt) for prompt in (CODE, REASONING) * 20}
    assert len(models) == 1
    found = json.loads(two.ask("GET", "/pins/faithful")[1])
    assert (found["turns"], {found["model"]}) == (40, models)


def test_the_admin_port_has_every_path_that_one_process_has(two):
    one = {line.split()[1] for line in two.of_worker(1, "/help").splitlines()} - {"/worker/metrics"}
    assert {line.split()[1] for line in two.ask("GET", "/help")[1].decode().splitlines()} == one


@pytest.mark.parametrize(
    "path",
    ["/", "/ready", "/ready?verbose", "/live", "/metrics", "/stats", "/stats?format=json", "/recent", "/clusters",
     "/clusters?format=json", "/config_dump", "/pins", "/pins/export", "/listeners", "/server_info", "/memory"],
)  # fmt: skip
def test_every_path_that_reads_answers(two, path):
    assert two.ask("GET", path)[0] == 200


def test_recent_counts_the_requests_of_all(two):
    two.decide("recent")
    recent = json.loads(two.ask("GET", "/recent")[1])
    assert recent["requests_total"] == two.total("sidecar_http_requests_total")
    assert len(recent["requests"]) == len(recent["lookups"]) == 180


def test_pins_are_set_and_forgotten_through_any_worker(two):
    status, _ = two.ask("PUT", "/pins/by%2Fhand", '{"model": "gpt-4o"}')
    assert (status, {two.decide("by/hand") for _ in range(10)}) == (200, {"openai/gpt-4o"})
    assert two.ask("DELETE", "/pins/by%2Fhand")[0] == 204
    assert two.ask("GET", "/pins/by%2Fhand")[0] == 404


def test_an_export_comes_back(two):
    two.decide("travels")
    lines = two.ask("GET", "/pins/export")[1]
    assert b'"travels"' in lines
    status, body = two.ask("POST", "/pins/import", lines)
    assert (status, json.loads(body)["refused_total"]) == (200, 0)


def test_a_level_holds_in_all_workers_and_in_one_that_begins_later(two):
    assert two.ask("POST", "/logging?sidecar.telemetry=error")[0] == 200
    os.kill(two.workers()[2], signal.SIGKILL)
    until(lambda: len(two.workers()) == 1)
    two.until_ready()
    for number in (1, 2):
        with closing(_OverUnix(str(next(two.folder.glob(f"sidecar-*/{number}"))))) as connection:
            connection.request("POST", "/logging")
            assert "  sidecar.telemetry: error\n" in connection.getresponse().read().decode()
    assert two.ask("POST", "/logging?no.such=debug")[0] == 400


def test_out_of_service_and_back(two):
    assert two.ask("POST", "/healthcheck/fail")[0] == 200
    assert two.ask("GET", "/ready") == (503, b"failed by an operator\n")
    assert two.total("sidecar_ready") == 0
    assert two.ask("POST", "/healthcheck/ok")[0] == 200
    assert two.ask("GET", "/ready") == (200, b"OK\n")


def test_a_worker_that_is_killed_takes_its_own_connections_and_no_others(two):
    restarts, counted = two.total("sidecar_worker_restarts_total"), two.total("sidecar_http_requests_total")
    clients = [_Client(two.port, f"killed-{n}") for n in range(6)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    until(lambda: all(client.answered > 5 for client in clients))
    two.total("sidecar_http_requests_total")  # as a scrape does
    mine = _counted(two.of_worker(1, "/stats?filter=http_connections"))
    victim = two.workers()[1]
    os.kill(victim, signal.SIGKILL)
    until(lambda: two.workers().get(1, victim) != victim)
    two.until_ready()
    for client in clients:
        client.done = True
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sum(client.failed > 0 for client in clients) == mine
    # A second time only who came back while its sockets were being closed, one after the other.
    assert max(client.failed for client in clients) <= 2
    assert {len(client.models) for client in clients} == {1}
    assert two.total("sidecar_worker_restarts_total") == restarts + 1
    assert two.total("sidecar_http_requests_total") > counted
    assert "worker 1 ended: SIGKILL" in two.errors()


@define
class _Client:
    """Asks over one connection for as long as it holds."""

    port: int
    session: str
    answered: int = 0
    failed: int = 0
    models: set = field(factory=set)
    done: bool = False

    def run(self):
        while not self.done:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
                with suppress(OSError, http.client.HTTPException):
                    self._talk(connection)
                    return
                self.failed += 1

    def _talk(self, connection):
        while not self.done:
            connection.request("POST", DECIDE, json.dumps(chat()), {"x-session-id": self.session})
            self.models.add(json.loads(connection.getresponse().read())["models"][0])
            self.answered += 1


def test_all_lines_of_the_access_log_are_whole(two):
    threads = [threading.Thread(target=lambda: [two.decide("lines") for _ in range(40)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    log = two.folder / "access.log"
    until(lambda: sum(b'"session"' in line for line in log.read_bytes().splitlines()) >= 160)
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert {line["status"] for line in lines} == {200}


def test_lines_of_two_workers_in_one_pipe_are_whole(fleet, redis, tmp_path):
    with fleet(tmp_path, shared(redis, "pipe", access_log="stdout"), "--port", "0") as started:
        started.read_ports()
        threads = [threading.Thread(target=lambda: [started.decide("x" * 200) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        lines = [json.loads(started.process.stdout.readline()) for _ in range(200)]
    assert {line["endpoint"] for line in lines} == {DECIDE}


def test_workers_without_a_parent_end_and_leave_nothing(fleet, redis, tmp_path):
    with fleet(tmp_path, shared(redis, "orphans"), "--port", str(free_port())) as started:
        started.read_ports()
        workers = started.workers()
        started.process.kill()
        started.process.wait()
        until(lambda: not any(map(alive, workers.values())))
        assert len(workers) == 2
        assert list(tmp_path.glob("sidecar-*")) == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", started.port))


def test_a_taken_port_is_told_once(fleet, redis, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with fleet(tmp_path, shared(redis, "taken"), "--port", str(port)) as started:
            assert started.process.wait(PATIENCE_S) == 1
            assert started.errors() == f"sidecar: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_two_sidecars_with_workers_do_not_share_a_port_unawares(fleet, two, redis, tmp_path):
    with fleet(tmp_path, shared(redis, "other"), "--port", str(two.port)) as second:
        assert second.process.wait(PATIENCE_S) == 1
        assert f"cannot listen on 127.0.0.1:{two.port}" in second.errors()


def test_a_configuration_that_a_worker_cannot_start_with_is_told_once(fleet, redis, tmp_path):
    config = shared(redis, "broken", access_log=str(tmp_path / "nowhere" / "access.log"))
    with fleet(tmp_path, config, "--port", "0") as started:
        assert started.process.wait(PATIENCE_S) == 1
        assert started.errors().count("telemetry.access_log: cannot write to") == 1
        assert len(started.errors().splitlines()) == 1


def test_a_drain_closes_the_port_of_all_and_the_admin_port_goes_on(fleet, redis, tmp_path):
    with fleet(tmp_path, shared(redis, "drain"), "--port", "0") as started:
        started.read_ports()
        assert started.ask("POST", "/drain_listeners?graceful")[0] == 200
        until(lambda: b"listener::" not in started.ask("GET", "/listeners")[1])
        with pytest.raises(ConnectionRefusedError):
            started.decide("late")
        assert started.ask("GET", "/ready") == (503, b"draining\n")
        assert started.ask("POST", "/quitquitquit")[0] == 200
        assert started.process.wait(PATIENCE_S) == 0


ASK = request(
    "POST", "/v1/chat/completions", "content-type: application/json", body=json.dumps(chat(stream=True)).encode()
)


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_signal_lets_streams_finish_and_a_second_one_cuts_them(fleet, redis, tmp_path, signals):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_EVENTS[1:]), END)

    async with serving(story) as provider:
        cache = {"session_cache": {"type": "redis", "url": redis.url, "key_prefix": f"stop{signals}:"}}
        with fleet(tmp_path, before(entry(provider), workers=2, routing=cache), "--port", "0") as started:
            await asyncio.to_thread(started.read_ports)
            async with connected(started.port) as client:
                await client.send(ASK)
                began = asyncio.Event()
                heard = asyncio.ensure_future(client.heard(began=began))
                await began.wait()
                for _ in range(signals):
                    started.process.terminate()
                    await asyncio.to_thread(until, lambda: "stopping" in started.errors())
                if signals == 1:
                    gate.set()
                assert (await heard).ending in (("whole",) if signals == 1 else ("cut", "reset"))
            code = await asyncio.to_thread(started.process.wait, PATIENCE_S)
        gate.set()
    assert (code, "Traceback" in started.errors()) == (signals - 1, False)


def test_a_worker_that_cannot_start_again_is_tried_until_it_can(fleet, redis, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    with fleet(tmp_path, shared(redis, "again", access_log=str(folder / "access.log")), "--port", "0") as started:
        started.read_ports()
        folder.rename(tmp_path / "moved")
        os.kill(started.workers()[2], signal.SIGKILL)
        until(lambda: "worker 2 cannot start: telemetry.access_log: cannot write to" in started.errors())
        assert started.ask("GET", "/ready") == (503, b"starting\n")
        assert {started.decide(f"alone-{n}") for n in range(10)}  # the other one serves
        (tmp_path / "moved").rename(folder)
        started.until_ready()
        assert "worker 2 serves again" in started.errors()
        started.process.terminate()
        assert started.process.wait(PATIENCE_S) == 0

"""TLS on both ports, with real certificates: who is shown what, who gets in, and how the next pair takes over."""

import asyncio
import json
import re
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop
from provider import CHAT_EVENTS, END, EVENTS_HEAD, chunk, serving
from rawclient import Client, request
from redis_servers import redis_server
from running import CONFIG, chat, serve

from sidecar import config
from sidecar.certificates import CannotLoad
from sidecar.cli import main
from sidecar.errors import ConfigError
from sidecar.server.tls import Tls

CHAT = json.dumps(chat()).encode()
KEY = "planner-key-0123456789"


class Files:
    """A folder with a pair, a configuration that names it, and those who sign."""

    def __init__(self, folder):
        self.folder = folder
        self.authority, self.clients = trustme.CA(), trustme.CA()
        self.swap()
        self.clients.cert_pem.write_to_path(folder / "clients.pem")

    def swap(self, *, key_of_another=False):
        made = self.authority.issue_cert("localhost", "127.0.0.1")
        other = self.authority.issue_cert("localhost") if key_of_another else made
        (self.folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        other.private_key_pem.write_to_path(self.folder / "tls.key")

    def write(self, more="", *, auth="none", client_ca="", text=CONFIG):
        listener = f"{{port: 0, tls: {{cert_file: tls.crt, key_file: tls.key{client_ca}}}, auth: {auth}}}"
        admin = "{port: 0, tls: {cert_file: tls.crt, key_file: tls.key}}"
        path = self.folder / "sidecar.yaml"
        path.write_text(f"{text}\nlistener: {listener}\nadmin: {admin}\nwatch_config: false\n{more}")
        return path

    def read(self):
        return config.read(self.folder / "sidecar.yaml", {}).config

    def trusting(self, client=None, **settings):
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if client is not None:
            client.configure_cert(context)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


@asynccontextmanager
async def running(files):
    async with serve(files.read(), again=files.read) as serving_now:
        yield serving_now


@asynccontextmanager
async def reached(port, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def ask(port, context, *headers, method="POST", target="/routing/v1/chat/completions", body=CHAT):
    async with reached(port, context) as client:
        await client.send(request(method, target, *headers, body=body))
        return await client.heard(method)


async def shown(port, context):
    """The serial number of the certificate that a new connection gets."""
    async with reached(port, context) as client:
        return client.writer.get_extra_info("peercert")["serialNumber"]


async def test_both_ports_speak_tls_and_nothing_else(files):
    files.write()
    async with running(files) as sidecar:
        assert (await ask(sidecar.listener[1], files.trusting())).status == 200
        ready = await ask(sidecar.admin[1], files.trusting(), method="GET", target="/ready", body=b"")
        assert (ready.status, ready.body) == (200, b"OK\n")
        for _, port in (sidecar.listener, sidecar.admin):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request("GET", "/healthz"))
            said = await reader.read(100)
            assert not said.startswith(b"HTTP/")
            writer.close()


async def test_old_versions_are_refused_and_http_1_1_is_agreed(files):
    files.write()
    context = files.trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old = files.trusting(minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with running(files) as sidecar:
        port = sidecar.listener[1]
        async with reached(port, context) as client:
            agreed = client.writer.get_extra_info("ssl_object")
            assert (agreed.selected_alpn_protocol(), agreed.version()) == ("http/1.1", "TLSv1.3")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask(port, old)
        two = files.trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        async with reached(port, two) as client:
            name, _, bits = client.writer.get_extra_info("cipher")
        assert name.startswith(("ECDHE", "DHE"))
        assert bits >= 128


def test_a_stream_passes_over_tls_on_the_other_event_loop_too(files):
    async def story():
        async with serving() as provider:

            async def slowly(call):
                await call.send(EVENTS_HEAD)
                for event in (*CHAT_EVENTS[:1] * 200, *CHAT_EVENTS[1:]):
                    await call.send(chunk(event))
                await call.send(END)

            provider.story = slowly
            files.write(text=f"model_providers: [{{model: openai/gpt, base_url: {provider.url}/v1, access_key: k}}]")
            async with running(files) as sidecar:
                body = json.dumps({**chat(), "model": "openai/gpt", "stream": True}).encode()
                said = await ask(sidecar.listener[1], files.trusting(), target="/v1/chat/completions", body=body)
                assert (said.status, said.ending, said.body.count(b"Hel")) == (200, "whole", 200)

    for factory in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(story())


async def test_another_pair_is_shown_to_new_connections_and_running_ones_keep_theirs(files):
    files.write()
    async with running(files) as sidecar:
        ports = sidecar.listener[1], sidecar.admin[1]
        before = [await shown(port, files.trusting()) for port in ports]
        async with reached(ports[0], files.trusting()) as kept:
            files.swap()
            assert (await sidecar.reloads.reload("a test")).refused is None
            after = [await shown(port, files.trusting()) for port in ports]
            assert before[0] == before[1] != after[0] == after[1]
            await kept.send(request("POST", "/routing/v1/chat/completions", body=CHAT))
            assert (await kept.heard()).status == 200


async def test_a_broken_pair_refuses_the_reload_as_a_whole(files):
    files.write()
    async with running(files) as sidecar:
        before = await shown(sidecar.listener[1], files.trusting())
        files.write(text=CONFIG.replace("  fast:", "  quick:"))
        files.swap(key_of_another=True)
        refused = (await sidecar.reloads.reload("a test")).refused
        assert "tls.key" in refused
        assert sidecar.reloads.in_force.generation == 1
        assert await shown(sidecar.listener[1], files.trusting()) == before


def test_a_broken_pair_is_a_mistake_of_the_configuration(files, capsys):
    path = files.write()
    files.swap(key_of_another=True)
    with pytest.raises(ConfigError, match=r"sidecar.yaml:\d+: .*tls.*cannot be used"):
        files.read()
    assert main(["check", str(path)]) == 78
    assert "cannot be used" in capsys.readouterr().err


def test_a_pair_that_breaks_between_the_reading_and_the_start_is_told(files):
    files.write()
    settings = files.read()
    (files.folder / "tls.key").write_text("no key")
    with pytest.raises(CannotLoad, match=r"tls\.key cannot be used"):
        Tls(settings)


CERTIFICATES = "{client_certificates: true}"
EITHER = f"{{client_certificates: true, keys: [{{name: planner, key: {KEY}}}]}}"
NAMES = ", client_ca_file: clients.pem, client_names: ['*.agents.svc', 'spiffe://c/ns/*']"


async def test_a_certificate_of_ours_with_a_name_of_ours_lets_in(files):
    files.write(auth=CERTIFICATES, client_ca=NAMES)
    good = files.trusting(files.clients.issue_cert("x.agents.svc"))
    other_name = files.trusting(files.clients.issue_cert("x.others.svc"))
    other_authority = files.trusting(trustme.CA().issue_cert("x.agents.svc"))
    async with running(files) as sidecar:
        port = sidecar.listener[1]
        assert (await ask(port, good)).status == 200
        refused = await ask(port, other_name)
        assert (refused.status, refused.json["error"]["code"]) == (401, "invalid_api_key")
        for stranger in (other_authority, files.trusting()):
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await ask(port, stranger)
        page = (await ask(sidecar.admin[1], files.trusting(), method="GET", target="/metrics", body=b"")).body.decode()
    assert 'sidecar_caller_requests_total{caller="*.agents.svc",status="2xx"} 1' in page
    assert "x.agents.svc" not in page


async def test_with_keys_too_either_is_enough(files):
    files.write(auth=EITHER, client_ca=NAMES)
    key = f"x-api-key: {KEY}"
    async with running(files) as sidecar:
        port = sidecar.listener[1]
        nobody, other = files.trusting(), files.trusting(files.clients.issue_cert("x.others.svc"))
        good = files.trusting(files.clients.issue_cert("x.agents.svc"))
        answers = [await ask(port, *each) for each in ((good,), (nobody,), (other,), (nobody, key), (other, key))]
        assert [answer.status for answer in answers] == [200, 401, 401, 200, 200]


async def test_a_certificates_name_is_the_caller_of_its_sessions(files):
    files.write("routing: {session_scope: caller}\n", auth=CERTIFICATES, client_ca=NAMES)
    one, other = (files.clients.issue_cert(f"{name}.agents.svc") for name in "ab")
    renewed = files.clients.issue_cert("a.agents.svc")
    async with running(files) as sidecar:
        found = []
        for certificate in (one, other, renewed):
            said = await ask(sidecar.listener[1], files.trusting(certificate), "x-session-id: s")
            found.append(said.one("x-sidecar-pin").partition(";")[0])
    assert found == ["miss", "miss", "hit"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_signs_clients_and_whether_they_must_show_one_is_reloaded(files, version):
    files.write(auth=CERTIFICATES, client_ca=NAMES)
    old = files.clients.issue_cert("x.agents.svc")
    async with running(files) as sidecar:
        port = sidecar.listener[1]
        assert (await ask(port, files.trusting(old, maximum_version=version))).status == 200
        files.clients = trustme.CA()
        files.clients.cert_pem.write_to_path(files.folder / "clients.pem")
        assert (await sidecar.reloads.reload("another authority")).refused is None
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ask(port, files.trusting(old, maximum_version=version))
        new = files.trusting(files.clients.issue_cert("x.agents.svc"), maximum_version=version)
        assert (await ask(port, new)).status == 200
        files.write(auth="none")
        assert (await sidecar.reloads.reload("nobody is asked")).refused is None
        assert (await ask(port, files.trusting(maximum_version=version))).status == 200
        files.write(auth=EITHER, client_ca=NAMES)
        assert (await sidecar.reloads.reload("all are asked")).refused is None
        assert (await ask(port, files.trusting(maximum_version=version))).status == 401
        assert (await ask(port, new)).status == 200


async def test_a_key_that_is_taken_away_lets_nobody_in_from_the_next_request_on(files):
    key_file = files.folder / "key"
    key_file.write_text(KEY)
    files.write(auth="{keys: [{name: planner, key_file: key}]}")
    async with running(files) as sidecar, reached(sidecar.listener[1], files.trusting()) as kept:
        await kept.send(request("POST", "/routing/v1/chat/completions", f"x-api-key: {KEY}", body=CHAT))
        assert (await kept.heard()).status == 200
        key_file.write_text("another-key-0123456789\n")
        await sidecar.reloads.reload("a test")
        await kept.send(request("POST", "/routing/v1/chat/completions", f"x-api-key: {KEY}", body=CHAT))
        assert (await kept.heard()).status == 401
        answer = await ask(sidecar.listener[1], files.trusting(), "x-api-key: another-key-0123456789")
        assert answer.status == 200


async def test_operators_call_an_admin_port_with_tls(files, capsys):
    files.write()
    files.authority.cert_pem.write_to_path(files.folder / "ca.pem")
    async with running(files) as sidecar:
        where = ["--admin", f"https://localhost:{sidecar.admin[1]}"]
        assert await asyncio.to_thread(main, ["pins", *where, "--cacert", str(files.folder / "ca.pem")]) == 0
        assert await asyncio.to_thread(main, ["pins", *where]) == 1
        assert "is not trusted" in capsys.readouterr().err
        assert await asyncio.to_thread(main, ["pins", *where, "--cacert", str(files.folder / "tls.key")]) == 1
        assert "there is no certificate in PEM in it" in capsys.readouterr().err
        plain = ["--admin", f"http://localhost:{sidecar.admin[1]}"]
        assert await asyncio.to_thread(main, ["pins", *plain]) == 1
        assert "with TLS it is https://" in capsys.readouterr().err


async def test_the_console_of_an_admin_port_with_tls_may_change_things(files):
    files.write()
    async with running(files) as sidecar:
        port = sidecar.admin[1]
        async with reached(port, files.trusting()) as client:
            head = f"POST /healthcheck/fail HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\norigin: https://127.0.0.1:{port}\r\n"
            await client.send(f"{head}content-length: 0\r\n\r\n".encode())
            assert (await client.heard()).status == 200
            foreign = head.replace("origin: https://127.0.0.1", "origin: https://evil.example")
            await client.send(f"{foreign}content-length: 0\r\n\r\n".encode())
            assert (await client.heard()).status == 403


async def test_workers_speak_tls_and_take_another_pair(files, tmp_path):
    with redis_server(tmp_path) as redis:
        cache = json.dumps({"session_cache": {"type": "redis", "url": redis.url}})
        path = files.write(f"workers: 2\nrouting: {cache}\n")
        async with program(path) as (listener, admin):
            before = {await shown(port, files.trusting()) for port in (listener, admin) * 3}
            files.swap()
            body = await ask_admin(admin, files.trusting(), "POST /reload")
            assert b'"generation":2' in body.replace(b" ", b"")
            after = {await shown(port, files.trusting()) for port in (listener, admin) * 3}
            assert len(before) == len(after) == 1
            assert before != after


async def ask_admin(port, context, what):
    async with reached(port, context) as client:
        await client.send(f"{what} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: 0\r\n\r\n".encode())
        return (await client.heard()).body


@asynccontextmanager
async def program(path):
    """The ports of `sidecar up`."""
    command = (sys.executable, "-P", "-m", "sidecar.cli", "up", str(path))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220, S603 - read in a thread; our own program
    try:
        ports = {}
        while "admin" not in ports:
            line = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 20)
            assert line, "it has ended"
            if found := re.match(r"(answers|admin) +https://127.0.0.1:(\d+)/", line):
                ports[found[1]] = int(found[2])
        yield ports["answers"], ports["admin"]
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)

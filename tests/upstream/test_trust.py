"""Whom we trust to be a provider: verified always, by the system's authorities or by those of the entry's own."""

import asyncio
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from provider import COMPLETION, answers, serving
from rawclient import connected, request
from running import serve
from upstream_calls import got, until

from sidecar import config
from sidecar.config import read_text
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider, Secret, Timeouts
from sidecar.errors import UpstreamError
from sidecar.upstream.client import cause_of, open_client
from sidecar.upstream.connection import Origin
from sidecar.upstream.refusal import Cause
from sidecar.upstream.target import ProviderKeyMissing, target_of
from sidecar.upstream.targets import Targets
from sidecar.upstream.trust import Authorities, Trust, authorities
from sidecar.wire.formats import Format


class Signed:
    """An authority, in a file."""

    def __init__(self, path):
        self.path = str(path)
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(path)

    def become(self, other):
        Path(other.path).replace(self.path)

    def certified(self, *names, **settings):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(*names).configure_cert(context)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@pytest.fixture
def signed(tmp_path):
    return Signed(tmp_path / "ca.pem")


@pytest.fixture
def other(tmp_path):
    return Signed(tmp_path / "other.pem")


def call(provider, file=None, host="localhost", *, told=None):
    origin = Origin("https", host, provider.port, authorities(file))
    return got(origin, host=told, timeouts=Timeouts(5, 5, 5))


async def asked(client, *given, **told):
    async with await client.send(call(*given, **told)) as reply:
        return await reply.read(1 << 20)


async def refused(client, *given, **told):
    with pytest.raises(UpstreamError) as failed:
        await client.send(call(*given, **told))
    return cause_of(failed.value)


async def test_a_file_of_the_entrys_own_is_trusted_instead_of_the_system(signed, other):
    def system():
        raise AssertionError("the system was asked")

    async with open_client(trust=system) as client, serving(tls=signed.certified("localhost")) as provider:
        assert await asked(client, provider, signed.path) == COMPLETION
        assert await refused(client, provider, other.path) is Cause.TLS
        assert len(provider.requests) == 1


async def test_a_file_adds_nothing_to_the_systems_trust(signed):
    def system():
        context = ssl.create_default_context()
        signed.authority.configure_trust(context)
        return context

    mine = Signed(signed.path + ".mine")
    async with open_client(trust=system) as client, serving(tls=signed.certified("localhost")) as provider:
        assert await asked(client, provider) == COMPLETION
        assert await refused(client, provider, mine.path) is Cause.TLS


async def test_connections_of_two_trusts_are_never_shared(signed, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(signed.authority.cert_pem.bytes() + trustme.CA().cert_pem.bytes())
    async with open_client() as client, serving(tls=signed.certified("localhost")) as provider:
        for file in (signed.path, str(both), signed.path, str(both)):
            assert await asked(client, provider, file) == COMPLETION
        assert provider.opened == 2
        # A connection that is kept is no way around a trust that would refuse it.
        assert await refused(client, provider) is Cause.TLS


async def test_another_content_of_a_file_is_another_trust(signed, other):
    async with open_client() as client, serving(tls=signed.certified("localhost")) as provider:
        assert await asked(client, provider, signed.path) == COMPLETION
        await until(lambda: client.connections()[("idle",)] == 1)
        signed.become(other)
        assert await refused(client, provider, signed.path) is Cause.TLS


@pytest.mark.parametrize(
    ("host", "names"), [("127.0.0.1", ["localhost"]), ("localhost", ["127.0.0.1"]), ("localhost", ["*.localhost"])]
)
async def test_the_name_in_the_url_must_be_in_the_certificate(signed, host, names):
    async with open_client() as client, serving(tls=signed.certified(*names)) as provider:
        assert await refused(client, provider, signed.path, host=host) is Cause.TLS
        assert not provider.requests


@pytest.mark.parametrize("host", ["gateway.internal", "evil.example"])
async def test_another_host_header_changes_nothing_of_what_is_verified(signed, host):
    names = []
    for certificate, works in ((["localhost"], True), ([host], False)):
        tls = signed.certified(*certificate)
        tls.sni_callback = lambda _connection, name, _context: names.append(name)
        async with open_client() as client, serving(tls=tls) as provider:
            if works:
                await asked(client, provider, signed.path, told=host)
                assert provider.last.one("host") == host
            else:
                assert await refused(client, provider, signed.path, told=host) is Cause.TLS
    assert set(names) == {"localhost"}


async def test_old_tls_and_no_tls_are_refused(signed):
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old = signed.certified(
            "localhost", minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1
        )
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with open_client() as client:
        async with serving(tls=old) as provider:
            assert await refused(client, provider, signed.path) in (Cause.TLS, Cause.CONNECT)  # it may just hang up
            assert not provider.requests
        async with serving(answers(b"plain")) as provider:
            plain = asyncio.ensure_future(refused(client, provider, signed.path))
            await until(lambda: provider.opened)
            await provider._stop()
            assert await plain in (Cause.TLS, Cause.CONNECT)
            assert not provider.requests


async def test_an_expired_certificate_is_refused(signed):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    signed.authority.issue_cert("localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(tls)
    async with open_client() as client, serving(tls=tls) as provider:
        assert await refused(client, provider, signed.path) is Cause.TLS


async def test_a_file_that_names_nobody_trusts_nobody_and_is_read_again(signed, tmp_path):
    path = tmp_path / "late.pem"
    trust = Trust(ssl.create_default_context)
    async with open_client() as client, serving(tls=signed.certified("localhost")) as provider:
        assert await refused(client, provider, str(path)) is Cause.TLS
        path.write_text("nothing of the kind")
        assert await refused(client, provider, str(path)) is Cause.TLS
        whom = Authorities(str(path), (1,))
        with pytest.raises(Exception, match="cannot be used"):
            await trust.context(whom)
        signed.authority.cert_pem.write_to_path(path)
        assert await asked(client, provider, str(path)) == COMPLETION
        assert await trust.context(whom) is await trust.context(whom)


def test_an_entrys_file_is_known_by_what_is_in_it(signed, other):
    def origin():
        provider = Provider("openai/gpt", "openai/gpt", base_url="https://localhost:1", tls_ca_file=signed.path)
        return Targets(Catalog.of(Config(providers=(provider,)))).of("openai/gpt", Format.CHAT).origin

    before = origin()
    assert before == origin() != before._replace(authorities=None)
    signed.become(other)
    assert origin() != before


# A whole sidecar


def written(provider, signed, **entry):
    told = {"model": "openai/gpt", "base_url": f"https://localhost:{provider.port}/v1", "access_key": "k", **entry}
    return json.dumps(
        {"model_providers": [{**told, "tls_ca_file": signed.path}], "listener": {"port": 0}, "admin": {"port": 0}}
    )


CHAT = json.dumps({"model": "openai/gpt", "messages": [{"role": "user", "content": "x"}]}).encode()


async def ask(port, *headers, target="/v1/chat/completions"):
    async with connected(port) as client:
        await client.send(request("POST", target, *headers, body=CHAT))
        return await client.heard()


async def test_no_proxy_of_the_environment_is_asked(signed, monkeypatch):
    async with serving() as proxy, serving(tls=signed.certified("localhost")) as provider:
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with serve(read_text(written(provider, signed), "test.yaml", {}).config) as sidecar:
            assert (await ask(sidecar.listener[1])).status == 200
        assert (proxy.opened, len(provider.requests)) == (0, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(signed, status):
    async with serving() as elsewhere, serving(tls=signed.certified("localhost")) as provider:
        provider.story = answers(b"", f"location: {elsewhere.url}/v1/chat/completions", status=status, reason="There")
        async with serve(read_text(written(provider, signed), "test.yaml", {}).config) as sidecar:
            for target in ("/v1/chat/completions", "/v1/embeddings", "/v1/messages"):
                await ask(sidecar.listener[1], target=target)
        assert (elsewhere.opened, len(provider.requests)) == (0, 3)


async def test_another_key_in_a_file_is_sent_from_the_next_request_on_and_running_ones_keep_theirs(signed, tmp_path):
    key, path, gate = tmp_path / "key", tmp_path / "sidecar.json", asyncio.Event()
    key.write_text("the-old-key\n")

    async def waits(call):
        if len(provider.requests) == 1:
            await gate.wait()
        await answers(COMPLETION)(call)

    async with serving(waits, tls=signed.certified("localhost")) as provider:
        path.write_text(written(provider, signed, access_key=None, access_key_file=str(key)))
        async with serve(config.read(path, {}).config, again=lambda: config.read(path, {}).config) as sidecar:
            running = asyncio.ensure_future(ask(sidecar.listener[1]))
            await until(lambda: provider.requests)
            key.write_text("the-new-key\n")
            assert (await sidecar.reloads.reload("a test")).refused is None
            assert (await ask(sidecar.listener[1])).status == 200
            gate.set()
            assert (await running).status == 200
            sent = [asked.one("authorization") for asked in provider.requests]
            assert sent == ["Bearer the-old-key", "Bearer the-new-key"]
            Signed(signed.path)
            assert (await sidecar.reloads.reload("another authority")).refused is None
            assert (await ask(sidecar.listener[1])).status == 502
            (tmp_path / "ca.pem").write_text("broken")
            assert "tls_ca_file names" in (await sidecar.reloads.reload("no authority")).refused


def test_a_key_that_waits_for_its_file_is_told_as_what_it_is():
    entry = Provider(
        "openai/gpt", "gpt", access_key=Secret(None, file="/etc/keys/gpt"), missing=("the file /etc/keys/gpt",)
    )
    with pytest.raises(ProviderKeyMissing) as failed:
        target_of(entry, "openai/gpt", Format.CHAT)
    assert str(failed.value) == "gpt cannot be called: it needs its access_key_file, which cannot be read"
    entry = Provider("openai/gpt", "gpt", access_key=entry.access_key, missing=("HOST", "the file /etc/keys/gpt"))
    with pytest.raises(ProviderKeyMissing, match="the environment variable HOST, not set and its access_key_file"):
        target_of(entry, "openai/gpt", Format.CHAT)
    passing = Provider(
        "openai/gpt", "gpt", access_key=entry.access_key, passthrough_auth=True, missing=("the file /etc/keys/gpt",)
    )
    assert target_of(passing, "openai/gpt", Format.CHAT).passthrough_auth

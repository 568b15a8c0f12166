"""A Redis by its URL: what URLs mean, and that each kind of server is reached, checked and followed."""

import asyncio
import contextlib

import pytest
from redis_servers import cluster, redis_server, sentinels, tls_server

from sidecar.config.models import Secret
from sidecar.errors import ConfigError
from sidecar.routing.decision import Pin, Reason
from sidecar.routing.session import SessionKey
from sidecar.stores import StoreDown
from sidecar.stores.connect import place_of
from sidecar.stores.redis import RedisStore

A = SessionKey("a")
PIN = Pin(("openai/gpt-4o",), "code", Reason.ROUTED, 0.0)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache", "redis at cache:6379"),
        ("redis://cache:7000/3", "redis at cache:7000, database 3"),
        ("redis://[::1]:7000/0", "redis at ::1:7000"),
        ("rediss://me:secret@cache:7000", "redis at cache:7000, TLS"),
        ("redis://:s%40cret@cache", "redis at cache:6379"),
        ("unix:///run/redis%20a.sock?db=2", "redis at /run/redis a.sock, database 2"),
        ("redis+sentinel://a,b:1/main/1", "redis at main of the sentinels a:26379, b:1, database 1"),
        ("rediss+cluster://u:secret@a:1,b:2/0", "redis cluster at a:1, b:2, TLS"),
    ],
)
def test_a_url_says_where_and_is_shown_without_its_secrets(url, shown):
    assert str(place_of(url)) == shown


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("http://secret@cache", "must begin with redis://"),
        ("cache:6379", "must begin with redis://"),
        ("redis://", "must name host:port"),
        ("redis://:secret@cache:99999", "must name host:port"),
        ("redis://secret:secret@cache:0", "must name host:port"),
        ("redis://[secret", "cannot be read"),
        ("redis://a,b", "names several servers"),
        ("redis://a/secret", "a database that is no number"),
        ("unix://", "names no socket"),
        ("redis+sentinel://a:1", "must end in /SERVICE"),
        ("redis+sentinel://a:1/main/0/secret", "must end in /SERVICE"),
        ("redis+cluster://a/1", "names a database"),
    ],
)
def test_a_url_that_is_none_of_ours_is_refused_and_not_repeated(url, wrong):
    with pytest.raises(ConfigError, match=wrong) as raised:
        place_of(url)
    assert "secret" not in str(raised.value)


def test_files_that_tls_needs_are_read_at_once(reach, tmp_path):
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for files in ({"tls_ca_file": "/nowhere.pem"}, {"tls_cert_file": str(rubbish), "tls_key_file": str(rubbish)}):
        with pytest.raises(ConfigError, match=next(iter(files.values()))):
            reach("rediss://cache", **files)


async def works(client, prefix):
    store = RedisStore(client, ttl_s=10, key_prefix=prefix)
    keys = [SessionKey(f"{{{n}}}") for n in range(40)]
    await asyncio.gather(*(store.claim(key, PIN) for key in keys))
    assert {key async for key, _ in store.scan()} == set(keys)
    assert await store.count() == 40
    assert await store.epoch() == await store.epoch() != ""
    return store


async def test_a_socket_file_and_a_database_of_its_own(reach, prefix, tmp_path):
    socket = tmp_path / "socket"
    with redis_server(tmp_path / "redis", "--unixsocket", str(socket)) as server:
        await works(reach(f"unix://{socket}?db=3"), prefix)
        assert "db3:keys=41" in server.cli("INFO", "keyspace")
        assert await works(reach(server.url), prefix)


@pytest.mark.parametrize("user", [None, "me"])
async def test_a_password_by_itself_or_with_a_user_in_the_url_or_beside_it(reach, prefix, tmp_path, user):
    with redis_server(tmp_path, "--requirepass", "s3cret/@", password="s3cret/@") as server:
        if user:
            server.cli("ACL", "SETUSER", user, "on", ">s3cret/@", "~*", "+@all")
        await works(reach(server.url, username=Secret(user), password=Secret("s3cret/@")), prefix)
        url = f"redis://{user or ''}:s3cret%2F%40@127.0.0.1:{server.port}"
        await works(reach(url), prefix + "again:")


async def test_a_wrong_password_is_said_and_never_shown(reach, tmp_path):
    with redis_server(tmp_path, "--requirepass", "right", password="right") as server:
        wrong = reach(f"redis://someone:wr0ng@127.0.0.1:{server.port}")
        well, line = await RedisStore(wrong, ttl_s=10).describe()
        assert not well
        assert "AuthenticationError" in line
        for text in (line, repr(wrong), repr(wrong.client), str(wrong.client)):
            assert "wr0ng" not in text


async def test_tls_checks_the_server_and_shows_our_certificate(reach, prefix, tmp_path):
    with tls_server(tmp_path) as tls:
        files = {"tls_cert_file": str(tls.cert), "tls_key_file": str(tls.key)}
        await works(reach(tls.url, tls_ca_file=str(tls.ca), **files), prefix)
        for refused, why in (
            (reach(tls.url, **files), "CERTIFICATE_VERIFY_FAILED"),
            (reach(tls.url.replace("127.0.0.1", "localhost"), tls_ca_file=str(tls.ca), **files), "Hostname mismatch"),
        ):
            with pytest.raises(StoreDown, match=why):
                await refused.ask("PING")
        with pytest.raises(StoreDown):
            await reach(tls.url, tls_ca_file=str(tls.ca)).ask("PING")


async def test_after_a_failover_the_new_master_is_asked_and_has_the_pins(reach, prefix, tmp_path):
    with sentinels(tmp_path) as watched:
        store = await works(reach(watched.url, command_timeout_s=1.0), prefix)
        before = watched.master()
        assert (await store.claim(A, PIN)).turns == 1
        await store._redis.ask("WAIT", 1, 5000, within_s=6)
        before.kill()
        held = await eventually(store.get(A) for _ in range(200))
        assert held.pin == PIN
        await asyncio.to_thread(watched.until_moved, before)


async def eventually(tries):
    for each in tries:
        with contextlib.suppress(StoreDown):
            return await each
        await asyncio.sleep(0.05)
    raise AssertionError("never answered")


async def test_a_cluster_keeps_each_session_on_one_of_its_masters_and_a_loss_of_one_is_another_epoch(
    reach, prefix, tmp_path
):
    with cluster(tmp_path) as shared:
        store = await works(reach(shared.url), prefix)
        assert all(int(node.cli("DBSIZE")) > 5 for node in shared.nodes)
        assert (await store.move(A, PIN)).was is None
        assert await store.delete(A)
        epoch = await store.epoch()
        shared.nodes[0].cli("FLUSHALL")
        assert 0 < await store.count() < 40
        assert await store.epoch() != epoch

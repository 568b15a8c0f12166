"""Certificates that change under a running injector."""

import asyncio
import logging
import os

import pytest

from sidecar.certificates import CannotLoad, Pair
from sidecar.injector.certificates import Certificates
from sidecar.injector.tallies import Tallies


@pytest.fixture
def mounted(write_pair, tmp_path):
    """A folder as the kubelet mounts a Secret: the files are links through `..data`, which is moved."""

    class Mounted:
        def __init__(self):
            self.round = 0
            self.swap()
            for name in ("tls.crt", "tls.key"):
                (tmp_path / name).symlink_to(f"..data/{name}")

        def swap(self, spoil=None):
            self.round += 1
            fresh = tmp_path / f"..{self.round}"
            fresh.mkdir()
            write_pair(fresh)
            if spoil:
                spoil(fresh)
            (tmp_path / "..data_tmp").symlink_to(fresh.name)
            (tmp_path / "..data_tmp").rename(tmp_path / "..data")

        folder = tmp_path

    return Mounted()


def pair(folder):
    return Pair(folder / "tls.crt", folder / "tls.key")


async def shown(port, trusting):
    """The certificate that a new connection gets, and the connection's streams."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="127.0.0.1")
    return writer.get_extra_info("ssl_object").getpeercert(binary_form=True), reader, writer


async def ask_ready(reader, writer):
    """One request on a connection: the status line of its answer."""
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
    return await reader.readline()


async def until(condition):
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


def changed(running, trusting, old):
    async def looked():
        new, _, other = await shown(running.port, trusting)
        other.close()
        return new != old

    return looked


async def test_new_connections_get_the_new_certificate_and_running_ones_go_on(injector, mounted, trusting):
    running = await injector(mounted.folder, watch_interval_s=0.02)
    old, reader, writer = await shown(running.port, trusting)
    mounted.swap()
    await until(changed(running, trusting, old))
    assert (await ask_ready(reader, writer)).startswith(b"HTTP/1.1 404")
    writer.close()
    found = await running.metrics()
    assert found['sidecar_injector_certificate_loads_total{outcome="loaded"}'] == 2


def spoilt_key(folder):
    (folder / "tls.key").write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")


def other_key(folder):
    key = (folder.parent / "..1" / "tls.key").read_bytes()
    (folder / "tls.key").write_bytes(key)


def no_key(folder):
    (folder / "tls.key").unlink()


@pytest.mark.parametrize("spoil", [spoilt_key, other_key, no_key])
async def test_a_broken_pair_is_refused_once_and_the_old_one_stays(injector, mounted, trusting, caplog, spoil):
    running = await injector(mounted.folder, watch_interval_s=0.01)
    old, _, writer = await shown(running.port, trusting)
    writer.close()
    with caplog.at_level(logging.INFO, "sidecar.injector"):
        mounted.swap(spoil)

        async def refused():
            return (await running.metrics())['sidecar_injector_certificate_loads_total{outcome="refused"}'] > 0

        await until(refused)
        await asyncio.sleep(0.05)  # some looks later
        still, _, writer = await shown(running.port, trusting)
        writer.close()
        assert still == old
        assert [record.message.count("the old certificate stays") for record in caplog.records] == [1]
        assert "PRIVATE KEY" not in caplog.text
        mounted.swap()
        await until(changed(running, trusting, old))


def test_nothing_is_loaded_while_the_files_are_the_same(mounted):
    tallies = Tallies()
    certificates = Certificates(pair(mounted.folder), tallies)
    for _ in range(3):
        certificates.look()
    assert tallies.registry.get_sample_value("sidecar_injector_certificate_loads_total", {"outcome": "loaded"}) == 1


def test_a_file_that_is_written_in_its_place_is_seen(write_pair, tmp_path):
    write_pair(tmp_path)
    tallies = Tallies()
    certificates = Certificates(pair(tmp_path), tallies)
    write_pair(tmp_path)
    os.utime(tmp_path / "tls.crt", ns=(1, 1))
    certificates.look()
    assert tallies.registry.get_sample_value("sidecar_injector_certificate_loads_total", {"outcome": "loaded"}) == 2


@pytest.mark.parametrize("spoil", [spoilt_key, no_key])
def test_without_a_pair_to_begin_with_it_does_not_start(write_pair, tmp_path, spoil):
    write_pair(tmp_path)
    spoil(tmp_path)
    with pytest.raises(CannotLoad, match=r"tls\.key cannot be used"):
        Certificates(pair(tmp_path), Tallies())


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(write_pair, encrypted, tmp_path):
    write_pair(tmp_path)
    (tmp_path / "tls.key").write_bytes(encrypted((tmp_path / "tls.key").read_bytes()))
    with pytest.raises(CannotLoad, match="the key is encrypted"):
        Certificates(pair(tmp_path), Tallies())

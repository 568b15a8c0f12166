"""Bodies as clients may pack them: unpacked within the limit, or refused."""

import gzip
import json
import sys
import time
import zlib

import pytest
from rawclient import connected, request
from running import CONFIG, chat

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GOOD = json.dumps(chat()).encode()
SMALL = f"listener: {{max_body_bytes: 2000}}\n{CONFIG}"
TARGET = "/routing/v1/chat/completions"


async def status_of(sidecar, body, *encodings):
    """(status, code) of the answer."""
    async with connected(sidecar.port) as client:
        await client.send(request("POST", TARGET, *(f"content-encoding: {one}" for one in encodings), body=body))
        answer = await client.heard()
        return answer.status, answer.json.get("error", {}).get("code")


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("zstd", zstd.compress), ("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
async def test_a_packed_body_is_unpacked(start, encoding, pack):
    sidecar = await start()
    assert await status_of(sidecar, pack(GOOD), encoding) == (200, None)
    assert await status_of(sidecar, pack(GOOD)[:-3], encoding) == (400, "invalid_request")
    assert await status_of(sidecar, pack(GOOD) + b"rest", encoding) == (400, "invalid_request")
    assert await status_of(sidecar, GOOD, encoding) == (400, "invalid_request")


@pytest.mark.parametrize(("encoding", "pack"), [("zstd", zstd.compress), ("gzip", gzip.compress)])
async def test_a_body_packed_in_several_parts_is_whole(start, encoding, pack):
    """RFC 8878, 3.1: frames; RFC 1952, 2.2: members. Both may follow each other."""
    sidecar = await start()
    assert await status_of(sidecar, pack(GOOD[:10]) + pack(b"") + pack(GOOD[10:]), encoding) == (200, None)
    assert await status_of(sidecar, pack(b"") * 100 + pack(GOOD), encoding) == (400, "invalid_request")


@pytest.mark.parametrize(("encoding", "pack"), [("zstd", zstd.compress), ("gzip", gzip.compress)])
async def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(start, encoding, pack):
    sidecar = await start(SMALL)
    bomb = pack(b" " * 1_000_000)
    assert len(bomb) < 2000
    assert await status_of(sidecar, bomb, encoding) == (413, "body_too_large")
    half = pack(b" " * 1500)
    assert await status_of(sidecar, half + half, encoding) == (413, "body_too_large")


async def test_a_zstd_window_over_what_rfc_9659_allows_is_refused(start):
    sidecar = await start()
    options = {zstd.CompressionParameter.window_log: 24}
    machine = zstd.ZstdCompressor(options=options)
    wide = machine.compress(GOOD) + machine.flush()  # of unknown size, so that the window is not cut down to it
    assert await status_of(sidecar, wide, "zstd") == (400, "invalid_request")


@pytest.mark.parametrize("encodings", [("br",), ("gzip, zstd",), ("gzip", "zstd")])
async def test_an_encoding_we_cannot_read_is_refused(start, encodings):
    assert await status_of(await start(), GOOD, *encodings) == (415, "unsupported_encoding")


async def test_unpacking_is_our_own_time_and_not_the_clients(start):
    sidecar = await start()
    packed = gzip.compress(bytes(20_000_000))
    began = time.perf_counter()
    gzip.decompress(packed)
    takes_s = time.perf_counter() - began
    assert await status_of(sidecar, packed, "gzip") == (400, "invalid_json")
    assert await sidecar.total("sidecar_added_latency_seconds_sum") > takes_s / 4

"""Very many connections: those that wait for their next request, and those whose streams are open."""

import asyncio
import time
from contextlib import AsyncExitStack

from rawclient import connected, request

from . import places
from .formats import CHAT
from .judging import OK, outcome
from .stage import REASONING, Seen, allow_descriptors, calling, deciding, patiently, percentile, staged, together
from .watching import descriptors, resident_bytes
from .wishes import Wish

AT_ONCE = 100
"""So many connections are opened at the same time."""
ASKED = 300


async def idle_connections(folder, *, brief):
    """Connections that were used once and are kept: little memory each, and the others are as fast as before."""
    count = 300 if brief else 5000
    allow_descriptors()
    async with staged(folder) as stage, AsyncExitStack() as stack:
        pid = stage.sidecar.pid
        await _decided(stage)  # what is made once is made
        before_ms, before = await _decided(stage), (resident_bytes(pid), descriptors(pid))
        crowd = []
        for _ in range(0, count, AT_ONCE):
            crowd += await together(AT_ONCE, lambda _: _kept(stack, stage.sidecar.port))
        each = (resident_bytes(pid) - before[0]) / len(crowd)
        while_ms = await _decided(stage)
        again = await asyncio.gather(*(_asked(client) for client in crowd))
        await stack.aclose()
        await places.until(lambda: descriptors(pid) <= before[1] + 2, "the descriptors are back")
        after = resident_bytes(pid)
    held = {
        "all of them are answered again": again == [200] * count,
        "less than 16 KB each": each < 16_000,
        "the others are as fast as before, or twice as slow": percentile(while_ms, 0.5)
        < 2 * percentile(before_ms, 0.5) + 1,
    }
    facts = {"connections": count, "bytes_each": round(each), "MB_before": before[0] / 1e6, "MB_after": after / 1e6}
    speed = {
        f"p50_ms_{name}": round(percentile(ms, 0.5), 2) for name, ms in (("before", before_ms), ("while", while_ms))
    }
    return Seen(held, {**facts, **speed, "p99_ms_while": round(percentile(while_ms, 0.99), 2)})


async def _kept(stack, port):
    client = await stack.enter_async_context(connected(port))
    assert await _asked(client) == 200
    return client


async def _asked(client):
    await client.send(request("GET", "/healthz"))
    return (await client.heard("GET")).status


async def _decided(stage):
    """Milliseconds of decisions, one after the other on one connection."""
    taken = []
    async with connected(stage.sidecar.port) as client:
        for _ in range(ASKED):
            began = time.perf_counter()
            await client.send(deciding("speed"))
            assert (await client.heard()).status == 200
            taken.append((time.perf_counter() - began) * 1000)
    return taken


async def open_streams(folder, *, brief):
    """Streams that are all open at once: little memory each, and all of them end whole, each with its own text."""
    count = 100 if brief else 1000
    allow_descriptors()
    async with staged(folder) as stage:
        pid = stage.sidecar.pid
        await stage.call(stream=True)
        before, most = resident_bytes(pid), 0
        streams = asyncio.ensure_future(together(count, lambda number: _streamed(stage, number, brief=brief)))
        open_at_once = 0
        while not streams.done():
            most = max(most, resident_bytes(pid))
            open_at_once = max(open_at_once, descriptors(pid))
            await asyncio.sleep(0.1)
        found = await streams
        flaws = stage.sidecar.flaws()
    each = (most - before) / count
    held = {
        "all end whole, each with its own text": found == [OK] * count,
        "they were open at once": open_at_once > 1.9 * count,
        "less than 64 KB each": each < 64_000,
        "no traceback": not flaws,
    }
    odd = [said for said in found if said != OK]
    return Seen(held, {"streams": count, "bytes_each": round(each), "descriptors": open_at_once, "odd": odd[:3]})


async def _streamed(stage, number, *, brief):
    """Some seconds of pieces."""
    wish = Wish(f"stream-{number}", f"s-{number}", pieces=10, pace_ms=100 if brief else 500)
    async with connected(stage.sidecar.port) as client:
        await client.send(calling(wish, REASONING, stream=True))
        return outcome(wish, CHAT, stream=True, heard=await patiently(client))[0]

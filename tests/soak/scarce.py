"""What runs out or jumps: disk, descriptors, clocks."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from rawclient import connected, request

from . import places
from .stage import REASONING, Seen, deciding, staged, together
from .watching import descriptors

DISK_BYTES = 4 * 1024 * 1024
FEW_LINES = 30
"""More in the log for one trouble is a flood."""
DAY_S = 86_400
FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)
"""Debian: apt-get install libfaketime."""


@contextmanager
def small_disk(folder):
    """A disk of a few megabytes; None where none may be mounted."""
    folder.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    mounted = subprocess.run(asked, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own words
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)  # noqa: S603, S607


async def disk_full(folder, *, brief):
    """No room for the snapshot and the access log: requests do not notice, and it writes again when there is room."""
    with small_disk(folder / "disk") as disk:
        if disk is None:
            return Seen({}, missing="a tmpfs cannot be mounted: not root, or not allowed")
        cache = {"session_cache": {"snapshot": str(disk / "pins"), "snapshot_interval": "200ms"}}
        log = disk / "access.log"
        async with staged(folder, routing=cache, telemetry={"access_log": str(log)}) as stage:
            await stage.models(["before"])
            await places.until((disk / "pins").exists, "a snapshot")
            with suppress(OSError):
                (disk / "filler").write_bytes(b"x" * 2 * DISK_BYTES)
            lines = stage.logged()
            models = await stage.models([f"full-{n}" for n in range(40 if brief else 1000)])
            await asyncio.sleep(0.6 if brief else 5)
            noticed = stage.logged() - lines
            ready = (await stage.sidecar.ask("/ready"))[0]
            (disk / "filler").unlink()
            size, written = log.stat().st_size, (disk / "pins").stat().st_mtime_ns
            await stage.models(["after"])
            await places.until(lambda: (disk / "pins").stat().st_mtime_ns > written, "a snapshot again")
            await places.until(lambda: log.stat().st_size > size, "a line in the access log again")
            same = await stage.models(models, REASONING) == models
            dropped = await stage.metric("sidecar_telemetry_dropped_total")
            code = await stage.sidecar.process.end()
            kept = len(log.read_text().splitlines())
            flaws = [line for line in stage.sidecar.flaws() if "ERROR" not in line]
    held = {
        "it stays ready": ready == 200,
        "sessions keep their model": same,
        "lines that found no room are written later, or counted": kept + dropped == 2 * len(models) + 2,
        f"the log says so, in no more than {FEW_LINES} lines": 0 < noticed <= FEW_LINES,
        "it ends in good order, without a traceback": code == 0 and not flaws,
    }
    return Seen(held, {"sessions": len(models), "lines dropped": dropped, "lines in the log": noticed})


async def descriptors_gone(folder, *, brief):
    """New connections find no descriptor: those that are there go on, and it is well again when some are free."""
    async with staged(folder) as stage:
        pid = stage.sidecar.pid
        await stage.call()  # leaves a connection to the provider
        async with connected(stage.sidecar.port) as kept:
            await kept.send(deciding("kept"))
            assert (await kept.heard()).status == 200
            normal = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(pid) + 5, normal[1]))
            lines = stage.logged()
            crowd = await together(50, lambda _: _knocks(stage.sidecar.port))
            cpu = _cpu_s(pid)
            answered = []
            for _ in range(20):
                await kept.send(deciding("kept"))
                answered.append((await kept.heard()).status)
                await asyncio.sleep(0.05 if brief else 0.25)
            cpu = _cpu_s(pid) - cpu
            noticed = stage.logged() - lines
            fates = Counter([await _fate(reader) for reader, _ in crowd])
            for _, writer in crowd:
                writer.close()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, normal)
            again = time.monotonic()
            await places.until(lambda: _answers(stage.sidecar.port), "new connections")
            back_s = time.monotonic() - again
        flaws = stage.sidecar.flaws()
    held = {
        "the connection that is there goes on": answered == [200] * len(answered),
        "it answers new ones within seconds when there is room": back_s < 5,
        f"the log is not flooded: no more than {FEW_LINES} lines": noticed <= FEW_LINES,
        "no traceback": not [line for line in flaws if "Traceback" in line],
    }
    return Seen(
        held,
        {
            "lines in the log": noticed,
            "new ones": dict(fates),
            "back_s": round(back_s, 2),
            "cpu_s": round(cpu, 2),
        },
    )


async def _knocks(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("GET", "/healthz"))
    return reader, writer


async def _fate(reader):
    """What a client saw that came when there was no descriptor for it."""
    try:
        async with asyncio.timeout(0.01):
            return "answered" if await reader.read(1) else "closed"
    except TimeoutError:
        return "waits"
    except OSError:
        return "reset"


async def _answers(port):
    with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
        async with connected(port) as client:
            await client.send(request("GET", "/healthz"))
            return (await client.heard("GET")).status == 200
    return False


def _cpu_s(pid):
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def clock_jumps(folder, *, brief):
    """The wall clock goes forth and back by a day: pins, which live by the other clock, do not notice."""
    library = next(filter(os.path.exists, FAKETIME), None)
    if library is None:
        return Seen({}, missing="no libfaketime (Debian: apt-get install libfaketime)")
    clock = folder / "clock"
    clock.write_text("+0")
    environ = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
    environ |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    cache = {"session_cache": {"snapshot": str(folder / "pins"), "snapshot_interval": "200ms"}}
    async with staged(folder, environ=environ, routing=cache) as stage:
        sessions = [f"s{n}" for n in range(20)]
        models, same, well, told = await stage.models(sessions), True, [], []
        for jump_s in (DAY_S, -DAY_S, 0) * (1 if brief else 5):
            clock.write_text(f"{jump_s:+d}")
            same = same and await stage.models(sessions, REASONING) == models
            well.append((await stage.call(stream=True))[0])
            told.append(await _written_after(folder / "access.log"))
            await asyncio.sleep(0.3)
        code = await stage.sidecar.process.end(signal.SIGTERM)
        await stage.sidecar.start()
        kept = await stage.models(sessions, REASONING) == models
        flaws = stage.sidecar.flaws()
    held = {
        "sessions keep their model through every jump": same,
        "answers come whole": all(said == "whole" for said in well),
        "the clock that was seen did jump": max(told) - min(told) > DAY_S,
        "what was written down is known after a restart, the clock being right": kept and code == 0,
        "no traceback": not flaws,
    }
    return Seen(held, {"jumps": len(well)})


async def _written_after(log):
    """What the access log's last line says of its time, as Unix time."""
    await asyncio.sleep(0.3)
    said = json.loads(log.read_text().splitlines()[-1])
    stamp = next(value for value in said.values() if isinstance(value, str) and value[:2] == "20" and "T" in value)
    return datetime.fromisoformat(stamp).timestamp()

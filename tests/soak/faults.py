"""The faults by name, and the command that tries them."""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from attrs import asdict

from .crowds import idle_connections, open_streams
from .killed import provider_killed, redis_killed, sidecar_killed
from .scarce import clock_jumps, descriptors_gone, disk_full
from .stage import Seen

FAULTS = {
    each.__name__: each
    for each in (
        provider_killed, redis_killed, sidecar_killed, clock_jumps, disk_full, descriptors_gone, idle_connections, open_streams,
    )
}  # fmt: skip
LONGEST_S = 300.0


async def tried(name, folder, *, brief=False):
    """A Seen. What takes longer than it may, or breaks, is a Seen too."""
    try:
        async with asyncio.timeout(LONGEST_S):
            return await FAULTS[name](folder, brief=brief)
    except TimeoutError:
        return Seen({f"over within {LONGEST_S:g} s": False})
    except (AssertionError, OSError) as exc:
        return Seen({f"nothing breaks: {repr(exc)[-500:]}": False})


def lines(name, seen, took_s):
    yield f"{name} ({took_s:.1f} s)" + (f": not tried, {seen.missing}" if seen.missing else "")
    yield from (f"  {'holds' if held else 'FAILS':8} {what}" for what, held in seen.held.items())
    if seen.facts:
        yield "  " + ", ".join(f"{name} {value}" for name, value in seen.facts.items())


def main(names, report=None):
    """The exit code."""
    if names == ["list"]:
        print("\n".join(f"{name:20} {fault.__doc__.splitlines()[0]}" for name, fault in FAULTS.items()))
        return 0
    chosen = list(FAULTS) if names == ["all"] else names
    if unknown := [name for name in chosen if name not in FAULTS]:
        print(f"no such fault: {', '.join(unknown)}", file=sys.stderr)
        return 2
    said, found = [], {}
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="fault-") as folder:
            began = time.monotonic()
            found[name] = asyncio.run(tried(name, Path(folder)))
        said += lines(name, found[name], time.monotonic() - began)
        print("\n".join(lines(name, found[name], time.monotonic() - began)), flush=True)
    if report:
        Path(report).write_text("\n".join(said) + "\n")
        Path(f"{report}.json").write_text(json.dumps({name: asdict(seen) for name, seen in found.items()}, indent=1))
    return 0 if all(all(seen.held.values()) for seen in found.values()) else 1

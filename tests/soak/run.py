"""
Mixed traffic with trouble all the while, for so many minutes, and whether everything held: one command.

    python tests/soak/run.py                         ten minutes, pins in memory
    python tests/soak/run.py --minutes 3 --redis     pins in a Redis that is killed again and again
    python tests/soak/run.py --rate 300              requests per second; without it as fast as they are answered
    python tests/soak/run.py --report FILE           the report there too, and FILE.json with all figures
    python tests/soak/run.py --fault NAME …          these faults instead; `--fault all` for all, `--fault list` names them

Everything is on the loopback, ends when the time is over, and is ended by its process id. The exit code is 1 when something
did not hold.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from attrs import asdict

from soak import faults, filling, places, verdict
from soak.trouble import Trouble
from soak.watching import Watch, descriptors

HERE = Path(__file__).parent
QUIET_S = 0.5
MOST_MINUTES = 60


async def soak(wanted, folder):
    """All that was found, as JSON."""
    async with AsyncExitStack() as stack:
        ports, doubles = await places.providers(stack, folder)
        everybody = {**ports, places.DEAD: places.free_port()}
        redis = places.redis(stack, folder) if wanted.redis else None
        sidecar = places.Sidecar(folder, stack)
        trouble = Trouble(sidecar, everybody, redis, fills=wanted.minutes > verdict.SHORTEST_MINUTES)
        sidecar.write(trouble.text())
        await sidecar.start()
        before = await _state(sidecar)
        if trouble.fills:
            await filling.fill(sidecar)
        watch = Watch(sidecar)
        told = await _loaded(wanted, folder, ports, sidecar, trouble, watch)
        told["provider"] = await places.told(ports["openai/alpha"])
        told["before"], told["after"] = before, await _settled(sidecar, doubles, before)
        told["exit_code"] = await sidecar.process.end()
        told["log"] = sidecar.flaws()
        return {**told, "store": "redis" if redis else "memory", "machine": machine(), "memory": grown(watch)}


async def _loaded(wanted, folder, ports, sidecar, trouble, watch):
    """The traffic, with everything that goes on beside it."""
    seconds = wanted.minutes * 60
    meanwhile = [asyncio.create_task(each) for each in (watch.go_on(), *_meanwhile(wanted, seconds, trouble))]
    began = time.monotonic()
    try:
        await asyncio.gather(
            _clients(wanted, folder, sidecar.port, seconds),
            _program(
                "probe.py", sidecar.port, ports["openai/gamma"], "--seconds", seconds, "--report", folder / "probe.json"
            ),
        )
    finally:
        async with trouble.changing:  # one that takes over is let take over
            for task in meanwhile:
                task.cancel()
        ended = await asyncio.gather(*meanwhile, return_exceptions=True)
    trouble.wrong += [repr(each) for each in ended if not isinstance(each, asyncio.CancelledError | None)]
    return _counted(folder, trouble, time.monotonic() - began)


def _meanwhile(wanted, seconds, trouble):
    yield trouble.reload(wanted.reload_s)
    yield trouble.scrape()
    yield trouble.rotate()
    if trouble.redis is not None:
        yield trouble.kill_redis(min(10.0, seconds / 4))
    yield trouble.take_over([seconds * share for share in wanted.take_over])


async def _clients(wanted, folder, port, seconds):
    more = ("--brief",) if wanted.brief else ()
    asked = (
        "--seconds",
        seconds,
        "--clients",
        wanted.clients,
        "--rate",
        wanted.rate,
        "--report",
        folder / "traffic.json",
    )
    await _program("traffic.py", port, *asked, *more)


async def _program(name, *arguments):
    process = await asyncio.create_subprocess_exec(sys.executable, str(HERE / name), *map(str, arguments))
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert code == 0, f"{name} ended with {code}"


def _counted(folder, trouble, seconds):
    traffic = json.loads((folder / "traffic.json").read_text())
    latency = json.loads((folder / "probe.json").read_text())
    requests = sum(traffic["outcomes"].values())
    told = {name: traffic[name] for name in ("sessions", "outcomes", "changes", "wrong")}
    if latency["failed"]:
        told["wrong"].append({"said": f"{latency['failed']} of the probe's calls had no answer"})
    did = {"did": dict(trouble.did), "wrong": trouble.wrong}
    return {
        **told,
        "seconds": seconds,
        "requests": requests,
        "per_second": requests / seconds,
        "latency": latency,
        "trouble": did,
    }


async def _state(sidecar):
    await asyncio.sleep(QUIET_S)
    return {"descriptors": descriptors(sidecar.pid), **await sidecar.counts()}


async def _settled(sidecar, doubles, before):
    """When nobody asks any more, and the providers have closed the connections that were kept for the next request."""
    await doubles.end()
    end = time.monotonic() + 10
    while True:
        state = await _state(sidecar)
        if time.monotonic() > end or (
            state["descriptors"] <= before["descriptors"] and state["tasks"] <= before["tasks"]
        ):
            return state


def grown(watch):
    samples = watch.longest
    return {
        "processes": [_shown(growth) for growth in watch.grown(filling.STEADY_S)],
        "samples": [
            (round(s.at_s, 1), s.resident_bytes, s.descriptors, s.blocks)
            for s in samples[:: max(1, len(samples) // 300)]
        ],
    }


def _shown(growth):
    found = asdict(growth)
    resident = found.pop("resident_bytes")
    kilo = {name: value if name == "minutes" else value / 1000 for name, value in resident.items()}
    return {**found, "resident_kb": kilo}


def machine():
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end; Python {sys.version.split()[0]}"


def shown(found, target):
    """Prints the report; gives whether all held."""
    made = list(verdict.checks(found))
    lines = list(verdict.report(found, made))
    print("\n".join(lines))
    if target:
        Path(target).write_text("\n".join(lines) + "\n")
        Path(f"{target}.json").write_text(json.dumps({**found, "checks": [asdict(check) for check in made]}, indent=1))
    return all(check.holds is not False for check in made)


def parsed(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--reload-s", type=float, default=3.0, help="seconds between two reloads")
    parser.add_argument("--take-over", type=float, nargs="*", default=[0.03, 0.97], help="when, as shares of the time")
    parser.add_argument("--brief", action="store_true", help="without what takes seconds: silences")
    parser.add_argument("--report")
    parser.add_argument("--fault", nargs="+", help="faults instead of traffic, by name")
    wanted = parser.parse_args(argv)
    if not 0 < wanted.minutes <= MOST_MINUTES:
        parser.error(f"--minutes is more than 0 and at most {MOST_MINUTES}")
    return wanted


def main():
    wanted = parsed()
    if wanted.fault:
        return faults.main(wanted.fault, wanted.report)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        found = asyncio.run(soak(wanted, Path(folder)))
    return 0 if shown(found, wanted.report) else 1


if __name__ == "__main__":
    sys.exit(main())

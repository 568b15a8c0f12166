"""
The soak in its short form: seconds of mixed traffic with trouble all the while, and the cheap faults, by the same code and
the same verdict as `tests/soak/run.py`. All at once: each is processes of its own that mostly wait.
"""

import asyncio

from soak import faults, run, verdict

CHEAP = ("provider_killed", "redis_killed", "disk_full", "descriptors_gone")


async def test_traffic_with_reloads_holds(tmp_path):
    wanted = run.parsed(["--minutes", "0.04", "--clients", "12", "--reload-s", "0.7", "--brief", "--take-over"])
    found = await run.soak(wanted, tmp_path)
    failed = [check for check in verdict.checks(found) if check.holds is False]
    assert (failed, found["wrong"], found["trouble"]["wrong"]) == ([], [], [])
    assert found["requests"] > 20
    assert sum(count for name, count in found["trouble"]["did"].items() if name.startswith("reload")) >= 2


async def test_the_cheap_faults_do_no_harm(tmp_path):
    folders = [tmp_path / name for name in CHEAP]
    for folder in folders:
        folder.mkdir()
    seen = await asyncio.gather(*(faults.tried(folder.name, folder, brief=True) for folder in folders))
    harm = {
        (name, what) for name, each in zip(CHEAP, seen, strict=True) for what, held in each.held.items() if not held
    }
    assert harm == set()
    assert all(each.held or each.missing for each in seen)

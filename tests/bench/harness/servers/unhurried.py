"""
`sidecar up` for a machine that is fifty times slower than it is (callgrind): what waits for a time waits for longer.

    python unhurried.py CONFIG [--port …]     as `sidecar up CONFIG [--port …]`

What a sidecar does so many times in a second, whether anybody asks it or not, it would do fifty times as often for each
request. And requests that are over are told of some at a time, or after some hundredths of a second: under load some at
a time, and so here. Else what a request costs would depend on how slow the machine is.
"""

import asyncio
import sys
from functools import wraps

SLOWER = 50
SHORT_S = 0.05
"""Nothing that happens all the time waits for less."""
sleep = asyncio.sleep


@wraps(sleep)
async def longer(delay, result=None):
    return await sleep(delay * SLOWER if delay > SHORT_S else delay, result)


def slowed():
    """The sidecar's command, slowed."""
    asyncio.sleep = longer  # before anything of it is imported, which might take it by its name
    from sidecar import cli  # noqa: PLC0415 - as said
    from sidecar.telemetry import telling  # noqa: PLC0415

    if hasattr(telling, "LATEST_S"):  # a tree of another day may have no such time
        telling.LATEST_S *= SLOWER
    return cli.main


if __name__ == "__main__":
    sys.exit(slowed()(["up", *sys.argv[1:]]))

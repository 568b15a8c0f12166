"""
Writes the snapshot of a sidecar that has so many live sessions, named s0000000 and on, all pinned to one model.

    python preload.py FILE SESSIONS MODEL
"""

import asyncio
import logging
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # pin_memory and pin_snapshot are beside this folder

from pin_memory import fill
from pin_snapshot import kept

TTL_S = 86_400.0
"""As in the configuration of `sidecars`."""


async def main(path, count, model):
    routes = [("code_generation", (model,)), ("complex_reasoning", (model,)), ("other", (model,))]
    table = fill(count, time.monotonic(), name="s{:07d}".format, routes=routes, ttl_s=TTL_S)
    snapshot = kept(table, path)
    table.get(table.keys()[0], time.monotonic())  # something is new
    await snapshot.write()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))

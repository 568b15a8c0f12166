"""
The sidecar, with a window: `python tests/soak/watched.py FOLDER up …` is `sidecar up …`, and tells whoever connects to
FOLDER/PID.sock how many tasks and objects there are, and how much memory it has when glibc has given back what it keeps
for the next burst. Asking costs it some ten milliseconds, so it is asked now and then.
"""

import asyncio
import ctypes
import gc
import json
import os
import socket
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

from sidecar.cli import main

_LIBRARY = ctypes.CDLL(None)
"""Opened once: each time would leave objects, which are counted here."""
FEW = 20
"""Kinds of which there are fewer are not told."""


def counts():
    """Without what was there from the start: `loop.settle` hides that from the collector."""
    found = gc.get_objects()
    kinds = Counter(type(each).__qualname__ for each in found)
    kinds = {kind: count for kind, count in kinds.most_common() if count >= FEW}
    tasks = [each for each in found if isinstance(each, asyncio.Task) and not each.done()]
    names = Counter(task.get_coro().__qualname__ for task in tasks)
    told = {"tasks": len(tasks), "names": names, "objects": len(found), "kinds": kinds}
    del found, tasks
    return {**told, "resident_bytes": resident_bytes()}


def resident_bytes():
    with suppress(AttributeError):  # another C library
        _LIBRARY.malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def tell(server):
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(json.dumps(counts()).encode())


def watched(folder):
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / f"{os.getpid()}.sock"))
    server.listen()
    threading.Thread(target=tell, args=(server,), daemon=True).start()


if __name__ == "__main__":
    watched(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))

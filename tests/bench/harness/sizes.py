"""What a program weighs: memory, the time until it serves, the time of its import, its size when installed."""

import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from . import reading
from .candidates import Entry, Here, Work
from .clocks import STARVED, Clocks, resident_bytes, waited_s
from .figures import Spread
from .installing import size_bytes
from .rounds import ready
from .sidecars import TREE, Sidecar
from .starting import started

OPEN = 400
IMPORT = "import sidecar.cli, sidecar.server"


def start_s(here, cores, times, *, regardless=False):
    """From the start of the sidecar's process to its first answer that it is ready. A Spread; None when always starved."""
    found = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(dir=here.folder) as folder:
            at = Path(folder)
            candidate = Sidecar()
            command = candidate.command(Here(at, here.providers, here.cache))
            began = time.perf_counter()
            with started(command, cores.measured, at) as running:
                candidate.until_ready()
                took_s = time.perf_counter() - began
                waited = waited_s({}, Clocks(running.group, cores).sample().threads)
        if regardless or waited < STARVED * took_s:
            found.append(took_s)
    return Spread.of(found) if found else None


def import_s(core, times):
    """Of all that `sidecar up` imports, less what an empty Python takes. A Spread."""

    def run_s(code):
        began = time.perf_counter()
        argv = ("taskset", "-c", str(core), sys.executable, "-c", code)
        subprocess.run(argv, check=True, cwd=TREE, env={"PYTHONPATH": str(TREE)})  # noqa: S603 - ours
        return time.perf_counter() - began

    run_s(IMPORT)  # compiles
    return Spread.of(run_s(IMPORT) - run_s("pass") for _ in range(times))


def open_stream_bytes(here, cores):
    """What the sidecar grows by for each stream that is open, at most: with `OPEN` of them, beside one."""
    with tempfile.TemporaryDirectory(dir=here.folder) as folder:
        at = Path(folder)
        candidate = Sidecar()
        with started(candidate.command(Here(at, here.providers, here.cache)), cores.measured, at) as running:
            candidate.settle(running.port)
            asked = ready(Entry(candidate.name, Work.PACED), candidate, running)
            most = []
            for count in (1, OPEN):
                streams = reading.Streams(running.port, asked.ask.request, asked.events, count, waves=True)
                reading.ask(streams, 1, Clocks(running.group, cores))
                most.append(resident_bytes(running.group, "VmHWM"))
    return (most[1] - most[0]) / (OPEN - 1)


def installed_bytes():
    """(of the package, of all that it needs besides), without extras."""
    return size_bytes(TREE / "sidecar"), sum(_needed())


def _needed():
    """The bytes of each distribution that the package needs."""
    seen, waiting = {"llm-sidecar"}, list(requires("llm-sidecar") or ())
    while waiting:
        wanted = waiting.pop()
        name = re.split(r"[^\w.-]", wanted, maxsplit=1)[0].lower().replace("_", "-")
        if name in seen or "extra ==" in wanted:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another Python or system
        waiting += found.requires or ()
        yield sum(at.stat().st_size for file in found.files or () if (at := Path(found.locate_file(file))).is_file())

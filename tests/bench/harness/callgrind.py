"""
Instructions of the processor, counted by valgrind's callgrind: what a process runs itself, not what the kernel does for
it, and nobody else's.

A sidecar that nobody asks works too: it looks at its files, at its own event loop, and so on, so often in a second. As a
counted second has only a fiftieth of the requests that it might have, that would be two instructions of a hundred, and
more on a busy machine: so it does that in slow motion (servers/unhurried.py).

Nothing is counted until `Counts` is asked to; what runs before runs about five times slower than without valgrind, what is
counted about fifty times.
"""

import re
import shutil
import subprocess
from pathlib import Path

from attrs import evolve

from .candidates import Unavailable
from .sidecars import Sidecar

NEEDED = ("valgrind", "callgrind_control")
TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)


def check():
    """Raises Unavailable where it is not installed."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        raise Unavailable(f"{' and '.join(missing)}: not found; apt-get install valgrind")


class Counted(Sidecar):
    """The sidecar of the source tree `tree`, under callgrind."""

    program = (str(Path(__file__).with_name("servers") / "unhurried.py"),)

    def __init__(self, tree):
        super().__init__()
        self.tree = tree

    def command(self, here):
        plain = super().command(here)
        options = ("-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={here.folder}/counts")
        # The order of a set, and so of what is done with it, is the same in all runs.
        return evolve(plain, argv=("valgrind", *options, *plain.argv), env=plain.env | {"PYTHONHASHSEED": "0"})


class Counts:
    """Of the process `pid`, whose counts go into `folder`."""

    def __init__(self, pid, folder):
        self.pid, self.folder, self.taken = pid, folder, 0

    async def of(self, asking):
        """Instructions for what `asking`, which is awaited, does with the process."""
        self._control("--instr=on")
        self._control("--zero")
        await asking
        self._control("--dump")
        self._control("--instr=off")
        self.taken += 1
        return int(TOTAL.search((self.folder / f"counts.{self.taken}").read_text(errors="replace"))[1])

    def _control(self, what):
        argv = ("callgrind_control", what, str(self.pid))
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - as found
        if done.returncode:
            raise Unavailable(f"{' '.join(argv)}: {done.stdout.strip()[-200:]} {done.stderr.strip()[-200:]}")

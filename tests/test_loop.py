"""What everything runs on. That signals, processes and sockets work on it, the tests of the real program show."""

import gc
import subprocess
import sys

import pytest

from sidecar import loop

SETTLED = """
import gc
from sidecar import loop

class Cycle:
    alive = 0
    def __init__(self):
        self.itself = self
        Cycle.alive += 1
    def __del__(self):
        Cycle.alive -= 1

async def main():
    print(loop.name(), gc.isenabled())
    loop.settle()
    print(gc.isenabled(), gc.get_freeze_count() > 1000, len(gc.get_objects()) < 1000)
    most = 0
    for _ in range(100_000):
        Cycle()
        most = max(most, Cycle.alive)
    print(1000 < most <= 2 * loop.YOUNG)

loop.run(main())
"""

HIDDEN = """
import gc
from sidecar import loop

async def main():
    there = [[] for _ in range(100_000)]
    loop.settle()
    gc.set_threshold(100, 1, 1)
    before = gc.get_stats()[2]["collections"]
    new = [[] for _ in range(5_000)]
    print(gc.get_stats()[2]["collections"] > before)

loop.run(main())
"""

WITHOUT_UVLOOP = """
import sys
from sidecar import loop

sys.modules["uvloop"] = None

async def main():
    print(loop.name())

loop.run(main())
"""


def said(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    return done.stdout.splitlines()


def test_nothing_is_collected_before_it_is_settled_and_cycles_are_after():
    assert said(SETTLED) == ["uvloop False", "True True True", "True"]


def test_what_is_hidden_from_the_collector_does_not_make_it_wait():
    assert said(HIDDEN) == ["True"]


def test_without_uvloop_asyncio_serves():
    assert said(WITHOUT_UVLOOP) == ["asyncio"]


def test_it_gives_what_was_asked_of_it_and_raises_what_is_raised():
    async def answer():
        return 12

    async def fail():
        raise LookupError("no")

    assert loop.run(answer()) == 12
    with pytest.raises(LookupError, match="no"):
        loop.run(fail())
    assert gc.isenabled()

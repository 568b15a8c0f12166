"""
Instructions of the processor that the sidecar takes for a request, and what that is of another tree's.

    python tests/bench/instructions.py                          one minute, on a busy machine three
    python tests/bench/instructions.py --base ../before         beside another tree (`git worktree add ../before COMMIT`)
    python tests/bench/instructions.py --only decision piece    --json FILE: as JSON too

    decision      of a pinned session, one of 6,000
    reply         plain, small, of such a session, through its provider
    piece         of a stream, on its way from the provider to the client; by the difference of long and short streams
    translated    likewise, from Anthropic's messages to chat completions

A count, not a time: on a machine that others use it comes out the same, to half a percent of a request and to one and a
half of a piece, so one run of each tree is enough. What it does not see: the kernel's part (two fifths of a small reply's
time), what the processor's caches miss, and waiting. So it says whether a change does less; whether that is quicker, and
than whom, only run.py can say.

All of it runs with everything on, as in run.py, by valgrind's callgrind (Debian: apt-get install valgrind). Requests, and
pieces of streams, go in step with the sidecar (harness/lockstep.py), which is fifty times slower than it is.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from attrs import evolve, frozen
from harness import callgrind, lockstep, table
from harness.candidates import Here, Unavailable, Work
from harness.doubles import Providers
from harness.lockstep import Provider
from harness.rounds import Wrong
from harness.sidecars import TREE
from harness.starting import NotStarted, started

SESSIONS = 6_000
SESSION = b"s0000000"
SHORT, LONG = 10, 50
WARMING = 48
LIMIT_S = 480
"""Of one tree: far more than it takes."""


@frozen
class Row:
    """
    `count`: requests that are counted, a multiple of those that telemetry is told of at once. Of `streams` a piece is told,
    else a request.
    """

    name: str
    work: Work
    count: int
    streams: bool = False


ROWS = (
    Row("decision", Work.DECISION, 2_016),
    Row("reply", Work.REPLY, 1_008),
    Row("piece", Work.STREAM, 48, streams=True),
    Row("translated", Work.TRANSLATED, 48, streams=True),
)


class Tree:
    """The sidecar of one tree, at work."""

    def __init__(self, candidate, running, folder, provider):
        self.candidate, self.running, self.provider = candidate, running, provider
        self.counts = callgrind.Counts(running.group, folder)

    async def warm(self, rows):
        """Every session that is asked for has its pin; everything that is made at first use is made."""
        if not all(row.streams for row in rows):
            await self.asked(Work.DECISION, SESSIONS)
        for row in rows:
            for pieces in (SHORT, LONG) if row.streams else (0,):
                await self.asked(row.work, WARMING, pieces)

    async def asked(self, work, total, pieces=0):
        request_of = self.one_session(work) if pieces else self.sessions(work)
        await lockstep.ask(self.running.port, map(request_of, range(total)), self.provider, pieces)

    def sessions(self, work):
        """Requests of all sessions in turns."""
        ask = self.candidate.ask(work, self.running.port)
        whole = evolve(ask, headers=ask.headers | {"X-Session-Id": SESSION.decode()}).request
        return lambda number: whole.replace(SESSION, b"s%07d" % (number % SESSIONS))

    def one_session(self, work):
        request = self.candidate.ask(work, self.running.port).request
        return lambda _number: request

    async def counted(self, row):
        """Instructions of a request, or of a piece."""
        if not row.streams:
            return await self.counts.of(self.asked(row.work, row.count)) / row.count
        short, long = [await self.counts.of(self.asked(row.work, row.count, pieces)) for pieces in (SHORT, LONG)]
        return (long - short) / (row.count * (LONG - SHORT))


async def measured(tree, rows, core, folder):
    """{row's name: instructions} of the sidecar in `tree`. Raises TimeoutError after LIMIT_S, and others."""
    folder.mkdir()
    candidate, provider = callgrind.Counted(tree), Provider()
    async with asyncio.timeout(LIMIT_S), provider.serving() as port:
        with started(candidate.command(Here(folder, Providers(port, port), folder)), core, folder) as running:
            candidate.settle(running.port)
            one = Tree(candidate, running, folder, provider)
            await one.warm(rows)
            return {row.name: await one.counted(row) for row in rows}


def asked():
    parser = argparse.ArgumentParser(description=__doc__.strip().partition("\n")[0])
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=names, default=names, help=f"of {', '.join(names)}"
    )
    parser.add_argument("--tree", type=Path, default=TREE, help="whose sidecar; default: the one this stands in")
    parser.add_argument("--base", type=Path, metavar="TREE", help="another one, which it is compared with")
    parser.add_argument("--json", type=Path, metavar="FILE", help="as JSON too")
    wanted = parser.parse_args()
    for tree in filter(None, (wanted.tree, wanted.base)):
        if not (tree / "sidecar" / "cli.py").is_file():
            parser.error(f"{tree} is no source tree: it has no sidecar/cli.py")
    return wanted


def main():
    wanted = asked()
    rows = [row for row in ROWS if row.name in wanted.only]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    began = time.monotonic()
    try:
        callgrind.check()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            trees = [tree.resolve() for tree in (wanted.tree, wanted.base) if tree]
            found = [uvloop.run(measured(tree, rows, cores[0], Path(folder, str(n)))) for n, tree in enumerate(trees)]
    except (Unavailable, NotStarted, Wrong, TimeoutError) as exc:
        sys.exit(f"not counted: {str(exc) or 'it took too long'}")
    this, base = found[0], found[1] if wanted.base else None
    print("\n".join(table.instruction_lines(this, base)))
    print(f"{time.monotonic() - began:.0f} s")
    if wanted.json:
        wanted.json.write_text(json.dumps({"instructions": this, "base": base}, indent=1) + "\n")


if __name__ == "__main__":
    main()

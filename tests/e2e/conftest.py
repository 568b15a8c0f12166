"""The real program in a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from attrs import define

ROOT = Path(__file__).parents[2]


@define
class Program:
    process: asyncio.subprocess.Process
    printed: list[str]

    @property
    def url(self):
        line = next(line for line in self.printed if line.startswith("decisions"))
        return line.split()[1].partition("/routing")[0]

    async def until(self, word):
        """Reads on until a line of standard output has `word`."""
        while True:
            line = (await asyncio.wait_for(self.process.stdout.readline(), 30)).decode()
            assert line, f"ended before saying {word!r}: {self.printed}"
            self.printed.append(line.rstrip())
            if word in line:
                return

    async def end(self, sign=None):
        """(exit code, standard error) once it has ended."""
        if sign is not None:
            self.process.send_signal(sign)
        _, errors = await asyncio.wait_for(self.process.communicate(), 60)
        return self.process.returncode, errors.decode()


@pytest.fixture
async def sidecar(tmp_path):
    """`await sidecar("up", ...)`: the program, with nothing of this environment but its PATH."""
    programs = []

    async def run(*arguments, environ=None):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar.cli", *map(str, arguments), cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **(environ or {})},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        programs.append(process)
        return Program(process, [])

    yield run
    for process in programs:
        if process.returncode is None:
            process.kill()
            await process.wait()

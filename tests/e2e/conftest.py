"""The real program in a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from attrs import define
from forks import Process

ROOT = Path(__file__).parents[2]


@define
class Program:
    process: asyncio.subprocess.Process | Process
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

    def close_output(self):
        """Nobody reads its standard output any more."""
        if isinstance(self.process, Process):
            self.process.close_output()
        else:
            self.process._transport.get_pipe_transport(1).close()

    async def end(self, sign=None):
        """(exit code, standard error) once it has ended."""
        if sign is not None:
            self.process.send_signal(sign)
        _, errors = await asyncio.wait_for(self.process.communicate(), 60)
        return self.process.returncode, errors.decode()


@pytest.fixture
def by_name(request):
    """Whether the program is started by its name, whatever it is asked to do."""
    return getattr(request, "param", False)


@pytest.fixture
async def sidecar(tmp_path, imported, by_name):
    """`await sidecar("up", ...)`: the program, with nothing of this environment but its PATH."""
    programs = []

    async def run(*arguments, environ=None):
        words, given = list(map(str, arguments)), {"PATH": os.environ["PATH"], **(environ or {})}
        start = _started if by_name or words[0] != "up" else imported.start
        programs.append(await start(words, tmp_path, given))
        return Program(programs[-1], [])

    yield run
    for process in programs:
        if isinstance(process, Process):
            await process.aclose()
        elif process.returncode is None:
            process.kill()
            await process.wait()


async def _started(arguments, folder, environ):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.cli", *arguments, cwd=folder, env=environ,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

"""`sidecar top` in a real terminal: it draws, follows the window's size, and gives the terminal back as it was."""

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from attrs import define
from running import chat

TAKEN, GIVEN_BACK = b"\x1b[?1049h", b"\x1b[?25h\x1b[?1049l"
BESIDE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
"""What is sent beside text."""


@define
class Terminal:
    """A pseudo-terminal with `sidecar top` in it. Blocks: to be used in a thread of its own."""

    ours: int
    theirs: int
    before: list
    process: subprocess.Popen | None = None
    said: bytes = b""

    def begin(self, *arguments, **environ):
        # The shell leads a session without a terminal, so the one that it opens becomes its own: Ctrl-C then works.
        open_it = 'exec "$@" <"$0" >"$0" 2>&1'
        command = [os.ttyname(self.theirs), sys.executable, "-m", "sidecar.cli", "top", *arguments]
        environ = {"PATH": os.environ["PATH"], "TERM": "xterm", **environ}
        shell = ["/bin/sh", "-c", open_it, *command]
        self.process = subprocess.Popen(shell, start_new_session=True, env=environ)  # noqa: S603 - our own program

    def resize(self, columns, lines):
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def until(self, condition):
        """Reads on until a whole page, as lines of text, fulfils `condition`."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if select.select([self.ours], [], [], 0.05)[0]:
                self.said += os.read(self.ours, 65536)
            pages = self.said.split(b"\x1b[H")[1:]
            whole = [page for page in pages if b"\x1b[J" in page]
            if whole and condition(lines := self.lines(whole[-1])):
                return lines
        raise AssertionError(self.said[-2000:])

    def lines(self, page):
        return BESIDE.sub(b"", page.partition(b"\x1b[J")[0]).decode().split("\r\n")

    def end(self):
        """The exit code; everything that was said is then in `said`."""
        code = self.process.wait(30)
        while select.select([self.ours], [], [], 0.05)[0]:
            self.said += os.read(self.ours, 65536)
        return code

    @property
    def is_given_back(self):
        return termios.tcgetattr(self.theirs) == self.before and self.said.rstrip().endswith(GIVEN_BACK)


@pytest.fixture
def terminal():
    ours, theirs = pty.openpty()
    found = Terminal(ours, theirs, termios.tcgetattr(theirs))
    found.resize(120, 40)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    os.close(ours)
    os.close(theirs)


@pytest.fixture
async def at_work(start):
    """A sidecar with one session of three requests."""
    sidecar = await start()
    for _ in range(3):
        await sidecar.decide(chat(), X_Session_Id="run-42")
    return sidecar


async def page(terminal, condition=lambda _: True):
    return await asyncio.to_thread(terminal.until, condition)


async def test_it_draws_until_q_and_gives_the_terminal_back(at_work, terminal):
    terminal.begin("--admin", at_work.admin)
    lines = await page(terminal)
    assert terminal.said.startswith(TAKEN)
    assert lines[0].startswith("sidecar ")
    assert "serving" in lines[0]
    assert lines[1].split()[:5] == ["hit", "rate", "1", "min", "66.7"]
    assert any(line.split()[:3] == ["anthropic/claude-sonnet", "1", "100.0"] for line in lines)
    assert sum(" pinned " in line and " hit " in line for line in lines) == 2
    assert any(" routed " in line and " miss " in line for line in lines)
    assert termios.tcgetattr(terminal.theirs) != terminal.before
    os.write(terminal.ours, b"q")
    assert await asyncio.to_thread(terminal.end) == 0
    assert terminal.is_given_back


async def test_it_shows_what_happens_meanwhile(at_work, terminal):
    terminal.begin("--admin", at_work.admin, "--interval", "0.2")
    await page(terminal, lambda lines: any("hit 2" in line for line in lines))
    await at_work.decide(chat(), X_Session_Id="run-42")
    await page(terminal, lambda lines: any("hit 3" in line for line in lines))


async def test_it_follows_the_size_of_the_window(at_work, terminal):
    terminal.begin("--admin", at_work.admin, "--interval", "60")
    assert max(map(len, await page(terminal))) > 60
    terminal.resize(40, 8)
    lines = await page(terminal, lambda lines: len(lines) <= 8)
    assert max(map(len, lines)) == 39  # behind the last column nobody knows where the cursor is


@pytest.mark.parametrize("how", ["key", signal.SIGTERM, signal.SIGHUP])
async def test_whoever_ends_it_finds_the_terminal_as_it_was(at_work, terminal, how):
    terminal.begin("--admin", at_work.admin)
    await page(terminal)
    os.write(terminal.ours, b"\x03") if how == "key" else terminal.process.send_signal(how)
    assert await asyncio.to_thread(terminal.end) == 130
    assert terminal.is_given_back
    assert b"Traceback" not in terminal.said


async def test_a_sidecar_that_goes_away_is_told_and_awaited(sidecar, terminal):
    program = await sidecar("up", "--port", "0", "--admin-port", "0")
    await program.until("sessions")
    admin = next(line for line in program.printed if line.startswith("admin")).split()[1]
    terminal.begin("--admin", admin, "--interval", "0.2")
    await page(terminal)
    await program.end(signal.SIGTERM)
    lines = await page(terminal, lambda lines: lines[0].startswith("nothing listens at"))
    assert any("hit rate" in line for line in lines)
    os.write(terminal.ours, b"q")
    assert await asyncio.to_thread(terminal.end) == 0


async def test_without_a_sidecar_it_ends_with_a_sentence(terminal):
    terminal.begin("--admin", "127.0.0.1:1")
    assert await asyncio.to_thread(terminal.end) == 1
    assert b"sidecar: nothing listens at http://127.0.0.1:1" in terminal.said.partition(GIVEN_BACK)[2]
    assert termios.tcgetattr(terminal.theirs) == terminal.before


async def test_there_is_no_colour_where_none_is_wanted(at_work, terminal):
    terminal.begin("--admin", at_work.admin, NO_COLOR="1")
    await page(terminal)
    assert b"\x1b[1m" not in terminal.said


async def test_when_nobody_looks_it_prints_one_page_of_any_width(at_work, sidecar):
    printed, _ = await (await sidecar("top", "--admin", at_work.admin)).process.communicate()
    assert printed.startswith(b"sidecar ")
    assert b"\x1b" not in printed
    printed, _ = await (await sidecar("top", "--json", "--admin", at_work.admin)).process.communicate()
    seen = json.loads(printed)
    assert (seen["hit_rate"]["1m"], seen["lookups"]["hit"]) == (2 / 3, 2)
    assert seen["pins"]["anthropic/claude-sonnet"] == 1

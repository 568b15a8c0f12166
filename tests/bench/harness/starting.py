"""Starting one program on one core, in a process group of its own, and knowing when it serves."""

import os
import re
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

from attrs import define, field, frozen

_ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As an installed program has it: its modules are compiled."""
PATIENCE_S = 60
POLL_S = 0.002


class NotStarted(RuntimeError):
    """It ended, or did not serve in time; says what it printed last."""


@frozen
class Command:
    """
    `argv`; `env` is added to ours. `port`: where it will listen; where it chooses for itself, a pattern whose first
    group is the port in what it prints.
    """

    argv: tuple[str, ...] = field(converter=lambda argv: tuple(map(str, argv)))
    port: int | re.Pattern[str]
    env: dict[str, str] = field(factory=dict)


@define
class Running:
    """`group`: its process group, and its first process."""

    group: int
    port: int
    ready_s: float
    """From its start to the first connection that it took."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def spawned(argv, core, *, env=None, output=subprocess.DEVNULL, cwd=None):
    """The process, with all its threads on `core` from the first; ended with its whole group."""
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # inherited: nothing of it ever runs elsewhere
    try:
        process = subprocess.Popen(  # noqa: S603 - the programs that are compared
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT if output != subprocess.PIPE else None,
            env={**_ENVIRON, **(env or {})}, cwd=cwd, start_new_session=True,
        )  # fmt: skip
    finally:
        os.sched_setaffinity(0, here)
    try:
        yield process
    finally:
        _end(process)


def _end(process):
    for sign in (15, 9):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # what it left behind
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def started(command, core, folder):
    """It serves. What it prints goes to a file in `folder`, which is also where it runs. Raises NotStarted."""
    log = folder / "output"
    began = time.perf_counter()
    with log.open("wb") as output, spawned(command.argv, core, env=command.env, output=output, cwd=folder) as process:
        port = _until(process, log, lambda: _port(command.port, log))
        _until(process, log, lambda: _accepts(port))
        yield Running(process.pid, port, time.perf_counter() - began)


def _until(process, log, asked):
    give_up = time.monotonic() + PATIENCE_S
    while not (found := asked()):
        if process.poll() is not None or time.monotonic() > give_up:
            last = log.read_text(errors="replace").strip().splitlines()[-3:]
            raise NotStarted(f"ended with {process.poll()}: {' / '.join(last)[-300:]}")
        time.sleep(POLL_S)
    return found


def _port(port, log):
    if isinstance(port, int):
        return port
    found = port.search(log.read_text(errors="replace"))
    return int(found[1]) if found else None


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

"""
The program without the time it takes to import: a process that has imported it, and forks for each start.

A start is half a second of imports, which the project promises to have no effect, and a tenth of everything else. What is
forked is a process of its own, with its own arguments, environment, folder, streams and signals. What the imports
themselves need is tried where the program is started by its name, in e2e/test_program.py before all.
"""

import asyncio
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

PLACES = 4
"""What goes with an order: three standard streams, and a pipe for the exit code."""


# In the process that has imported


def orders(channel):
    """Forks for each order. In a fork it returns the order; here None, once nobody orders any more."""
    running, waiting = {}, select.poll()
    waiting.register(channel, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready == channel.fileno():
                sent, places, _, _ = socket.recv_fds(channel, 1 << 16, PLACES)
                if not sent:
                    return None
                pid = os.fork()
                if pid == 0:
                    channel.detach()
                    return _become(json.loads(sent), places)
                channel.send(str(pid).encode())
                ended = os.pidfd_open(pid)
                running[ended] = pid, places.pop()
                waiting.register(ended, select.POLLIN)
                for place in places:
                    os.close(place)
            else:
                waiting.unregister(ready)
                pid, place = running.pop(ready)
                os.close(ready)
                with suppress(BrokenPipeError):  # nobody wants to know any more
                    os.write(place, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                os.close(place)


def _become(order, places):
    for number, place in enumerate(places[:3]):
        os.dup2(place, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    return order


def obey(order):
    if (story := order.get("story")) is not None:
        exec(compile(story, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as `python -c` does
        return 0
    sys.argv = ["sidecar", *order["arguments"]]
    return cli.main()


# In the process of the tests


class Process:
    """As much of asyncio's as the tests ask for."""

    def __init__(self, pid, stdout, stderr, code):
        self.pid, self.stdout, self.stderr = pid, stdout.reader, stderr.reader
        self.returncode = None
        self._pipes = stdout, stderr, code
        self._ended = asyncio.ensure_future(self._end(code.reader))

    async def _end(self, code):
        self.returncode = int(await code.read())

    async def wait(self):
        await asyncio.shield(self._ended)
        return self.returncode

    async def communicate(self):
        out, errors, _ = await asyncio.gather(self.stdout.read(), self.stderr.read(), self.wait())
        return out, errors

    def send_signal(self, sign):
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def close_output(self):
        self._pipes[0].transport.close()

    async def aclose(self):
        self.kill()
        await self.wait()
        for pipe in self._pipes:
            pipe.transport.close()


class Popen:
    """As much of subprocess's as the tests ask for."""

    def __init__(self, pid, stdout, code):
        self.pid, self.stdout, self.returncode = pid, stdout, None
        self._code = code

    def poll(self):
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            if not select.select([self._code], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(["sidecar"], timeout)
            with self._code:
                self.returncode = int(self._code.read())
        return self.returncode

    def terminate(self):
        self._send(signal.SIGTERM)

    def kill(self):
        self._send(signal.SIGKILL)

    def _send(self, sign):
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sign)


class _Pipe:
    """Its end to read from, and for a moment the one to write to."""

    def __init__(self):
        self._end, self.written = os.pipe()
        self.reader = asyncio.StreamReader()
        self.transport = None

    async def open(self):
        os.close(self.written)
        read = os.fdopen(self._end, "rb", 0)
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self.reader), read)


class Forks:
    def __init__(self, channel, nothing):
        self._channel, self._nothing = channel, nothing

    async def start(self, arguments, folder, environ):
        """The program."""
        pipes = [_Pipe() for _ in range(PLACES - 1)]
        order = {"arguments": arguments, "folder": str(folder), "environ": environ}
        pid = self._order(order, *(pipe.written for pipe in pipes))
        for pipe in pipes:
            await pipe.open()
        return Process(pid, *pipes)

    def begin(self, arguments, folder, environ, stderr):
        """The program, for tests without an event loop; standard error goes to a file."""
        (out, out_written), (code, code_written) = os.pipe(), os.pipe()
        order = {"arguments": arguments, "folder": str(folder), "environ": environ}
        pid = self._order(order, out_written, stderr.fileno(), code_written)
        os.close(out_written)
        os.close(code_written)
        return Popen(pid, os.fdopen(out, "rb"), os.fdopen(code, "rb"))

    def told(self, story):
        """What a Python program prints: (standard output, standard error)."""
        with TemporaryFile() as out, TemporaryFile() as errors:
            code, written = os.pipe()
            self._order(
                {"story": story, "folder": "/", "environ": {"PATH": os.environ["PATH"]}},
                out.fileno(), errors.fileno(), written,
            )  # fmt: skip
            os.close(written)
            with os.fdopen(code) as ended:
                ended.read()
            return tuple((file.seek(0), file.read().decode())[1] for file in (out, errors))

    def _order(self, order, *places):
        """Its process id."""
        socket.send_fds(self._channel, [json.dumps(order).encode()], [self._nothing, *places])
        return int(self._channel.recv(100))


@contextmanager
def forks():
    """One such process, until nobody starts a program any more."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-P", __file__, str(there.fileno())]
    with here, Path(os.devnull).open("rb") as nothing:
        with there:
            imported = subprocess.Popen(  # noqa: S603 - this file
                command, pass_fds=[there.fileno()], env={"PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,  # pipes, as those of its forks
            )  # fmt: skip
        yield Forks(here, nothing.fileno())
    printed = imported.communicate(timeout=60)
    assert (imported.returncode, printed) == (0, (b"", b""))


if __name__ == "__main__":
    from sidecar import cli, server  # noqa: F401 - not where the tests import this file: they have no use for it

    gc.freeze()  # for the forks, which then share it
    order = orders(socket.socket(fileno=int(sys.argv[1])))
    if order is not None:
        sys.exit(obey(order))

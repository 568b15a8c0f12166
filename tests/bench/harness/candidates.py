"""What is measured: how it is called, what must be installed, how it is started and how it is asked."""

from enum import Enum
from pathlib import Path

from attrs import field, frozen

from . import traffic
from .traffic import HUGE, LARGE, SMALL, Wire


class Work(Enum):
    """What is asked; each is (size of the request's body, whether its answer is a stream, whether paced)."""

    REPLY = (SMALL, False, False)
    LARGE_REPLY = (LARGE, False, False)
    STREAM = (SMALL, True, False)
    PACED = (SMALL, True, True)
    # Of a sidecar only: the client speaks chat completions, the provider messages.
    TRANSLATED = (SMALL, True, False, "translated")
    PACED_TRANSLATED = (SMALL, True, True, "translated")
    # Decisions, nothing is called.
    DECISION = (SMALL, False, False, "decision")
    LARGE_DECISION = (LARGE, False, False, "decision")
    HUGE_DECISION = (HUGE, False, False, "decision")
    UNPINNED = (SMALL, False, False, "unpinned")
    SESSIONS = (SMALL, False, False, "sessions")

    @property
    def size(self):
        return self.value[0]

    @property
    def streams(self):
        return self.value[1]

    @property
    def paced(self):
        return self.value[2]

    def body(self, model, wire=Wire.CHAT):
        return traffic.request(model, self.size, wire=wire, stream=self.streams, paced=self.paced)


@frozen
class Ask:
    """One request, to a port on the loopback."""

    port: int
    path: str
    headers: dict[str, str]
    body: bytes
    holds: tuple[bytes, ...]
    """What the answer must hold."""
    sessions: int = 0
    """It goes to one of so many sessions, by chance."""

    @property
    def request(self):
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        line = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        return f"{line}{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


JSON = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench"}
"""Headers of every request."""


@frozen
class Here:
    """Where a candidate is started: its folder, the providers, the folder of what is installed."""

    folder: Path
    providers: object
    cache: Path


class Unavailable(RuntimeError):
    """It cannot be measured here; says why."""


class Candidate:
    """
    `name` as in the table; `settings`: what it was told, in a line; `version`: of what is measured, once installed.

    `seconds`: how long it is asked in each round; more for those that answer few.
    """

    name = ""
    settings = ""
    seconds = 1
    wire = Wire.CHAT
    exact = False
    """Whether a reply comes through as the provider sent it, byte for byte."""

    def install(self, cache):
        """Makes sure that it is there, in a folder of its own in `cache`. Gives that folder, or None. Raises Unavailable."""

    def command(self, here):
        """A starting.Command. May write into `here.folder`."""
        raise NotImplementedError

    def ask(self, work, port):
        """An Ask, or None for what it does not do. `port`: where it listens."""
        raise NotImplementedError

    def settle(self, port):
        """Once it serves: what must be told it before it can be asked."""

    def ask_chat(self, work, port, *, plain="gpt-4o-mini", streams="gpt-4o", path=None, headers=None):
        """What most of them are asked alike."""
        if len(work.value) > 3:
            return None
        body = work.body(streams if work.streams else plain, self.wire)
        return Ask(port, path or traffic.PATHS[self.wire], {**JSON, **(headers or {})}, body, self.held(work))

    def held(self, work):
        if work.streams:
            return (b"word ", traffic.ENDS[self.wire])
        return (traffic.reply(self.wire),) if self.exact else (traffic.SAID.encode(),)


@frozen
class Entry:
    """Of a row: a candidate by name, and what it is asked; `label` as in the table."""

    candidate: str
    work: Work
    label: str = field()

    @label.default
    def _label(self):
        return self.candidate

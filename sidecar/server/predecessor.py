"""
`sidecar up --take-over`: from the sidecar that serves to a new one, without a lost request and without a changed model.

    new    reads its configuration, makes its parts, reads all pins of the old one
    new    listens beside it on both ports; the kernel gives it all new connections, which wait there
    new    ── POST /hand_over ──▶ old    accepts what waits at its socket, closes it, ends every connection with its
           ◀── the newest pins ──        next answer, and answers when no request can come to it any more
    new    accepts what waits: half a second to a second after it began to
    old    finishes what it has under way, and ends

The old one decides no session any more when the new one decides its first, so that a session has one model. Where pins
are in a store that both share, there are none to hand over.

All is asked over one connection that is there before the new one listens on the admin port: what else is sent to it
afterwards comes to the new one.
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
from attrs import frozen

from sidecar.config.models import Admin, Config
from sidecar.errors import RequestError, SidecarError

log = logging.getLogger("sidecar.server")

ASK_S = 5.0
SILENCE_S = 60.0
"""How long the other one may be silent: it may have many pins."""
SPARE_S = 2.0
"""So much earlier than we asked for all pins, the newest begin."""

TakeUp = Callable[[AsyncIterator[bytes]], Awaitable[object]]
"""Takes up pins from the lines of an export."""


class CannotTakeOver(SidecarError):
    """What serves on our ports cannot hand over to us."""

    code = "cannot_take_over"


class _Told(msgspec.Struct):
    """What `/server_info` says, as far as we look at it."""

    version: str
    state: str
    pid: int
    listener: str | None
    workers: list[msgspec.Raw] | None = None
    """None where it has none, and none are known."""


@frozen
class Predecessor:
    """The sidecar that serves on our ports. `read_at`: when its pins were asked for, Unix time."""

    session: aiohttp.ClientSession
    url: str
    pid: int
    read_at: float
    take_up: TakeUp | None

    async def hand_over(self) -> None:
        """
        Has it end, and takes up its newest pins. Raises CannotTakeOver when it refuses, and goes on as it was. When it
        breaks off, it is on its way out, or gone: then nobody but us is left to serve.
        """
        query = {"pid": str(self.pid), "since": f"{self.read_at - SPARE_S:.3f}"}
        try:
            async with self.session.post(f"{self.url}/hand_over", params=query) as answer:
                if answer.status >= 400:  # noqa: PLR2004 - HTTP's own boundary
                    raise CannotTakeOver(f"process {self.pid} does not hand over: {await _message(answer)}")
                if self.take_up is not None:
                    await self.take_up(aiter(answer.content))
        except (aiohttp.ClientError, OSError, RequestError, ValueError) as exc:  # the last two: of what it told
            log.warning("process %d broke off while it handed over (%s): going on", self.pid, type(exc).__name__)
        else:
            log.info("process %d has handed over, and finishes what it has under way", self.pid)


@frozen
class Found:
    """Who serves on our ports, before anything of it was asked for."""

    session: aiohttp.ClientSession
    url: str
    pid: int

    async def introduced(self, take_up: TakeUp | None) -> Predecessor:
        """Reads all its pins; with None no pins are read, now or later. Raises CannotTakeOver."""
        read_at = time.time()
        if take_up is not None:
            try:
                async with self.session.get(f"{self.url}/pins/export") as answer:
                    if answer.status != 200:  # noqa: PLR2004 - HTTP's own
                        raise CannotTakeOver(f"process {self.pid} keeps its pins: {await _message(answer)}")
                    await take_up(aiter(answer.content))
            except (aiohttp.ClientError, OSError, RequestError, ValueError) as exc:
                raise CannotTakeOver(f"process {self.pid} broke off while its pins were read") from exc
        return Predecessor(self.session, self.url, self.pid, read_at, take_up)


@asynccontextmanager
async def found(config: Config) -> AsyncIterator[Found | None]:
    """Who is to be taken over from; None when nobody listens on the admin port. Raises CannotTakeOver."""
    if not (config.listener.port and config.admin.port):
        raise CannotTakeOver("--take-over needs ports that are known: 0 takes a free one")
    if config.workers > 1:
        raise CannotTakeOver("--take-over is for one process: with workers, start it without and stop the other first")
    url = _url(config.admin)
    async with aiohttp.ClientSession(
        # One connection, for as long as it takes to start.
        connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=SILENCE_S, ssl=False),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=ASK_S, sock_read=SILENCE_S),
    ) as session:
        told = await _asked(session, url)
        if told is None:
            log.info("nobody listens at %s: there is nothing to take over", url)
            yield None
        else:
            yield Found(session, url, _checked(told, config, url))


async def _asked(session: aiohttp.ClientSession, url: str) -> _Told | None:
    """What it says of itself; None when nobody is there. Raises CannotTakeOver."""
    try:
        async with asyncio.timeout(ASK_S), session.get(f"{url}/server_info") as answer:
            if answer.status != 200:  # noqa: PLR2004 - HTTP's own
                raise CannotTakeOver(f"what listens at {url} does not answer as a sidecar: {await _message(answer)}")
            return msgspec.json.decode(await answer.read(), type=_Told)
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise CannotTakeOver(f"what listens at {url} does not answer as a sidecar") from exc


def _checked(told: _Told, config: Config, url: str) -> int:
    """Its process id. Raises CannotTakeOver."""
    if told.workers is not None:
        raise CannotTakeOver(f"the sidecar at {url} has workers, which cannot be taken over from: stop it first")
    if told.listener is None or told.listener.rpartition(":")[2] != str(config.listener.port):
        raise CannotTakeOver(
            f"the sidecar at {url} listens at {told.listener or 'no port'}, and the configuration says "
            f"{config.listener.address}:{config.listener.port}: a port cannot change in a take-over"
        )
    _check_ours(told.pid, url)
    return told.pid


def _check_ours(pid: int, url: str) -> None:
    """That it is on this machine and of this user: the system shares ports with nobody else. Raises CannotTakeOver."""
    try:
        os.kill(pid, 0)
        owner = Path(f"/proc/{pid}").stat().st_uid
    except PermissionError:
        owner = None
    except ProcessLookupError as exc:
        raise CannotTakeOver(f"the sidecar at {url} is process {pid}, and there is none on this machine") from exc
    except OSError:
        return  # no /proc: that we may send it signals must do
    if owner != os.geteuid():
        raise CannotTakeOver(f"the sidecar at {url} is process {pid}, of another user")


async def _message(answer: aiohttp.ClientResponse) -> str:
    try:
        return str((await answer.json())["error"]["message"])
    except (aiohttp.ClientError, ValueError, KeyError, TypeError):
        return f"HTTP {answer.status}"


def _url(admin: Admin) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(admin.address, admin.address)  # noqa: S104 - not bound but called
    scheme = "http" if admin.tls is None else "https"
    return f"{scheme}://[{host}]:{admin.port}" if ":" in host else f"{scheme}://{host}:{admin.port}"

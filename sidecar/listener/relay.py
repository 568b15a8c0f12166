"""
A provider's answer to the client, chunk by chunk as it comes.

Before its head is sent an error is a response; from then on it can only cut the connection. A slow client slows the
provider: the next chunk is asked for when the last one is on its way. What waits in between is bounded: 64 KiB here
for the client, 128 KiB in the connection to the provider.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

from aiohttp import web
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from sidecar.errors import SidecarError, UpstreamError
from sidecar.listener.journal import Journal
from sidecar.listener.passage import Passage
from sidecar.upstream.reply import Reply, UpstreamReset

CLIENT_GONE = "client_gone"
faults = logging.getLogger("sidecar.listener")


async def relay(
    request: web.BaseRequest,
    reply: Reply,
    first: bytes | None,
    *,
    headers: CIMultiDict[str],
    passage: Passage,
    keepalive_s: float,
    journal: Journal,
) -> tuple[web.StreamResponse, str | None]:
    """
    Sends `reply` through `passage`, beginning with its first bytes when they are here already. The response as far as
    it was sent, and the code of what cut it short, if anything did. Where the time went is written into `journal`.
    """
    if passage.keepalive:
        # Something of ours may be put in. A length would count it, and an answer that broke off could look whole.
        headers.popall("content-length", None)
    response = web.StreamResponse(status=reply.status, reason=reply.reason, headers=headers)
    journal.streamed = reply.is_events
    try:
        await response.prepare(request)
        # From here on the status is sent: an error can only cut the connection.
        code = await _body(response, reply, first, passage, keepalive_s=keepalive_s, journal=journal)
        if code is None:
            await _end(response, journal)
    except ConnectionError:
        return response, CLIENT_GONE
    except Exception:  # noqa: BLE001 - the last resort, with the cause in the log
        # Nothing should come here. A second response would be written into the first one.
        faults.exception("unexpected, in mid-answer")
        code = SidecarError.code
    finally:
        journal.account = passage.account
    if code is not None:
        cut(request)
    return response, code


def cut(request: web.BaseRequest) -> None:
    """Closes the client's connection without the end that its framing promised, after what is on its way."""
    transport = request.transport
    if transport is None:
        return
    if request.version < HttpVersion11 and (sock := transport.get_extra_info("socket")) is not None:
        # There the end of the connection may be the end of the answer; only a reset says that it is not.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()


async def _body(
    response: web.StreamResponse,
    reply: Reply,
    first: bytes | None,
    passage: Passage,
    *,
    keepalive_s: float,
    journal: Journal,
) -> str | None:
    async with _kept_alive(response, passage, keepalive_s, journal) as alive:
        try:
            chunk = await _next(reply, journal) if first is None else first
            if chunk:
                journal.begins()
            while chunk:
                if out := passage.feed(chunk):
                    alive.touch()
                    await _write(response, out, journal)
                if passage.ended:
                    break
                chunk = await _next(reply, journal)
        except UpstreamError as exc:
            await _write(response, passage.fail(exc), journal)
            return exc.code
    await _write(response, passage.finish(), journal)
    return UpstreamReset.code if passage.failed else None


async def _next(reply: Reply, journal: Journal) -> bytes:
    began = monotonic()
    try:
        return await reply.chunk()
    finally:
        journal.provider_s += monotonic() - began


async def _write(response: web.StreamResponse, out: bytes, journal: Journal) -> None:
    if out:
        began = monotonic()
        try:
            await response.write(out)
        finally:
            journal.written(monotonic() - began)
        journal.bytes_out += len(out)


async def _end(response: web.StreamResponse, journal: Journal) -> None:
    began = monotonic()
    try:
        await response.write_eof()
    finally:
        journal.written(monotonic() - began)


class _Alive:
    """When the client last heard something."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()

    def touch(self) -> None:
        self.heard_at = self._loop.time()

    def silent_s(self) -> float:
        return self._loop.time() - self.heard_at


@asynccontextmanager
async def _kept_alive(
    response: web.StreamResponse, passage: Passage, keepalive_s: float, journal: Journal
) -> AsyncIterator[_Alive]:
    """While inside, a silence of `keepalive_s` is broken by a keep-alive where the passage has a place for one."""
    alive = _Alive()
    if not passage.keepalive:
        yield alive
        return
    task = asyncio.get_running_loop().create_task(_keep(response, passage, keepalive_s, journal, alive))
    try:
        yield alive
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await task


async def _keep(
    response: web.StreamResponse, passage: Passage, keepalive_s: float, journal: Journal, alive: _Alive
) -> None:
    while True:
        await asyncio.sleep(max(keepalive_s - alive.silent_s(), 0.001))
        if alive.silent_s() >= keepalive_s:
            alive.touch()
            if out := passage.keepalive:
                await response.write(out)  # while the provider is waited for, so the time is counted already
                journal.bytes_out += len(out)

"""
The connection to a provider: one call out, one reply back, chunk by chunk as it comes.

    call ─▶ pool ─▶ connection ─▶ answer ─▶ reply
              └─ connecting         └─ parsed by llhttp

Nothing is added, decoded or followed: bodies stay compressed unless they must be read, redirects are answers, cookies
are not kept, the environment's proxies are not used. Whatever goes wrong on the connection becomes one of our errors
here and in `reply`, with its cause kept.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn

from sidecar.errors import RequestError, UpstreamError, UpstreamTimeout
from sidecar.upstream.answer import SWITCHING
from sidecar.upstream.connecting import ConnectTimeout, Unconnected, Unresolved, Untrusted
from sidecar.upstream.connection import Broken, Connection
from sidecar.upstream.pool import KEEP_S, Pool
from sidecar.upstream.refusal import Cause
from sidecar.upstream.reply import Call, Reply, reply_of
from sidecar.upstream.trust import Trust, system_trust
from sidecar.upstream.upload import Upload


class Client:
    """Calls providers over connections that are kept between calls."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()

    def connections(self) -> dict[tuple[str, ...], float]:
        """How many connections are open, by what they do now: `active` or `idle`."""
        active, idle = self._pool.counts()
        return {("active",): active, ("idle",): idle}

    async def send(self, call: Call) -> Reply:
        """
        The provider's answer as soon as its head is there, whatever its status. Raises UpstreamError when it cannot
        be reached, UpstreamTimeout when it is silent for too long, RequestError when an upload ends before its end.
        """
        due_at = self._loop.time() + call.timeouts.first_byte_s
        connection = self._pool.take(call.origin)
        while True:
            kept = connection is not None
            try:
                if connection is None:
                    connection = await self._made(call, due_at)
                body = call.body
                if body is not None and not isinstance(body, bytes):
                    return await self._uploaded(connection, call, body, due_at)
                answer = await connection.ask(call.head, body or b"", due_at, bare=call.bare)
                if answer.status == SWITCHING:
                    _switched(call)
                return reply_of(call, connection, answer)
            except BaseException as exc:
                if connection is not None:
                    connection.abort()
                if not (kept and _was_closing(exc, call)):
                    error = _told(exc, call)
                    if error is None:
                        raise
                    try:
                        raise error from exc
                    finally:
                        del error  # whose traceback has this frame, and the body in it
                connection = None

    async def _made(self, call: Call, due_at: float) -> Connection:
        """A new connection. Raises TimeoutError when it is the first byte's time that ends first."""
        timeouts = call.timeouts
        try:
            return await self._pool.make(call.origin, min(timeouts.connect_s, due_at - self._loop.time()))
        except ConnectTimeout as exc:
            if timeouts.connect_s > timeouts.first_byte_s:
                raise TimeoutError from exc
            raise

    async def _uploaded(self, connection: Connection, call: Call, body: AsyncIterator[bytes], due_at: float) -> Reply:
        heard = connection.ask(call.head, due_at=due_at, bare=call.bare)
        upload = Upload(connection, body, call.length, call.timeouts.first_byte_s)
        try:
            answer = await heard
            if answer.status == SWITCHING:
                _switched(call)
        except BaseException as exc:
            del heard  # which has `exc`, whose traceback has us
            await upload.stop()
            if isinstance(exc, Broken) and isinstance(upload.broken, RequestError):  # one that fell silent
                raise upload.told() from exc
            if isinstance(exc, Broken) and upload.broken is not None:
                raise RequestError("The body ends before its end.") from upload.broken
            raise
        return reply_of(call, connection, answer, upload)


def _switched(call: Call) -> NoReturn:
    """Nobody asked for it."""
    raise UpstreamError(f"{call.provider} wanted to switch protocols")


def _was_closing(error: BaseException, call: Call) -> bool:
    """
    Whether to ask once more, at once: the provider was just closing what an earlier call had left open. A connection
    that was made for this call and breaks is a failure, and who is asked next is not ours to say.
    """
    again = call.replayable and isinstance(call.body, bytes | None)
    return again and isinstance(error, Broken) and error.untouched


def _told(error: BaseException, call: Call) -> UpstreamError | None:
    """What went wrong on the connection, as one of our errors; None for what is one, or is no error."""
    match error:
        case ConnectTimeout():
            return UpstreamTimeout(f"{call.provider} did not answer within {call.timeouts.connect_s:g} s")
        case TimeoutError():
            return UpstreamTimeout(f"{call.provider} did not answer within {call.timeouts.first_byte_s:g} s")
        case Broken() | Unconnected():
            return UpstreamError(f"{call.provider} could not be reached: {error}")
    return None


@asynccontextmanager
async def open_client(
    *, trust: Callable[[], ssl.SSLContext] = system_trust, keep_s: float = KEEP_S
) -> AsyncIterator[Client]:
    """
    A client with no limit of its own on connections (`limits` has ours); closes them at its end. `trust` makes the TLS
    settings of providers that have none of their own; a connection that nobody uses for `keep_s` is closed.
    """
    pool = Pool(asyncio.get_running_loop(), Trust(trust), keep_s=keep_s)
    try:
        yield Client(pool)
    finally:
        await pool.close()


def cause_of(error: UpstreamError) -> Cause:
    """What failed, for an error that a `Client` or its `Reply` raised."""
    return next((cause for kind, cause in _CAUSES if isinstance(error.__cause__, kind)), Cause.RESET)


_CAUSES: tuple[tuple[type[Exception], Cause], ...] = (
    (Unresolved, Cause.DNS),
    (Untrusted, Cause.TLS),
    (Unconnected, Cause.CONNECT),
    (ConnectTimeout, Cause.CONNECT),
    (TimeoutError, Cause.TIMEOUT),
)

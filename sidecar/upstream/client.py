"""
The connection to a provider: one call out, one reply back, chunk by chunk as it comes.

Nothing is added, decoded or followed: bodies stay compressed unless they must be read, redirects are answers, cookies
are not kept, the environment's proxies are not used. Whatever aiohttp raises becomes one of our errors here, with its
cause kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import aiohttp
from attrs import define
from multidict import CIMultiDict

from sidecar.config.models import Timeouts
from sidecar.errors import RequestError, UpstreamError, UpstreamTimeout
from sidecar.upstream.refusal import Cause
from sidecar.upstream.reply import PIECE_BYTES, Call, Reply

LARGE_BYTES = 256 * 1024
"""A body over this is handed to the socket in pieces, so that its sending does not hold the event loop."""
READ_AHEAD_BYTES = 128 * 1024
"""What an answer may be ahead of whoever reads it. aiohttp's own is four times as much, for every stream."""
MAX_HEADER_BYTES = 64 * 1024
"""Of one header of an answer, or of its first line. aiohttp's own 8 KiB are less than some content policies."""


class Client:
    """Calls providers over connections that are kept between calls."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def connections(self) -> dict[tuple[str, ...], float]:
        """How many connections are open, by what they do now: `active` or `idle`."""
        connector = self._session.connector
        if connector is None:  # closed
            return {}
        idle = sum(map(len, connector._conns.values()))  # noqa: SLF001 - aiohttp tells nobody
        return {("active",): len(connector._acquired), ("idle",): idle}  # noqa: SLF001

    async def send(self, call: Call) -> Reply:
        """
        The provider's answer as soon as its head is there, whatever its status. Raises UpstreamError when it cannot
        be reached, UpstreamTimeout when it is silent for too long, RequestError when an upload ends before its end.
        """
        upload = None
        try:
            async with asyncio.timeout(call.timeouts.first_byte_s) as limit:
                if isinstance(call.body, AsyncIterator):
                    upload = _Upload(call.body, limit, call.timeouts.first_byte_s)
                response = await self._sent(call, upload)
        except TimeoutError as exc:
            raise UpstreamTimeout(f"{call.provider} did not answer within {_limit(exc, call.timeouts):g} s") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            if upload is not None and upload.broken is not None:
                raise RequestError("The body ends before its end.") from upload.broken
            raise UpstreamError(f"{call.provider} could not be reached: {_described(exc)}") from exc
        finally:
            if upload is not None:
                upload.limit = None
        if response.status == 101:  # noqa: PLR2004 - Switching Protocols, which nobody asked for
            response.close()
            raise UpstreamError(f"{call.provider} wanted to switch protocols")
        return Reply(call, response)

    async def _sent(self, call: Call, upload: "_Upload | None") -> aiohttp.ClientResponse:
        """Once more, at once, when the provider was just closing the connection that an earlier call had left open."""
        line = _Line()
        try:
            return await self._once(call, upload, line)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
            # One that was made for this call and breaks is a failure, and who is asked next is not ours to say.
            if not line.reused or not call.replayable or upload is not None:
                raise
            return await self._once(call, upload, line)

    async def _once(self, call: Call, upload: "_Upload | None", line: "_Line") -> aiohttp.ClientResponse:
        timeouts, headers, body = call.timeouts, _spelt_alike(call.headers), upload or call.body
        if isinstance(body, bytes) and len(body) > LARGE_BYTES:
            # With its length: without, pieces go out as chunks, which not every provider takes.
            headers["Content-Length"] = str(len(body))
            body = _pieces(body)
        return await self._session.request(
            call.method,
            call.url,
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            # `connect` is name, TCP and TLS together; `sock_connect` leaves the name out.
            timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s, sock_read=None),
            trace_request_ctx=line,
        )


@asynccontextmanager
async def open_client() -> AsyncIterator[Client]:
    """A client with no limit of its own on connections (`limits` has ours); closes them at its end."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0)
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_reused)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=READ_AHEAD_BYTES // 2,  # it stops reading at twice as much
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        trace_configs=[trace],
    ) as session:
        yield Client(session)


class _Upload(AsyncIterator[bytes]):
    """A body that the client is still sending. While it is the client who is waited for, the provider is not late."""

    def __init__(self, body: AsyncIterator[bytes], limit: asyncio.Timeout, first_byte_s: float) -> None:
        self._body = body
        self._first_byte_s = first_byte_s
        self.limit: asyncio.Timeout | None = limit
        """None when the answer began, or when none will come."""
        self.broken: Exception | None = None
        """What the client did wrong."""

    async def __anext__(self) -> bytes:
        self._due_at(None)
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            raise
        except Exception as exc:
            self.broken = exc
            raise
        finally:
            self._due_at(asyncio.get_running_loop().time() + self._first_byte_s)

    def _due_at(self, when: float | None) -> None:
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(when)


@define
class _Line:
    """The connection that a call goes over."""

    reused: bool = False
    """Whether an earlier call left it open."""


async def _reused(_session: aiohttp.ClientSession, trace: SimpleNamespace, _params: object) -> None:
    trace.trace_request_ctx.reused = True


def _spelt_alike(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Of a repeated header that is spelt in two ways, aiohttp sends only the last."""
    spelt: dict[str, str] = {}
    return CIMultiDict((spelt.setdefault(name.lower(), name), value) for name, value in headers.items())


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    whole = memoryview(body)
    for start in range(0, len(whole), PIECE_BYTES):
        yield bytes(whole[start : start + PIECE_BYTES])


def cause_of(error: UpstreamError) -> Cause:
    """What failed, for an error that a `Client` or its `Reply` raised."""
    return next((cause for kind, cause in _CAUSES if isinstance(error.__cause__, kind)), Cause.RESET)


_CAUSES: tuple[tuple[type[Exception], Cause], ...] = (
    (aiohttp.ClientConnectorDNSError, Cause.DNS),
    (aiohttp.ClientSSLError, Cause.TLS),
    (aiohttp.ClientConnectorError, Cause.CONNECT),
    (aiohttp.ConnectionTimeoutError, Cause.CONNECT),
    (TimeoutError, Cause.TIMEOUT),
)


def _limit(exc: TimeoutError, timeouts: Timeouts) -> float:
    return timeouts.connect_s if isinstance(exc, aiohttp.ConnectionTimeoutError) else timeouts.first_byte_s


def _described(exc: Exception) -> str:
    """What happened, without what was sent: aiohttp's own words may quote headers."""
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(exc, aiohttp.ClientSSLError):
        return "its certificate or TLS is not accepted"
    if isinstance(exc, aiohttp.ClientConnectorError | OSError):
        return exc.strerror or type(exc).__name__
    return type(exc).__name__

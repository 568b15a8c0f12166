"""
The connection to a provider: one call out, one reply back, chunk by chunk as it comes.

Nothing is added, decoded or followed: bodies stay compressed unless they must be read, redirects are answers, cookies
are not kept, the environment's proxies are not used. Whatever aiohttp raises becomes one of our errors here, with its
cause kept.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp
from attrs import define, field, frozen
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from sidecar.config.models import Timeouts
from sidecar.errors import RequestError, UpstreamError, UpstreamTimeout
from sidecar.upstream.refusal import Cause

LARGE_BYTES = 256 * 1024
"""A body over this is handed to the socket in pieces, so that its sending does not hold the event loop."""
PIECE_BYTES = 64 * 1024
READ_AHEAD_BYTES = 128 * 1024
"""What an answer may be ahead of whoever reads it. aiohttp's own is four times as much, for every stream."""
MAX_HEADER_BYTES = 64 * 1024
"""Of one header of an answer, or of its first line. aiohttp's own 8 KiB are less than some content policies."""


class UpstreamReset(UpstreamError):
    """The provider cut the connection in the middle of its answer."""

    code = "upstream_reset"


@frozen
class Call:
    """One request to a provider, ready to be sent."""

    provider: str
    """For messages."""
    method: str
    url: URL
    """With path and query encoded as they shall be sent."""
    headers: CIMultiDict[str]
    body: bytes | AsyncIterator[bytes] | None
    timeouts: Timeouts = field(factory=Timeouts)
    replayable: bool = True
    """Whether sending it twice does no harm."""


class Reply:
    """A provider's answer: its head is here, its body comes as it is asked for. Close it (`async with`)."""

    def __init__(self, call: Call, response: aiohttp.ClientResponse) -> None:
        self._call = call
        self._response = response
        self._inflater: zlib._Decompress | None = None
        self._first_due_at: float | None = None
        self._unwatch = _watch(response, call.timeouts.idle_s)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def reason(self) -> str | None:
        return self._response.reason

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return self._response.headers

    async def chunk(self) -> bytes:
        """
        The next bytes of the body as they came, empty at its end. Raises UpstreamReset when the body ends before its
        end, UpstreamTimeout after too long a silence.
        """
        if self._first_due_at is None:
            return await self._some()
        try:
            async with asyncio.timeout_at(self._first_due_at):
                chunk = await self._some()
        except TimeoutError as exc:
            raise UpstreamTimeout(f"{self._call.provider} sent a head and nothing after it") from exc
        self._first_due_at = None
        return chunk

    def expect_first_within(self, seconds: float) -> None:
        """From here on a first chunk that comes later is an UpstreamTimeout; for the others there is the idle time."""
        self._first_due_at = asyncio.get_running_loop().time() + seconds

    async def _some(self) -> bytes:
        return await (self._raw() if self._inflater is None else self._plain(self._inflater))

    def decompress(self) -> None:
        """
        From here on `chunk` gives plain bytes, for answers that are read and were compressed unasked. Raises
        UpstreamError for a compression we cannot read.
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in {"gzip", "x-gzip", "deflate"}:
            self._inflater = zlib.decompressobj(47)  # either of them
        elif encoding not in {"", "identity"}:
            raise UpstreamError(f"{self._call.provider} compressed its answer although it was asked not to: {encoding}")

    async def _plain(self, inflater: "zlib._Decompress") -> bytes:
        while True:
            raw = inflater.unconsumed_tail or await self._raw()
            try:
                plain = inflater.decompress(raw, PIECE_BYTES)
            except zlib.error as exc:
                raise UpstreamReset(f"{self._call.provider} did not compress its answer as it says") from exc
            if plain or (not raw and inflater.eof):
                return plain
            if not raw:
                raise UpstreamReset(f"{self._call.provider} ended its answer before the end")

    async def _raw(self) -> bytes:
        content = self._response.content
        try:
            if content.exception() is not None and (left := content._read_nowait(-1)):  # noqa: SLF001 - no other way
                return left  # it came before the connection broke; aiohttp itself would drop it
            return await content.readany()
        except TimeoutError as exc:
            raise UpstreamTimeout(f"{self._call.provider} sent nothing for {self._call.timeouts.idle_s:g} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise UpstreamReset(f"{self._call.provider} ended its answer before the end") from exc

    async def read(self, limit_bytes: int) -> bytes:
        """All of a body that is at most `limit_bytes` long; of a longer one, no more than that. Raises as `chunk`."""
        body = bytearray()
        while len(body) < limit_bytes and (chunk := await self.chunk()):
            body += chunk
        return bytes(body[:limit_bytes])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unwatch()
        # A body read to its end gives its connection back to the pool; any other is closed with it.
        self._response.close()


class Client:
    """Calls providers over connections that are kept between calls."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

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


def _watch(response: aiohttp.ClientResponse, idle_s: float) -> Callable[[], None]:
    """
    Sees to it that a body which does not go on says so: after a silence, and after a malformed chunk, for which aiohttp
    closes the connection and tells nobody. What it gives ends the watch.
    """
    protocol = response.connection.protocol if response.connection is not None else None
    if protocol is None:  # all of it is here
        return lambda: None
    protocol.read_timeout = idle_s  # not earlier: until its head is here, the first byte has a limit of its own
    protocol.start_timeout()
    closed = protocol.closed
    if closed is None:
        return lambda: None
    content = response.content

    def broken(_closed: "asyncio.Future[None]") -> None:
        if not content.is_eof() and content.exception() is None:
            content.set_exception(aiohttp.ClientPayloadError("the connection was closed"))

    def unwatch() -> None:
        closed.remove_done_callback(broken)

    closed.remove_done_callback(_looked_at)  # once is enough, however many calls go over the connection
    closed.add_done_callback(_looked_at)
    closed.add_done_callback(broken)
    return unwatch


def _looked_at(closed: "asyncio.Future[None]") -> None:
    """asyncio complains in the log about an error that nobody looked at."""
    if not closed.cancelled():
        closed.exception()


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

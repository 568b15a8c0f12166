"""
One place that answers JSON with JSON: POST a body, get the decoded answer, or one of our errors.

Classifiers that ask a model over HTTP are given one of these; they declare what they need of it and never see aiohttp.
Whatever goes wrong on the way becomes `UpstreamError` or `UpstreamTimeout` here, with the cause kept. Messages name the
place and what happened; they never quote a key, a body or an answer, because an answer may quote the prompt.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from attrs import frozen
from yarl import URL

from sidecar.config.models import MIB, Secret
from sidecar.errors import ConfigError, UpstreamError, UpstreamTimeout


@asynccontextmanager
async def open_session(*, connect_s: float = 5.0, idle_s: float = 300.0) -> AsyncIterator[aiohttp.ClientSession]:
    """
    A client session that adds nothing of its own: no cookies, no proxy from the environment, no decompression.

    `connect_s` bounds the making of a connection, `idle_s` the longest silence on it; the whole has no limit, because
    a stream has none. Closes its connections at the end.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=idle_s)
    async with aiohttp.ClientSession(
        timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    ) as session:
        yield session


@frozen
class _Call:
    url: URL
    payload: bytes
    headers: Mapping[str, str]
    limit_bytes: int

    @property
    def place(self) -> str:
        """For messages: neither the query nor a user's password belongs there."""
        return f"{self.url.origin()}{self.url.path}"


class Endpoint:
    """The JSON endpoints under one base URL, asked with one key."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, access_key: Secret | None, *, timeout_s: float = 30.0
    ) -> None:
        """
        `base_url` is taken as given, such as `http://localhost:11434/v1`: paths are appended to it, a query stays.

        `timeout_s` bounds one whole call, whoever else bounds it too. Raises `ConfigError` for what is no http(s) URL.
        """
        self._session = session
        # A user and password in the URL would ask for an Authorization header of their own: the key goes first.
        self._base = _parsed(base_url) if access_key is None else _parsed(base_url).with_user(None)
        self._key = access_key
        self._timeout_s = timeout_s

    async def post(self, path: str, body: Mapping[str, object], *, limit_bytes: int = MIB) -> object:
        """
        What the endpoint answers to `body` at `path` (such as `/chat/completions`), decoded.

        Raises `UpstreamTimeout` when it takes too long, `UpstreamError` when it cannot be reached, answers anything
        but 2xx, more than `limit_bytes`, or no JSON, and when the key it needs is not set.
        """
        # Escaped to ASCII: half a surrogate pair, which JSON may carry and UTF-8 may not, must not end here.
        call = _Call(self._url(path), json.dumps(body).encode("ascii"), self._headers(), limit_bytes)
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._twice(call)
        except TimeoutError as exc:
            raise UpstreamTimeout(f"{call.place} did not answer in time") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise UpstreamError(f"{call.place} could not be asked: {type(exc).__name__}") from exc
        return _decoded(answer, call)

    async def _twice(self, call: _Call) -> bytes:
        """Asks again, once, when the other side was just closing the connection that an earlier call had left open."""
        try:
            return await self._once(call)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            return await self._once(call)

    async def _once(self, call: _Call) -> bytes:
        request = self._session.post(call.url, data=call.payload, headers=call.headers, allow_redirects=False)
        async with request as response:
            if not 200 <= response.status < 300:  # noqa: PLR2004 - a status class, plainer in digits
                raise UpstreamError(f"{call.place} answered {response.status}")
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise UpstreamError(f"{call.place} answered compressed, which it was asked not to do")
            return await _bounded(response.content, call)

    def _url(self, path: str) -> URL:
        return self._base.with_path(self._base.raw_path.rstrip("/") + path, encoded=True, keep_query=True)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._revealed(self._key)}"
        return headers

    def _revealed(self, key: Secret) -> str:
        if value := key.reveal():
            return value
        raise UpstreamError(f"{self._base.origin()} needs a key: {key.variable or 'access_key'} is not set")


def _parsed(base_url: str) -> URL:
    try:
        url = URL(base_url)
    except ValueError as exc:
        raise ConfigError("base_url is no URL") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("base_url must be a whole URL such as http://localhost:11434/v1")
    return url.with_fragment(None)


async def _bounded(content: aiohttp.StreamReader, call: _Call) -> bytes:
    """The whole body, given up as soon as it is known to be over the limit."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > call.limit_bytes:
            raise UpstreamError(f"{call.place} answered more than {call.limit_bytes} bytes")
    return bytes(body)


def _decoded(answer: bytes, call: _Call) -> object:
    try:
        return msgspec.json.decode(answer)
    except (ValueError, RecursionError) as exc:
        raise UpstreamError(f"{call.place} answered with something that is not JSON") from exc

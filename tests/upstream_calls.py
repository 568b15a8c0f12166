"""What the tests of the connection to a provider share: calls, sinks."""

import asyncio
from math import inf

from sidecar.config.models import Timeouts
from sidecar.upstream.origin import Origin
from sidecar.upstream.reply import Call

QUICK = Timeouts(0.05, 0.05, 0.05)


JSON = ("content-type", "application/json")


def call(
    provider, method="POST", path="/v1/chat/completions?x=%2f", *, headers=(JSON,), body=b"{}", length=None, **more
):
    """`provider` is a double, or a port."""
    port = getattr(provider, "port", provider)
    origin = Origin(getattr(provider, "scheme", "http"), "127.0.0.1", port)
    length = len(body) if isinstance(body, bytes) else length
    framing = ("transfer-encoding", "chunked") if length is None else ("content-length", length)
    headers = [*headers, framing] if body is not None else headers
    told = {"timeouts": Timeouts(), "length": length, "bare": method == "HEAD", **more}
    return Call("p", origin, _head(method, path, f"127.0.0.1:{port}", headers), body, **told)


def _head(method, path, host, headers=()):
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "\r\n"]).encode()


def got(origin, *, host=None, **more):
    """A GET without headers, but for the `host`."""
    told = {"timeouts": Timeouts(), **more}
    return Call("p", origin, _head("GET", "/", host or origin.host), None, **told)


async def asked(client, provider, **more):
    """(status, body) of a call, to its end."""
    async with await client.send(call(provider, **more)) as reply:
        return reply.status, await reply.read(1 << 24)


async def until(true):
    """For what the other side of a socket does."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.001)


class Taking:
    """A sink that keeps what it takes."""

    passed_at = -inf

    def __init__(self, *, wants=None):
        self.pieces, self.wants = [], wants

    def pass_on(self, piece, chunk):
        return False

    def take(self, piece):
        self.pieces.append(piece)
        return self.wants is None or len(self.pieces) < self.wants

    @property
    def body(self):
        return b"".join(self.pieces)

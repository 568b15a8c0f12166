"""What the tests of the connection to a provider share: calls, sinks."""

import asyncio

from sidecar.config.models import Timeouts
from sidecar.upstream.origin import Origin
from sidecar.upstream.reply import Call

QUICK = Timeouts(0.05, 0.05, 0.05)


def call(provider, method="POST", path="/v1/chat/completions?x=%2f", **more):
    """`provider` is a double, or a port."""
    port = getattr(provider, "port", provider)
    told = {"headers": [("content-type", "application/json")], "body": b"{}", "timeouts": Timeouts(), **more}
    return Call("p", method, Origin(getattr(provider, "scheme", "http"), "127.0.0.1", port), path, **told)


async def asked(client, provider, **more):
    """(status, body) of a call, to its end."""
    async with await client.send(call(provider, **more)) as reply:
        return reply.status, await reply.read(1 << 24)


async def until(true):
    """For what the other side of a socket does."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.001)


class Taking:
    """A sink that keeps what it takes."""

    def __init__(self, *, wants=None):
        self.pieces, self.wants = [], wants

    def take(self, piece):
        self.pieces.append(piece)
        return self.wants is None or len(self.pieces) < self.wants

    @property
    def body(self):
        return b"".join(self.pieces)

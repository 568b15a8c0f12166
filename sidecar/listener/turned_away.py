"""
A connection too many. It gets neither a parser nor a task, only one answer that is always the same.

nginx's way, `limit_conn`, where Envoy closes without a word: a client that is told tries again later and not at once.
The socket is closed when the client has read that, for a close with its request unread would be a reset, which takes the
answer with it. Nobody is waited for longer than `LINGER_S`, and not more of them than `MOST_WAITING` at once.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from sidecar.upstream.limits import Overloaded
from sidecar.wire.answer import error_body
from sidecar.wire.formats import Format

LINGER_S = 1.0
MOST_WAITING = 256


def said(error: Overloaded) -> bytes:
    """As OpenAI's clients know it: whose format it is, only a request could tell."""
    body = error_body(Format.CHAT, error)
    head = (
        f"HTTP/1.1 {error.status} Service Unavailable\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nretry-after: {error.retry_after_s:.0f}\r\nx-sidecar-error: {error.code}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body


class TurnedAway(asyncio.Protocol):
    """`waiting`: those of its kind that are still there. `counted` is called once there is somebody to turn away."""

    def __init__(self, answer: bytes, waiting: set["TurnedAway"], counted: Callable[[], None]) -> None:
        self._answer = answer
        self._waiting = waiting
        self._counted = counted
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._counted()
        client = cast(asyncio.Transport, transport)
        client.write(self._answer)
        if len(self._waiting) >= MOST_WAITING or not client.can_write_eof():
            client.close()
            return
        client.write_eof()
        self._waiting.add(self)
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, client.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()

"""
A body that the client is still sending, written to the provider as it comes.

While it is the client who is waited for, the provider is not late. The answer may come before the body has ended, and
the body goes on then; such a connection is not used again.
"""

import asyncio
from collections.abc import AsyncIterator
from math import inf

from sidecar.upstream.connection import Connection


class NotAsLong(Exception):
    """The body is not as long as was said."""


class Upload:
    """Begins at once. End it with `stop`."""

    def __init__(
        self, connection: Connection, body: AsyncIterator[bytes], length: int | None, first_byte_s: float
    ) -> None:
        """`length`: as the head says; None for chunks."""
        self.broken: Exception | None = None
        """What the client did wrong. The connection is closed then."""
        self._connection = connection
        self._body = body
        self._left = length
        self._first_byte_s = first_byte_s
        self._loop = asyncio.get_running_loop()
        connection.outgoing.sending = True
        self._task = self._loop.create_task(self._run())

    def told(self) -> Exception:
        """`broken`, which is forgotten here: whoever raises it puts a traceback into it, and that has us."""
        broken, self.broken = self.broken, None
        return broken or NotAsLong()

    async def stop(self) -> None:
        """Writes nothing more, and lets go of the client's body."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while (piece := await self._next()) is not None:
                if not self._connection.is_open:
                    return
                self._write(piece)
                await self._connection.outgoing.drained()
            self._finish()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the body has no end
            self.broken = exc.with_traceback(None)  # which has us, and the client's request
            self._connection.abort()
        else:
            self._connection.outgoing.sending = False

    async def _next(self) -> bytes | None:
        self._connection.postpone(inf)
        try:
            return await anext(self._body, None)
        finally:
            self._connection.postpone(self._loop.time() + self._first_byte_s)

    def _write(self, piece: bytes) -> None:
        if not piece:
            return  # as a chunk it would be the end
        if self._left is None:
            self._connection.outgoing.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            return
        self._left -= len(piece)
        if self._left < 0:
            raise NotAsLong
        self._connection.outgoing.write(piece)

    def _finish(self) -> None:
        if self._left is None:
            self._connection.outgoing.write(b"0\r\n\r\n")
        elif self._left:
            raise NotAsLong

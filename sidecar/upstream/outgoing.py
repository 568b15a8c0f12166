"""
The writing half of a connection to a provider: no faster than the provider takes it, and without a task of its own.
"""

from asyncio import AbstractEventLoop, Future, Transport

LARGE_BYTES = 256 * 1024
"""A body over this is handed to the socket in pieces, so that its sending does not hold the event loop."""
PIECE_BYTES = 64 * 1024
APART_BYTES = 16 * 1024
"""From here on head and body are handed over side by side: to join them would copy the body once more."""


class Outgoing:
    """What is written to `transport`. `full` and `has_room` are the transport's to call."""

    def __init__(self, loop: AbstractEventLoop, transport: Transport) -> None:
        self.sending = False
        """Whether some of the request is still to be handed to the transport, by `send` or by an upload."""
        self.is_closing = transport.is_closing
        self._loop = loop
        self._transport = transport
        self._unsent: memoryview | None = None
        self._full = False
        self._room: Future[None] | None = None

    def send(self, head: bytes, body: bytes) -> None:
        """For a body from `APART_BYTES` on."""
        if len(body) <= LARGE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._unsent, self.sending = memoryview(body), True
            self._push()

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        """Until the provider has taken most of what was written, or the connection is closed."""
        while self._full and not self._transport.is_closing():
            self._room = self._loop.create_future()
            await self._room

    def full(self) -> None:
        self._full = True

    def has_room(self) -> None:
        self._full = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._push()

    def _push(self) -> None:
        """One piece of a large body in each turn of the loop, while the socket has room."""
        rest = self._unsent
        if rest is None or self._full or self._transport.is_closing():
            return
        self._transport.write(rest[:PIECE_BYTES])
        self._unsent = rest[PIECE_BYTES:] if len(rest) > PIECE_BYTES else None
        self.sending = self._unsent is not None
        self._loop.call_soon(self._push)

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
        self.uploading = False
        """Whether somebody else is still writing the body of the request."""
        self._loop = loop
        self._transport = transport
        self._unsent: memoryview | None = None
        self._full = False
        self._room: Future[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether all of the request has left."""
        return self._unsent is None and not self.uploading and not self._transport.get_write_buffer_size()

    def send(self, head: bytes, body: bytes) -> None:
        if len(body) < APART_BYTES:
            self._transport.write(head + body)  # in one packet, where two would wake the provider twice
        elif len(body) <= LARGE_BYTES:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
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
        self._loop.call_soon(self._push)

"""
The provider of streams where there is no compiler: as streams.c, on uvloop.

    python paced.py FOLDER PIECES PACE_US       prints the port it listens on
"""

import asyncio
import sys
from pathlib import Path

import uvloop


class Provider(asyncio.Protocol):
    def __init__(self, scripts, words, pace_s, paced):
        self.scripts, self.words, self.pace_s, self.paced = scripts, words, pace_s, paced
        self.received, self.timer = b"", None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _exc):
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data):
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self.received = body[length:]
        script = self.scripts["messages" if b"/messages" in head.partition(b"\r\n")[0] else "chat"]
        if self.paced in body[:length]:
            self._later(iter(script), asyncio.get_running_loop().time())
            return
        for piece in script:
            self.transport.write(piece)

    def _later(self, pieces, due):
        self.timer = asyncio.get_running_loop().call_at(due + self.pace_s, self._next, pieces, due + self.pace_s)

    def _next(self, pieces, due):
        if (piece := next(pieces, None)) is not None:
            self.transport.write(piece)
            self._later(pieces, due)


async def main(folder, pieces, pace_us):
    def script(wire):
        first, word, last = ((folder / f"{wire}.{part}").read_bytes() for part in ("first", "word", "last"))
        return [first, *[word] * (pieces - 2), last]

    scripts = {wire: script(wire) for wire in ("chat", "messages")}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Provider(scripts, pieces, pace_us / 1e6, b"at a steady pace"), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

"""
A provider made of raw sockets: what it was sent is kept byte for byte, and what it answers is written by the test.

    async def story(call):
        await call.send(EVENTS_HEAD)
        await call.send(chunk(b"data: 1\n\n"))
        await gate.wait()               # the test says when
        await call.cut()                # or call.reset(), or return: then the connection is kept

    provider.story = story

Nothing here knows HTTP but for the reading of one request, so it can break every rule of it.
"""

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager

from attrs import Factory, define, field, frozen


@frozen
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    """In order, names as written."""
    head: bytes
    body: bytes
    """Without chunks."""
    framed: bytes
    """With them, if there were any."""

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name):
        found = self.all(name)
        return found[0] if found else None

    @property
    def json(self):
        return json.loads(self.body)


class _Wire(asyncio.StreamReaderProtocol):
    """Tells the end of a connection even to whoever is not reading."""

    def __init__(self, provider):
        self.gone = asyncio.Event()
        reader = asyncio.StreamReader(limit=1 << 20)
        super().__init__(reader, lambda reader, writer: provider._connected(reader, writer, self.gone))

    def eof_received(self):
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc):
        self.gone.set()
        super().connection_lost(exc)


@define(eq=False)
class Call:
    """One request, as the story that answers it sees it."""

    number: int
    """Of the connection it came on, from 1."""
    request: Received
    gone: asyncio.Event
    """Set when the other side closes the connection."""
    ended: bool = False
    _provider: "Provider" = None
    _reader: asyncio.StreamReader = None
    _writer: asyncio.StreamWriter = None

    async def send(self, *pieces):
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            self._provider.pushed += len(piece)

    async def cut(self):
        """FIN, in good order as far as TCP knows."""
        self.ended = True
        self._writer.close()

    async def reset(self):
        """RST."""
        self.ended = True
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def read(self, size):
        """For such a story too: so many bytes, as they are framed."""
        return await self._reader.readexactly(size)

    async def body(self):
        """For a story told before the body came (`reads_body = False`): the body."""
        return (await _body(self._reader, self.request.headers))[0]


@define(eq=False)
class Provider:
    """`story` is told for every request; when it returns, the connection waits for the next one."""

    story: object = None
    port: int = 0
    scheme: str = "http"
    reads_body: bool = True
    requests: list[Received] = Factory(list)
    opened: int = 0
    closed: int = 0
    began: asyncio.Event = Factory(asyncio.Event)
    """Set by every request that arrives."""
    gone: asyncio.Event = Factory(asyncio.Event)
    """Set when a connection is closed by the other side while a story is told."""
    pushed: int = 0
    """Bytes that the other side's sockets took, or ours keep for them."""
    send_buffer_bytes: int | None = None
    _tasks: set = field(factory=set)

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def last(self):
        return self.requests[-1]

    async def _connected(self, reader, writer, gone):
        self.opened += 1
        task = asyncio.current_task()
        self._tasks.add(task)
        if self.send_buffer_bytes is not None:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.send_buffer_bytes)
        try:
            await self._converse(self.opened, reader, writer, gone)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side is gone, or the test is over
        finally:
            self.closed += 1
            if gone.is_set():
                self.gone.set()
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, number, reader, writer, gone):
        while True:
            request = await _request(reader, reads_body=self.reads_body)
            self.requests.append(request)
            self.began.set()
            call = Call(number, request, gone, provider=self, reader=reader, writer=writer)
            await self.story(call)
            if call.ended:
                return

    async def _stop(self):
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _request(reader, *, reads_body):
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = line.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    body, framed = await _body(reader, headers) if reads_body else (b"", b"")
    return Received(method, target, headers, head, body, framed)


async def _body(reader, headers):
    named = {name.lower(): value for name, value in headers}
    if named.get("transfer-encoding") != "chunked":
        body = await reader.readexactly(int(named.get("content-length", 0)))
        return body, body
    body, framed = [], []
    while True:
        size = await reader.readuntil(b"\r\n")
        piece = await reader.readexactly(int(size, 16) + 2)
        framed += (size, piece)
        if piece == b"\r\n":
            return b"".join(body), b"".join(framed)
        body.append(piece[:-2])


@asynccontextmanager
async def serving(story=None, *, kind=Provider, tls=None, **settings):
    """A provider of this kind on a free port. `tls`: an ssl.SSLContext."""
    provider = kind(story or answers(COMPLETION), scheme="https" if tls else "http", **settings)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Wire(provider), "127.0.0.1", 0, ssl=tls)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        server.close()
        await provider._stop()


# What providers send


def head(status=200, reason="OK", *headers):
    """`headers`: whole lines, such as "content-length: 3"."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} {reason}", *headers, "")).encode("latin-1")


def whole(body, *headers, status=200, reason="OK", kind="application/json"):
    return head(status, reason, f"content-type: {kind}", f"content-length: {len(body)}", *headers) + body


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"
EVENTS_HEAD = head(200, "OK", "content-type: text/event-stream", "transfer-encoding: chunked")


def event(data, name=None):
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


COMPLETION = json.dumps(
    {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()  # fmt: skip


def delta(text, finish=None):
    """An event of a chat stream."""
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


DONE = b"data: [DONE]\n\n"
CHAT_EVENTS = (delta("Hel"), delta("lo"), delta("", "stop"), DONE)
MESSAGES_EVENTS = (
    event(
        {
            "type": "message_start",
            "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
                "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
            },
        },
        "message_start",
    ),
    event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, "content_block_start"),
    event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}, "content_block_delta"),
    event({"type": "content_block_stop", "index": 0}, "content_block_stop"),
    event({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}}, "message_delta"),
    event({"type": "message_stop"}, "message_stop"),
)  # fmt: skip


def _response(status, output):
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "m", "output": output}


_PART = {"type": "output_text", "text": "Hello", "annotations": []}
_ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [_PART]}
RESPONSES_EVENTS = tuple(
    event({"type": name, "sequence_number": number, **more}, name)
    for number, (name, more) in enumerate(
        (
            ("response.created", {"response": _response("in_progress", [])}),
            ("response.output_item.added", {"output_index": 0, "item": {**_ITEM, "status": "in_progress", "content": []}}),
            ("response.content_part.added", {"item_id": "msg_1", "output_index": 0, "content_index": 0, "part": {**_PART, "text": ""}}),
            ("response.output_text.delta", {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "Hello"}),
            ("response.output_text.done", {"item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "Hello"}),
            ("response.content_part.done", {"item_id": "msg_1", "output_index": 0, "content_index": 0, "part": _PART}),
            ("response.output_item.done", {"output_index": 0, "item": _ITEM}),
            ("response.completed", {"response": _response("completed", [_ITEM])}),
        )
    )
)  # fmt: skip


# Stories


def answers(body, *headers, **more):
    """A whole answer, at once; the connection is kept."""
    return sends(whole(body, *headers, **more))


def sends(*pieces):
    """Bytes as they are; the connection is kept."""

    async def story(call):
        await call.send(*pieces)

    return story


def streams(*events):
    """Each event in a chunk of its own; the connection is kept."""
    return sends(EVENTS_HEAD, *map(chunk, events), END)


def refuses(status, error, *headers):
    """An error answer in OpenAI's shape."""
    return answers(json.dumps({"error": error}).encode(), *headers, status=status, reason="No")


async def hangs(call):
    """Says nothing until the other side goes."""
    await call.gone.wait()
    await call.cut()


def then_hangs(*pieces):
    """Says this and nothing more, until the other side goes."""

    async def story(call):
        await call.send(*pieces)
        await hangs(call)

    return story


def then_cut(*pieces):
    async def story(call):
        await call.send(*pieces)
        await call.cut()

    return story


async def is_cut(call):
    await call.cut()


async def is_reset(call):
    await call.reset()


def in_turn(*stories):
    """The first request gets the first story; the last one stays."""
    left = list(stories)

    async def story(call):
        await (left.pop(0) if len(left) > 1 else left[0])(call)

    return story


# A sidecar before them


def entry(provider, model="openai/first", **more):
    """An entry of `model_providers`."""
    return {"model": model, "base_url": getattr(provider, "url", provider), "access_key": "$KEY", **more}


KEYS = {"KEY": "provider-key"}


def before(*entries, **more):
    """A configuration for these entries, the first of them the default. JSON is YAML."""
    first, *others = entries
    return json.dumps({"model_providers": [{"default": True, **first}, *others], **more})

"""
What is asked, and what a provider answers: the bytes that every candidate sees alike.

A small request has 300 bytes, a large one is an agent's: 60 messages and ten tools, 100 KB or 400 KB. A plain reply has
600 bytes. A stream has 50 pieces, the last with its cost, and exists as OpenAI's chat completions and as Anthropic's
messages; each is a first piece, a piece that repeats, and a last one, so that a program in C needs no JSON.
"""

import json
from enum import StrEnum

from attrs import frozen

PIECES = 50
PACE_S = 0.01
PACED = "at a steady pace"
"""A prompt with these words gets its stream paced: they survive every translation."""

SMALL, LARGE, HUGE = 300, 100_000, 400_000


class Wire(StrEnum):
    CHAT = "chat"
    MESSAGES = "messages"


PATHS = {Wire.CHAT: "/v1/chat/completions", Wire.MESSAGES: "/v1/messages"}
ENDS = {Wire.CHAT: b"[DONE]", Wire.MESSAGES: b"message_stop"}
"""What the last piece of a stream holds."""


def compact(said):
    return json.dumps(said, separators=(",", ":")).encode()


# Requests

CODE = "Write a function in Python that reverses a linked list, and a test for it"
FILLER = "def handler(request): return Response(status=200, body=render(request.path))\n"


def tools(count):
    properties = {"path": {"type": "string", "description": "The file, from the root of the project"}}
    parameters = {"type": "object", "properties": properties, "required": ["path"]}
    about = "Reads one file of the project and gives its text with the numbers of its lines. " * 6
    return [(f"read_file_{n}", about, parameters) for n in range(count)]


def told(wire, count):
    if wire is Wire.MESSAGES:
        return [{"name": n, "description": d, "input_schema": p} for n, d, p in tools(count)]
    return [
        {"type": "function", "function": {"name": n, "description": d, "parameters": p}} for n, d, p in tools(count)
    ]


def request(model, size=SMALL, *, wire=Wire.CHAT, stream=False, paced=False):
    """The body, of about `size` bytes."""
    prompt = f"{CODE}, {PACED}" if paced else CODE
    asked = {"model": model, "max_tokens": 256, "temperature": 0.5}
    if stream:
        asked["stream"] = True
        if wire is Wire.CHAT:
            asked["stream_options"] = {"include_usage": True}
    if size == SMALL:
        bare = len(compact({**asked, "messages": [{"role": "user", "content": prompt}]}))
        asked["messages"] = [{"role": "user", "content": prompt + "." * max(0, size - bare)}]
        return compact(asked)
    asked["tools"] = told(wire, 10)
    each = (size - len(compact(asked)) - 200) // 60 - 40
    text = (FILLER * (each // len(FILLER) + 1))[:each]
    asked["messages"] = [{"role": ("user", "assistant")[n % 2], "content": text} for n in range(59)]
    asked["messages"].append({"role": "user", "content": prompt})
    return compact(asked)


# Answers

SAID = "Here is the function, with a test. " * 8
MODEL = "bench-2026-01-01"
CHAT_COST = {
    "prompt_tokens": 60,
    "completion_tokens": 80,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 20},
}
COST = {"input_tokens": 60, "output_tokens": 80, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 0}


def reply(wire):
    """A plain answer: its body."""
    if wire is Wire.MESSAGES:
        content = [{"type": "text", "text": SAID}]
        said = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content}
        return compact({**said, "stop_reason": "end_turn", "stop_sequence": None, "usage": COST})
    message = {"role": "assistant", "content": SAID, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    said = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1767225600, "model": MODEL}
    return compact({**said, "choices": [choice], "usage": CHAT_COST, "system_fingerprint": None})


@frozen
class Pieces:
    """Of a stream, with the framing of HTTP: `first` once, `word` again and again, `last` once."""

    first: bytes
    word: bytes
    last: bytes


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def pieces(wire):
    first, word, last = messages_events() if wire is Wire.MESSAGES else chat_events()
    return Pieces(HEAD + chunk(first), chunk(word), chunk(last) + b"0\r\n\r\n")


def chat_events():
    def event(**said):
        base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1767225600, "model": MODEL}
        return b"data: %b\n\n" % compact(base | said)

    def delta(said, why=None):
        return event(choices=[{"index": 0, "delta": said, "logprobs": None, "finish_reason": why}], usage=None)

    last = delta({}, "stop") + event(choices=[], usage=CHAT_COST) + b"data: [DONE]\n\n"
    return delta({"role": "assistant", "content": ""}), delta({"content": "word "}), last


def messages_events():
    def event(kind, **said):
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), compact({"type": kind, **said}))

    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": COST | {"output_tokens": 1}}
    first = event("message_start", message=message)
    first += event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    word = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word "})
    last = event("content_block_stop", index=0)
    last += event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 80}
    )
    return first, word, last + event("message_stop")

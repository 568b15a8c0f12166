"""
Messages, read: https://docs.anthropic.com/en/docs/build-with-claude/streaming

    message_start        {"message": {"usage": {…}}}
    content_block_start  {"index": 0, "content_block": {"type": "text" | "thinking" | "redacted_thinking" | "tool_use"}}
    content_block_delta  {"index": 0, "delta": {"type": "text_delta" | "thinking_delta" | "signature_delta" | …}}
    content_block_stop   {"index": 0}
    message_delta        {"delta": {"stop_reason", "stop_sequence"}, "usage": {…, cumulative}}
    message_stop | ping | error {"error": {"type", "message"}}

Events, blocks and deltas of types that are not named here are ignored, as Anthropic asks its clients to: server tools,
citations, and what is yet to come.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw, Struct

from sidecar.wire.formats import Format
from sidecar.wire.sse import Event
from sidecar.wire.translate.neutral import Seal, Stop, Usage
from sidecar.wire.translate.streams.decoding import decode, errored, object_text
from sidecar.wire.translate.streams.events import (
    PING,
    Finished,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolArguments,
    ToolCallStarted,
)
from sidecar.wire.translate.streams.order import PartQueue
from sidecar.wire.translate.streams.usage import NOTHING, read_usage

STOPS = {
    "end_turn": Stop.END,
    "stop_sequence": Stop.SEQUENCE,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "tool_use": Stop.TOOLS,
    "refusal": Stop.REFUSED,
}
"""`pause_turn` is for server tools, which no other format can resume: it ends the answer like any other stop."""
CONTENT = ("content_block_start", "content_block_delta")


class _Message(Struct):
    usage: Raw = NOTHING


class _Block(Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Raw] | None = None


class _Delta(Struct):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Data(Struct):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Raw = NOTHING
    error: object = None


class _MoreDelta(Struct, gc=False):
    type: str = ""
    text: str | None = None


class _More(Struct, gc=False):
    """An event, as far as it takes to see that it is more of a text and nothing else."""

    type: str = ""
    index: int = 0
    delta: _MoreDelta | None = None
    error: object = None


_decoder = msgspec.json.Decoder(_Data)
_more = msgspec.json.Decoder(_More)


class MessagesReader:
    """`suffix` makes the ids of calls that have none."""

    def __init__(self, suffix: str) -> None:
        self.usage: Usage | None = None
        self._suffix = suffix
        self._started = False
        self._stop: Stop | None = None
        self._stop_sequence: str | None = None
        self._parts = PartQueue()
        self._inputs: dict[int, str] = {}  # of open tool calls, by index: what their start held already
        self._runs: int | None = None  # the block that the last event was more text of, and passed

    def running(self, data: bytes) -> str | None:
        if self._runs is None:
            return None
        try:
            event = _more.decode(data)
        except (ValueError, RecursionError):
            return None
        delta = event.delta
        if delta is None or delta.type != "text_delta" or event.index != self._runs:
            return None
        return (delta.text or None) if event.type == "content_block_delta" and not event.error else None

    def read(self, event: Event) -> Iterator[StreamEvent]:
        self._runs = None
        if not event.data:
            return
        data = decode(_decoder, event.data)
        kind = data.type or event.event
        if not self._started and kind in CONTENT:  # of a server that knows no message_start
            yield from self._begin()
        if kind == "content_block_delta" and data.delta is not None:
            yield from self._delta(data.index, data.delta)
        elif kind == "content_block_start" and data.content_block is not None:
            yield from self._block(data.index, data.content_block)
        elif kind == "content_block_stop":
            yield from self._parts.end(data.index, self._inputs.pop(data.index, "{}"))
        elif kind == "error":
            yield errored(data.error)
        else:
            yield from self._message(kind, data)

    def finish(self) -> Iterator[StreamEvent]:
        """The end of the answer, if the provider has said why it stopped."""
        if self._stop is None:
            return
        yield from self._begin()
        for index, arguments in self._inputs.items():
            yield from self._parts.end(index, arguments)
        yield from self._parts.end_all()
        yield Finished(self._stop, self.usage, self._stop_sequence)

    def _message(self, kind: str | None, data: _Data) -> Iterator[StreamEvent]:
        if kind == "message_start":
            self.usage = read_usage(Format.MESSAGES, data.message.usage if data.message else NOTHING, self.usage)
            yield from self._begin()
        elif kind == "message_delta":
            self.usage = read_usage(Format.MESSAGES, data.usage, self.usage)
            if data.delta is not None and data.delta.stop_reason:
                self._stop = STOPS.get(data.delta.stop_reason, Stop.END)
                self._stop_sequence = data.delta.stop_sequence
        elif kind == "message_stop":
            self._stop = self._stop or Stop.END
            yield from self.finish()
        elif kind == "ping" and self._started:
            yield PING

    def _begin(self) -> Iterator[StreamEvent]:
        if not self._started:
            self._started = True
            yield Started(self.usage)

    def _block(self, index: int, block: _Block) -> Iterator[StreamEvent]:
        if block.type == "tool_use":
            self._inputs[index] = object_text(block.input or {})
            call_id = block.id or f"toolu_{self._suffix}_{index}"
            yield from self._parts.put(index, ToolCallStarted(call_id, block.name or ""), 0)
        elif block.type == "redacted_thinking" and block.data:
            yield from self._seal(index, "redacted", block.data)
        elif block.type == "text" and block.text:
            yield from self._parts.put(index, TextDelta(block.text), len(block.text))
        elif block.type == "thinking":
            if block.thinking:
                yield from self._parts.put(index, ThinkingDelta(block.thinking), len(block.thinking))
            yield from self._seal(index, "signature", block.signature)

    def _delta(self, index: int, delta: _Delta) -> Sequence[StreamEvent]:
        if delta.type == "text_delta" and delta.text:
            passes = self._parts.put(index, TextDelta(delta.text), len(delta.text))
            self._runs = index if passes else None
            return passes
        if delta.type == "input_json_delta" and delta.partial_json and index in self._inputs:
            return self._parts.put(index, ToolArguments(delta.partial_json), len(delta.partial_json))
        if delta.type == "thinking_delta" and delta.thinking:
            return self._parts.put(index, ThinkingDelta(delta.thinking), len(delta.thinking))
        return self._seal(index, "signature", delta.signature) if delta.type == "signature_delta" else ()

    def _seal(self, index: int, kind: str, opaque: str | None) -> Sequence[StreamEvent]:
        if not opaque:
            return ()
        return self._parts.put(index, ThinkingSealed(Seal(Format.MESSAGES, {kind: opaque})), len(opaque))

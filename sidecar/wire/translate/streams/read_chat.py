"""
Chat completions, read: https://platform.openai.com/docs/api-reference/chat-streaming

    data: {"choices": [{"index": 0, "delta": {"role", "content", "refusal", "tool_calls": [{"index", "id", "function":
           {"name", "arguments"}}]}, "finish_reason": null}], "usage": null}
    data: [DONE]

Everybody offers this format, and everybody offers it differently. What is understood beside OpenAI's own:

- thinking in `reasoning_content` (DeepSeek, vLLM, Moonshot) or `reasoning` (OpenRouter, Groq, newer vLLM), or in a
  content that is a list of parts (Mistral);
- a first chunk without choices (Azure), without role, chunks without delta; only choice 0 counts;
- usage in the last chunk with content, or in one without choices, or in every chunk;
- tool calls without index, without id, with arguments in one piece or as an object, all with index 0 (Gemini), with a
  new id in every piece (older vLLM), their pieces in turns; `finish_reason: stop` after tool calls;
- an error object inside the stream, `finish_reason: error` (OpenRouter); an end without `[DONE]`.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw, Struct

from sidecar.wire.formats import Format
from sidecar.wire.parts import text_of
from sidecar.wire.sse import Event
from sidecar.wire.translate.neutral import Stop, Usage
from sidecar.wire.translate.streams.chat_calls import ToolCalls
from sidecar.wire.translate.streams.decoding import decode, errored
from sidecar.wire.translate.streams.events import (
    Errored,
    Finished,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
)
from sidecar.wire.translate.streams.order import PartQueue
from sidecar.wire.translate.streams.usage import NOTHING, read_usage

STOPS = {
    "stop": Stop.END,
    "length": Stop.LENGTH,
    "model_length": Stop.LENGTH,
    "max_tokens": Stop.LENGTH,
    "tool_calls": Stop.TOOLS,
    "function_call": Stop.TOOLS,
    "content_filter": Stop.REFUSED,
}


class _Function(Struct):
    name: str | None = None
    arguments: str | dict[str, Raw] | None = None


class _Call(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct):
    content: str | list[object] | None = None
    refusal: str | None = None
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct):
    index: int | None = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: Raw = NOTHING
    error: object = None


class _MoreText(Struct, gc=False):
    content: str | None = None
    refusal: object = None
    reasoning_content: object = None
    reasoning: object = None
    tool_calls: object = None


class _MoreChoice(Struct, gc=False):
    index: int | None = 0
    delta: _MoreText | None = None
    finish_reason: object = None


class _More(Struct, gc=False):
    """A chunk, as far as it takes to see that it is more of a text and nothing else."""

    choices: list[_MoreChoice] | None = None
    usage: object = None
    error: object = None


_decoder = msgspec.json.Decoder(_Chunk)
_more = msgspec.json.Decoder(_More)


class ChatReader:
    """`suffix` makes the ids of calls that have none."""

    def __init__(self, suffix: str) -> None:
        self.usage: Usage | None = None
        self._started = False
        self._stop: Stop | None = None
        self._parts = PartQueue()
        self._calls = ToolCalls(self._parts, suffix)
        self._flow: type[StreamEvent] | None = None  # the kind of text that runs now
        self._flows = 0
        self._runs = False  # whether the last event was more of a text that passes

    def running(self, data: bytes) -> str | None:
        if not self._runs:
            return None
        try:
            chunk = _more.decode(data)
        except (ValueError, RecursionError):
            return None
        if chunk.usage is not None or chunk.error is not None or not chunk.choices or len(chunk.choices) > 1:
            return None
        choice = chunk.choices[0]
        delta = choice.delta
        if delta is None or choice.finish_reason or choice.index:
            return None
        if delta.refusal or delta.reasoning_content or delta.reasoning or delta.tool_calls:
            return None
        return delta.content or None

    def read(self, event: Event) -> Iterator[StreamEvent]:
        self._runs = False
        if not event.data:
            return
        if event.data.startswith(b"[DONE]"):
            self._stop = self._stop or Stop.END
            yield from self.finish()
            return
        chunk = decode(_decoder, event.data)
        if chunk.error:
            yield errored(chunk.error)
            return
        if not self._started:
            self._started = True
            yield Started()
        self.usage = read_usage(Format.CHAT, chunk.usage, self.usage)
        for choice in chunk.choices or ():
            if not choice.index:
                yield from self._choice(choice)

    def finish(self) -> Iterator[StreamEvent]:
        """The end of the answer, if the provider has said why it stopped."""
        if self._stop is None:
            return
        if not self._started:
            yield Started()
        yield from self._calls.finish()
        yield from self._parts.end_all()
        stop = Stop.TOOLS if self._calls.seen and self._stop is Stop.END else self._stop
        yield Finished(stop, self.usage)

    def _choice(self, choice: _Choice) -> Iterator[StreamEvent]:
        if choice.delta is not None:
            yield from self._delta(choice.delta)
        if choice.finish_reason == "error":
            yield Errored("api_error", "the provider stopped with an error")
        elif choice.finish_reason:
            self._stop = STOPS.get(choice.finish_reason, Stop.END)

    def _delta(self, delta: _Delta) -> Iterator[StreamEvent]:
        if thinking := delta.reasoning_content or delta.reasoning:
            yield from self._text(ThinkingDelta, _text_of(thinking))
        if isinstance(delta.content, list):
            yield from self._content(delta.content)
        elif delta.content:
            yield from self._text(TextDelta, delta.content)
        if delta.refusal:
            yield from self._text(RefusalDelta, delta.refusal)
        for call in delta.tool_calls or ():
            yield from self._end_text()
            function = call.function or _Function()
            yield from self._calls.piece(call.index, call.id, function.name, function.arguments)

    def _text(self, kind: type[TextDelta | ThinkingDelta | RefusalDelta], text: str | None) -> Iterator[StreamEvent]:
        if not text:
            return
        if kind is not self._flow:
            yield from self._end_text()
            yield from self._calls.settle()
            self._flow = kind
            self._flows += 1
        passes = self._parts.put(("text", self._flows), kind(text), len(text))
        self._runs = kind is TextDelta and bool(passes)
        yield from passes

    def _content(self, parts: list[object]) -> Iterator[StreamEvent]:
        """Mistral: `[{"type": "thinking", "thinking": [{"type": "text", "text"}]} | {"type": "text", "text"}]`."""
        for part in parts:
            if isinstance(part, dict):
                yield from self._text(TextDelta, _text_of(part.get("text")))
                yield from self._text(ThinkingDelta, text_of(part.get("thinking")))

    def _end_text(self) -> Sequence[StreamEvent]:
        if self._flow is None:
            return ()
        self._flow, self._runs = None, False
        return self._parts.end(("text", self._flows))


def _text_of(found: object) -> str | None:
    return found if isinstance(found, str) else None

"""
Responses, written: https://platform.openai.com/docs/api-reference/responses-streaming

    response.created ─▶ response.in_progress ─▶ items ─▶ response.completed | response.incomplete | response.failed

    a message      output_item.added ─▶ content_part.added ─▶ output_text.delta* ─▶ output_text.done ─▶
                   content_part.done ─▶ output_item.done; a refusal alike, with refusal.delta and refusal.done
    reasoning      output_item.added ─▶ reasoning_summary_part.added ─▶ reasoning_summary_text.delta* ─▶ ….done ─▶
                   reasoning_summary_part.done ─▶ output_item.done
    function call  output_item.added ─▶ function_call_arguments.delta* ─▶ ….done ─▶ output_item.done
    custom tool    likewise, its text in one custom_tool_call_input.delta, for it comes inside a JSON string

`sequence_number` counts from 0. The last event repeats the whole answer, which is why it is kept.
"""

from collections.abc import Iterable

from msgspec import Raw

from sidecar.wire.answer import encode
from sidecar.wire.sse import BrokenStream, event_bytes
from sidecar.wire.translate import names
from sidecar.wire.translate.neutral import Ids, Seal, Stop, ToolName
from sidecar.wire.translate.streams.events import (
    Errored,
    Finished,
    PartEnded,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolArguments,
    ToolCallStarted,
)
from sidecar.wire.translate.streams.items import Call, CustomCall, Item, Message, Reasoning, Refusal, Told
from sidecar.wire.translate.streams.usage import responses_usage

MAX_ANSWER_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 64
"""What a piece of text costs beside its letters, roughly."""
FAILED = {
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}
"""Kinds of errors that have a code of their own here; the others are `server_error`."""
INCOMPLETE = {Stop.LENGTH: "max_output_tokens", Stop.REFUSED: "content_filter"}
MORE = (
    b"event: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","sequence_number":%d,"item_id":%b,"output_index":%d,'
    b'"content_index":0,"delta":%b,"logprobs":[]}\n\n'
)
UNKNOWN: dict[str, object] = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "output": [],
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "usage": None,
}
"""What a Response repeats of the request, which a stream does not know: the values of a request that says nothing."""


class ResponsesWriter:
    def __init__(self, model: str, ids: Ids) -> None:
        self._suffix = ids.suffix
        self._response = {"id": f"resp_{ids.suffix}", "object": "response", "created_at": ids.created, "model": model}
        self._sequence = 0
        self._item: Item | None = None
        self._ended = False  # the item is over, but how it ended depends on what follows
        self._output: list[Raw] = []
        self._kept_bytes = 0
        self._started = False

    def write(self, event: StreamEvent) -> bytes:
        """Raises BrokenStream when the answer grows too large to be repeated."""
        if type(event) is PartEnded:
            self._ended = True
            return b""
        if not self._ended:
            return self._write(event)
        cut = isinstance(event, Finished) and event.stop in INCOMPLETE
        return self._close("incomplete" if cut else "completed") + self._write(event)

    def frame(self) -> None:
        """Each event has a number of its own."""

    def more(self, text: str, raw: bytes) -> bytes:
        item = self._item
        size = len(text) + PIECE_BYTES
        if type(item) is not Message or self._ended or self._kept_bytes + size > MAX_ANSWER_BYTES:
            return self.write(TextDelta(text))
        self._kept_bytes += size
        item.pieces.append(text)
        self._sequence += 1
        return MORE % (self._sequence - 1, encode(item.id), item.index, raw)

    def _write(self, event: StreamEvent) -> bytes:  # noqa: PLR0911 - a table of cases
        match event:
            case TextDelta(text):
                return self._add(Message, text)
            case ToolArguments(json):
                return self._add(Message, json)  # into the call that is open
            case ThinkingDelta(text):
                return self._add(Reasoning, text)
            case RefusalDelta(text):
                return self._add(Refusal, text)
            case ThinkingSealed(seal):
                return self._seal(seal)
            case ToolCallStarted(call_id, name):
                return self._call(call_id, names.inward(name))
            case Started():
                return self._start()
            case Finished():
                return self._finish(event)
            case Errored():
                return self._fail(event)
            case _:
                return b""

    def _start(self) -> bytes:
        self._started = True
        response = self._whole("in_progress")
        return self._tell("response.created", response=response) + self._tell("response.in_progress", response=response)

    def _add(self, kind: type[Message | Reasoning], text: str) -> bytes:
        """`kind`: what begins if nothing is open."""
        self._kept_bytes += len(text) + PIECE_BYTES
        if self._kept_bytes > MAX_ANSWER_BYTES:
            raise BrokenStream(f"the provider sent an answer of more than {MAX_ANSWER_BYTES} bytes")
        item = self._item
        if item is not None:
            return self._tell_all(item.add(text))
        item = kind(self._id(kind.prefix), len(self._output))
        return self._enter(item) + self._tell_all(item.add(text))

    def _seal(self, seal: Seal) -> bytes:
        begin = b"" if self._item else self._enter(Reasoning(self._id(Reasoning.prefix), len(self._output)))
        if isinstance(self._item, Reasoning):
            self._item.seal = seal
        return begin

    def _call(self, call_id: str, tool: ToolName) -> bytes:
        kind = CustomCall if tool.custom else Call
        return self._enter(kind(self._id(kind.prefix), len(self._output), call_id, tool))

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._suffix}_{len(self._output)}"

    def _enter(self, item: Item) -> bytes:
        self._item = item
        return self._tell_all(item.begin())

    def _close(self, status: str) -> bytes:
        self._ended = False
        item, self._item = self._item, None
        if item is None:
            return b""
        out = self._tell_all(item.end(status))
        self._output.append(Raw(encode(item.whole(status))))  # as bytes: a third of the memory
        return out

    def _finish(self, event: Finished) -> bytes:
        usage = responses_usage(event.usage) if event.usage else None
        if event.stop not in INCOMPLETE:
            return self._tell("response.completed", response=self._whole("completed", usage=usage))
        why = {"reason": INCOMPLETE[event.stop]}
        response = self._whole("incomplete", usage=usage, incomplete_details=why)
        return self._tell("response.incomplete", response=response)

    def _fail(self, event: Errored) -> bytes:
        start = b"" if self._started else self._start()
        error = {"code": event.code or FAILED.get(event.kind, "server_error"), "message": event.message}
        return start + self._tell("response.failed", response=self._whole("failed", error=error))

    def _whole(self, status: str, **known: object) -> dict[str, object]:
        return {**self._response, "status": status, **UNKNOWN, "output": self._output, **known}

    def _tell_all(self, told: Iterable[Told]) -> bytes:
        return b"".join([self._tell(kind, **fields) for kind, fields in told])

    def _tell(self, kind: str, **fields: object) -> bytes:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event_bytes(encode(event), kind)

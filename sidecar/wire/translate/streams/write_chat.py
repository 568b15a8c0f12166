"""
Chat completions, written: https://platform.openai.com/docs/api-reference/chat-streaming

    role ─▶ deltas ─▶ finish_reason ─▶ usage, without choices, only when asked for ─▶ data: [DONE]

A tool that takes free text comes as a function (`names`), so its input is known at its end only. Thinking goes where DeepSeek put it and everybody reads it, into `reasoning_content`. Seals have no place.
"""

from sidecar.wire.answer import encode
from sidecar.wire.sse import event_bytes
from sidecar.wire.translate import names
from sidecar.wire.translate.errors import OPENAI_TYPES
from sidecar.wire.translate.neutral import Ids, Stop
from sidecar.wire.translate.streams.decoding import free_text
from sidecar.wire.translate.streams.events import (
    Errored,
    Finished,
    PartEnded,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolArguments,
    ToolCallStarted,
)
from sidecar.wire.translate.streams.usage import chat_usage

FINISH_REASONS = {
    Stop.END: "stop",
    Stop.SEQUENCE: "stop",
    Stop.LENGTH: "length",
    Stop.TOOLS: "tool_calls",
    Stop.REFUSED: "content_filter",
}


class ChatWriter:
    def __init__(self, model: str, ids: Ids, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._head: dict[str, object] = {
            "id": f"chatcmpl-{ids.suffix}",
            "object": "chat.completion.chunk",
            "created": ids.created,
            "model": model,
        }
        self._nothing_spent: dict[str, object] = {"usage": None} if include_usage else {}
        self._calls = -1
        self._custom: str | None = None  # the function that stands for the custom tool that is called now
        self._pieces: list[str] = []  # what came of its arguments
        # What stands before and behind a text: 0.5 µs for each of thousands, not 2.
        self._before, _, self._behind = self._delta({"content": "\0"}).rpartition(b'"\\u0000"')

    def more(self, text: str, raw: bytes) -> bytes:  # noqa: ARG002 - `text` is for those who keep it
        return b"%b%b%b" % (self._before, raw, self._behind)

    def frame(self) -> tuple[bytes, bytes]:
        return self._before, self._behind

    def write(self, event: StreamEvent) -> bytes:  # noqa: C901, PLR0911 - a table of cases
        match event:
            case TextDelta(text):
                return self._delta({"content": text})
            case ToolArguments(json) if self._custom is not None:
                self._pieces.append(json)
                return b""
            case ToolArguments(json):
                return self._delta({"tool_calls": [{"index": self._calls, "function": {"arguments": json}}]})
            case ThinkingDelta(text):
                return self._delta({"reasoning_content": text})
            case RefusalDelta(text):
                return self._delta({"refusal": text})
            case ToolCallStarted(call_id, name):
                return self._call(call_id, name)
            case PartEnded() if self._custom is not None:
                return self._end_custom(self._custom)
            case Started():
                return self._delta({"role": "assistant", "content": ""})
            case Finished():
                return self._finish(event)
            case Errored():
                return self._error(event)
            case _:
                return b""

    def _delta(self, delta: dict[str, object], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event_bytes(encode({**self._head, "choices": [choice], **self._nothing_spent}))

    def _call(self, call_id: str, name: str) -> bytes:
        self._calls += 1
        tool = names.inward(name)
        if tool.custom:
            self._custom, self._pieces = name, []
            custom = {"name": tool.name, "input": ""}
            return self._delta(
                {"tool_calls": [{"index": self._calls, "id": call_id, "type": "custom", "custom": custom}]}
            )
        function = {"name": name, "arguments": ""}
        return self._delta(
            {"tool_calls": [{"index": self._calls, "id": call_id, "type": "function", "function": function}]}
        )

    def _end_custom(self, name: str) -> bytes:
        self._custom = None
        said = free_text(name, "".join(self._pieces))
        return self._delta({"tool_calls": [{"index": self._calls, "custom": {"input": said}}]})

    def _finish(self, event: Finished) -> bytes:
        out = self._delta({}, FINISH_REASONS[event.stop])
        if self._include_usage and event.usage is not None:
            out += event_bytes(encode({**self._head, "choices": [], "usage": chat_usage(event.usage)}))
        return out + event_bytes(b"[DONE]")

    @staticmethod
    def _error(event: Errored) -> bytes:
        kind = OPENAI_TYPES.get(event.kind, "server_error")
        body = {"message": event.message, "type": kind, "param": None, "code": event.code or event.kind}
        return event_bytes(encode({"error": body}))

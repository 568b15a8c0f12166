"""
Messages, written: https://docs.anthropic.com/en/docs/build-with-claude/streaming

    message_start ─▶ (content_block_start ─▶ content_block_delta* ─▶ content_block_stop)* ─▶ message_delta ─▶ message_stop

Blocks have indexes without gaps, one is open at a time. There is no refusal block: the words are text, and the stop
reason says what they are.
"""

from sidecar.wire.answer import encode
from sidecar.wire.formats import Format
from sidecar.wire.sse import event_bytes
from sidecar.wire.translate import seals
from sidecar.wire.translate.errors import TOO_LONG_CODE, TOO_LONG_WORDS
from sidecar.wire.translate.neutral import Ids, Seal, Stop, Usage
from sidecar.wire.translate.streams.events import (
    Errored,
    Finished,
    PartEnded,
    Ping,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolArguments,
    ToolCallStarted,
)
from sidecar.wire.translate.streams.usage import messages_usage

Json = dict[str, object]

STOP_REASONS = {
    Stop.END: "end_turn",
    Stop.SEQUENCE: "stop_sequence",
    Stop.LENGTH: "max_tokens",
    Stop.TOOLS: "tool_use",
    Stop.REFUSED: "refusal",
}
BEFORE = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)
BEHIND = b"}}\n\n"
MORE = BEFORE + b"%b" + BEHIND
TEXT: Json = {"type": "text", "text": ""}
THINKING: Json = {"type": "thinking", "thinking": "", "signature": ""}


class MessagesWriter:
    def __init__(self, model: str, ids: Ids) -> None:
        self._id = f"msg_{ids.suffix}"
        self._model = model
        self._index = 0
        self._open = False
        self._refused = False

    def write(self, event: StreamEvent) -> bytes:  # noqa: C901, PLR0911 - a table of cases
        match event:
            case TextDelta(text):
                return self._delta(TEXT, {"type": "text_delta", "text": text})
            case ToolArguments(json):
                return self._delta({}, {"type": "input_json_delta", "partial_json": json})
            case ThinkingDelta(text):
                return self._delta(THINKING, {"type": "thinking_delta", "thinking": text})
            case RefusalDelta(text):
                self._refused = True
                return self._delta(TEXT, {"type": "text_delta", "text": text})
            case ThinkingSealed(seal):
                return self._seal(seal)
            case ToolCallStarted(call_id, name):
                return self._begin({"type": "tool_use", "id": call_id, "name": name, "input": {}})
            case PartEnded():
                return self._end()
            case Started(usage):
                return self._start(usage or Usage())
            case Finished():
                return self._finish(event)
            case Errored():
                return _error(event)
            case Ping():
                return _event("ping")

    def more(self, text: str, raw: bytes) -> bytes:
        return MORE % (self._index, raw) if self._open else self.write(TextDelta(text))

    def frame(self) -> tuple[bytes, bytes] | None:
        return (BEFORE % self._index, BEHIND) if self._open else None

    def _start(self, usage: Usage) -> bytes:
        message: Json = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(usage),
        }
        return _event("message_start", message=message)

    def _begin(self, block: Json) -> bytes:
        self._open = True
        return _event("content_block_start", index=self._index, content_block=block)

    def _delta(self, block: Json, delta: Json) -> bytes:
        """`block`: how the block that `delta` belongs to begins, if it has not begun."""
        begin = b"" if self._open else self._begin(block)
        return begin + _event("content_block_delta", index=self._index, delta=delta)

    def _seal(self, seal: Seal) -> bytes:
        """Anthropic's own as it was; another's wrapped, in the one field that clients give back untouched."""
        own = seal.data if seal.origin is Format.MESSAGES else {}
        if "redacted" in own and not self._open:
            return self._begin({"type": "redacted_thinking", "data": own["redacted"]})
        signature = own.get("signature") or seals.wrap(seal)
        return self._delta(THINKING, {"type": "signature_delta", "signature": signature})

    def _end(self) -> bytes:
        if not self._open:
            return b""
        self._open = False
        self._index += 1
        return _event("content_block_stop", index=self._index - 1)

    def _finish(self, event: Finished) -> bytes:
        stop = Stop.REFUSED if self._refused and event.stop is Stop.END else event.stop
        delta = {"stop_reason": STOP_REASONS[stop], "stop_sequence": event.stop_sequence}
        usage = messages_usage(event.usage or Usage())
        return _event("message_delta", delta=delta, usage=usage) + _event("message_stop")


def _error(event: Errored) -> bytes:
    """Agents shorten their history when the message begins with the words that Anthropic uses."""
    message = event.message
    if event.code == TOO_LONG_CODE and not message.lower().startswith(TOO_LONG_WORDS):
        message = f"{TOO_LONG_WORDS}: {message}"
    return _event("error", error={"type": event.kind, "message": message})


def _event(kind: str, **fields: object) -> bytes:
    return event_bytes(encode({"type": kind, **fields}), kind)

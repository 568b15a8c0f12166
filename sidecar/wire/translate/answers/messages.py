"""
Messages' answer. https://docs.anthropic.com/en/api/messages

    {"id", "type": "message", "role": "assistant", "model", "content": [block, ...], "stop_sequence": null,
     "stop_reason": "end_turn" | "max_tokens" | "tool_use" | "stop_sequence" | "refusal" | "pause_turn" | ...,
     "usage": {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"}}

`input_tokens` leaves out what the cache read or wrote; OpenAI's counts include it.
"""

from collections.abc import Iterator
from typing import Any

from sidecar.errors import RequestError
from sidecar.wire.translate import jsontext, names, seals
from sidecar.wire.translate.answers.counts import number
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import Answer, Call, Ids, Part, Refusal, Stop, Text, Thinking, Usage
from sidecar.wire.translate.readers.messages_blocks import content

BLOCKS = {"text", "tool_use", "thinking", "redacted_thinking"}
STOPS = {
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "tool_use": Stop.TOOLS,
    "stop_sequence": Stop.SEQUENCE,
    "refusal": Stop.REFUSED,
}
REASONS = {
    Stop.LENGTH: "max_tokens",
    Stop.TOOLS: "tool_use",
    Stop.SEQUENCE: "stop_sequence",
    Stop.REFUSED: "refusal",
    Stop.END: "end_turn",
}


def read(body: Fields, _ids: Ids) -> Answer:
    if body.take("type") != "message":
        raise RequestError("type must be message", param="type")
    parts = tuple(_inward(part) for part in content(_known(body), "content"))
    stop = STOPS.get(str(body.take("stop_reason")), Stop.END)
    if stop is Stop.REFUSED and (details := body.object("stop_details")) and (why := details.take("explanation", str)):
        parts = (*parts, Refusal(why))
    return Answer(parts, stop, body.take("stop_sequence", str), usage(body.object("usage")))


def _known(body: Fields) -> Fields:
    """The blocks that a client of another format can be shown; what is new or for Anthropic alone passes by."""
    blocks = body.need("content", list)
    known = [block for block in blocks if not isinstance(block, dict) or str(block.get("type")) in BLOCKS]
    return Fields({"content": known}, "", body.notes)


def _inward(part: Part) -> Part:
    return names.inward_call(part.id, part.tool.name, part.arguments) if isinstance(part, Call) else part


def usage(given: Fields | None) -> Usage:
    if given is None:
        return Usage()
    cache_read, cache_write = number(given, "cache_read_input_tokens"), number(given, "cache_creation_input_tokens")
    return Usage(
        number(given, "input_tokens") + cache_read + cache_write,
        number(given, "output_tokens"),
        cache_read,
        cache_write,
        number(given.object("output_tokens_details"), "thinking_tokens"),
    )


def write(answer: Answer, model: str, ids: Ids) -> dict[str, Any]:
    refused = answer.stop is Stop.REFUSED or any(isinstance(part, Refusal) for part in answer.parts)
    stop = Stop.REFUSED if refused else answer.stop
    return {
        "id": f"msg_{ids.suffix}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(_blocks(answer.parts)),
        "stop_reason": REASONS[stop],
        "stop_sequence": answer.stop_sequence if stop is Stop.SEQUENCE else None,
        "usage": written_usage(answer.usage),
    }


def _blocks(parts: tuple[Part, ...]) -> Iterator[dict[str, Any]]:
    for part in parts:
        match part:
            case Text(text) | Refusal(text):
                yield {"type": "text", "text": text}
            case Thinking(text, seal):
                yield {"type": "thinking", "thinking": text, "signature": seals.wrap(seal) if seal else ""}
            case Call():
                yield _tool_use(part)
            case _:
                pass


def _tool_use(call: Call) -> dict[str, Any]:
    """An object here: arguments that are none, because the model wrote broken JSON, are told as they were."""
    written = names.outward_arguments(call)
    arguments = jsontext.loads_object(written)
    given = {"arguments": written} if arguments is None else arguments
    return {"type": "tool_use", "id": call.id, "name": names.outward(call.tool), "input": given}


def written_usage(spent: Usage) -> dict[str, Any]:
    details = {"output_tokens_details": {"thinking_tokens": spent.reasoning}} if spent.reasoning else {}
    return {
        "input_tokens": max(spent.input - spent.cache_read - spent.cache_write, 0),
        "cache_creation_input_tokens": spent.cache_write,
        "cache_read_input_tokens": spent.cache_read,
        "output_tokens": spent.output,
        **details,
    }

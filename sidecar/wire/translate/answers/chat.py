"""
Chat completions' answer. https://platform.openai.com/docs/api-reference/chat/object

    {"id", "object": "chat.completion", "created", "model", "usage": {...},
     "choices": [{"index": 0, "finish_reason": "stop" | "length" | "tool_calls" | "content_filter", "logprobs",
                  "message": {"role": "assistant", "content", "refusal", "tool_calls", "reasoning_content"}}]}

`reasoning_content` is nobody's standard and everybody's habit (DeepSeek's word; OpenRouter and vLLM say `reasoning`).
"""

from collections.abc import Iterator
from typing import Any

from sidecar.wire.translate import names
from sidecar.wire.translate.answers.counts import number
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import (
    Answer,
    Call,
    Ids,
    Part,
    Refusal,
    Stop,
    Text,
    Thinking,
    ToolName,
    Usage,
    joined,
)
from sidecar.wire.translate.readers import chat_parts
from sidecar.wire.translate.writers.common import present

STOPS = {"length": Stop.LENGTH, "tool_calls": Stop.TOOLS, "function_call": Stop.TOOLS, "content_filter": Stop.REFUSED}
REASONS = {Stop.LENGTH: "length", Stop.TOOLS: "tool_calls", Stop.REFUSED: "content_filter"}


def read(body: Fields, ids: Ids) -> Answer:
    choice = next(iter(body.objects("choices")), None) or body.need_object("choices")
    message = choice.need_object("message")
    parts = tuple(_parts(message, _logprobs(choice), ids))
    stop = STOPS.get(str(choice.take("finish_reason")), Stop.END)
    if stop is Stop.END and any(isinstance(part, Call) for part in parts):
        stop = Stop.TOOLS
    return Answer(parts, stop, usage=usage(body.object("usage")))


def usage(given: Fields | None) -> Usage:
    if given is None:
        return Usage()
    prompt, completion = given.object("prompt_tokens_details"), given.object("completion_tokens_details")
    return Usage(
        number(given, "prompt_tokens"),
        number(given, "completion_tokens"),
        number(prompt, "cached_tokens"),
        number(prompt, "cache_write_tokens"),
        number(completion, "reasoning_tokens"),
    )


def _logprobs(choice: Fields) -> tuple[Any, ...] | None:
    given = choice.object("logprobs")
    found = given.take("content", list) if given else None
    return tuple(found) if found else None


def _parts(message: Fields, logprobs: tuple[Any, ...] | None, ids: Ids) -> Iterator[Part]:
    thoughts = message.take("reasoning_content", str) or message.take("reasoning", str)
    if thoughts:
        yield Thinking(thoughts)
    if text := _text(message):
        yield Text(text, logprobs)
    if refusal := message.take("refusal", str):
        yield Refusal(refusal)
    for place, call in enumerate(message.objects("tool_calls")):
        yield _call(call, f"call_{ids.suffix}_{place}")
    if legacy := message.object("function_call"):
        yield names.inward_call(f"call_{ids.suffix}", legacy.text("name"), legacy.take("arguments", str) or "")


def _text(message: Fields) -> str:
    """A string by the book; some providers answer in parts, of which the text counts."""
    given = message.peek("content")
    if isinstance(given, list):
        known = [part for part in given if isinstance(part, dict) and part.get("type") == "text"]
        message = Fields({"content": known}, message.path, message.notes)
    return joined(chat_parts.content(message))


def _call(call: Fields, spare_id: str) -> Call:
    call_id = call.take("id", str) or spare_id
    if custom := call.object("custom"):
        return Call(call_id, ToolName(custom.text("name"), custom=True), custom.take("input", str) or "")
    function = call.need_object("function")
    return names.inward_call(call_id, function.text("name"), function.take("arguments", str) or "")


def write(answer: Answer, model: str, ids: Ids) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": _message(answer),
        "logprobs": _written_logprobs(answer),
        "finish_reason": REASONS.get(answer.stop, "stop"),
    }
    return {
        "id": f"chatcmpl-{ids.suffix}",
        "object": "chat.completion",
        "created": ids.created,
        "model": model,
        "choices": [choice],
        "usage": written_usage(answer.usage),
    }


def _message(answer: Answer) -> dict[str, Any]:
    calls = [_written_call(part) for part in answer.parts if isinstance(part, Call)]
    refusal = "".join(part.text for part in answer.parts if isinstance(part, Refusal))
    thoughts = "\n\n".join(part.text for part in answer.parts if isinstance(part, Thinking) and part.text)
    text = joined(answer.parts) or (None if calls or refusal else "")
    said = present(tool_calls=calls or None, reasoning_content=thoughts or None)
    return {"role": "assistant", "content": text, "refusal": refusal or None, **said}


def _written_call(call: Call) -> dict[str, Any]:
    if call.tool.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.tool.name, "input": call.arguments}}
    function = {"name": names.outward(call.tool), "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _written_logprobs(answer: Answer) -> dict[str, Any] | None:
    found = [token for part in answer.parts if isinstance(part, Text) for token in part.logprobs or ()]
    return {"content": found, "refusal": None} if found else None


def written_usage(spent: Usage) -> dict[str, Any]:
    written = {"cache_write_tokens": spent.cache_write} if spent.cache_write else {}
    return {
        "prompt_tokens": spent.input,
        "completion_tokens": spent.output,
        "total_tokens": spent.input + spent.output,
        "prompt_tokens_details": {"cached_tokens": spent.cache_read, **written},
        "completion_tokens_details": {"reasoning_tokens": spent.reasoning},
    }

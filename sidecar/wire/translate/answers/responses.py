"""
Responses' answer. https://platform.openai.com/docs/api-reference/responses/object

    {"id", "object": "response", "created_at", "status": "completed" | "incomplete" | "failed", "model", "error": null,
     "incomplete_details": null | {"reason": "max_output_tokens" | "content_filter"}, "usage": {...},
     "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text"}]},
                {"type": "function_call", "call_id", "name", "arguments"}, {"type": "reasoning", "summary": [...]}]}
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

from sidecar.errors import RequestError
from sidecar.wire.formats import Format
from sidecar.wire.translate import seals
from sidecar.wire.translate.answers.counts import number
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import Answer, Call, Ids, Part, Refusal, Stop, Text, Thinking, ToolName, Usage
from sidecar.wire.translate.readers.responses_items import sealed

STOPS = {"max_output_tokens": Stop.LENGTH, "content_filter": Stop.REFUSED}
REASONS = {stop: reason for reason, stop in STOPS.items()}


def read(body: Fields, ids: Ids) -> Answer:
    status = str(body.take("status") or "completed")
    if body.take("object") != "response" or status not in {"completed", "incomplete"}:
        raise RequestError("it must be a finished response", param="status")
    output = Fields({"output": body.need("output", list)}, "", body.notes).objects("output")
    parts = tuple(part for item in output for part in _item(item, ids))
    return Answer(parts, _stop(body, parts, status), usage=usage(body.object("usage")))


def _stop(body: Fields, parts: tuple[Part, ...], status: str) -> Stop:
    if status == "incomplete":
        details = body.object("incomplete_details")
        return STOPS.get(str(details.take("reason")) if details else "", Stop.LENGTH)
    return Stop.TOOLS if any(isinstance(part, Call) for part in parts) else Stop.END


def _item(item: Fields, ids: Ids) -> Iterator[Part]:
    kind = item.text("type")
    if kind == "message":
        for part in item.objects("content"):
            yield from _part(part)
    elif kind in {"function_call", "custom_tool_call"}:
        custom = kind == "custom_tool_call"
        tool = ToolName(item.text("name"), item.take("namespace", str), custom)
        call_id = item.take("call_id", str) or f"call_{ids.suffix}"
        yield Call(call_id, tool, item.take("input" if custom else "arguments", str) or "")
    elif kind == "reasoning":
        told = [*item.objects("summary")] or [*item.objects("content")]
        yield Thinking("\n\n".join(part.take("text", str) or "" for part in told), sealed(item))


def _part(part: Fields) -> Iterator[Part]:
    kind = part.text("type")
    if kind == "output_text":
        logprobs = part.take("logprobs", list)
        yield Text(part.text("text"), tuple(logprobs) if logprobs else None)
    elif kind == "refusal":
        yield Refusal(part.text("refusal"))


def usage(given: Fields | None) -> Usage:
    if given is None:
        return Usage()
    prompt, output = given.object("input_tokens_details"), given.object("output_tokens_details")
    return Usage(
        number(given, "input_tokens"),
        number(given, "output_tokens"),
        number(prompt, "cached_tokens"),
        number(prompt, "cache_write_tokens"),
        number(output, "reasoning_tokens"),
    )


def write(answer: Answer, model: str, ids: Ids) -> dict[str, Any]:
    reason = REASONS.get(answer.stop)
    return {
        "id": f"resp_{ids.suffix}",
        "object": "response",
        "created_at": ids.created,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": list(_items(answer.parts, "incomplete" if reason else "completed", ids)),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": written_usage(answer.usage),
    }


def _items(parts: tuple[Part, ...], status: str, ids: Ids) -> Iterator[dict[str, Any]]:
    """Neighbouring text and refusals are parts of one message."""
    places, said = count(), list[dict[str, Any]]()
    for part in (*parts, None):
        if isinstance(part, Text | Refusal):
            said.append(_content(part))
            continue
        if said:
            yield _message(said, status, f"msg_{ids.suffix}_{next(places)}")
            said = []
        if isinstance(part, Thinking):
            yield _reasoning(part, f"rs_{ids.suffix}_{next(places)}")
        elif isinstance(part, Call):
            yield _call(part, f"{ids.suffix}_{next(places)}")


def _message(content: list[dict[str, Any]], status: str, item_id: str) -> dict[str, Any]:
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": content}


def _content(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": list(part.logprobs or ())}


def _reasoning(part: Thinking, item_id: str) -> dict[str, Any]:
    """The summary holds the text that the seal was made for: both come back as they went."""
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    own = part.seal is not None and part.seal.origin is Format.RESPONSES
    opaque = {"encrypted_content": seals.wrap(part.seal)} if part.seal and not own else {}
    return {"type": "reasoning", "id": item_id, "summary": summary, **opaque}


def _call(call: Call, suffix: str) -> dict[str, Any]:
    space = {"namespace": call.tool.namespace} if call.tool.namespace else {}
    said = {"call_id": call.id, "name": call.tool.name, **space}
    if call.tool.custom:
        return {"type": "custom_tool_call", "id": f"ctc_{suffix}", **said, "input": call.arguments}
    return {
        "type": "function_call",
        "id": f"fc_{suffix}",
        "status": "completed",
        **said,
        "arguments": call.arguments or "{}",
    }


def written_usage(spent: Usage) -> dict[str, Any]:
    return {
        "input_tokens": spent.input,
        "input_tokens_details": {"cached_tokens": spent.cache_read, "cache_write_tokens": spent.cache_write},
        "output_tokens": spent.output,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning},
        "total_tokens": spent.input + spent.output,
    }

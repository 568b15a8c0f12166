"""
What providers really say: one script, said in the words of each interface, whole or as a stream of events.

The events are those of the official APIs, in their order and with the fields that the official SDKs demand:
https://platform.openai.com/docs/api-reference/chat-streaming · https://platform.openai.com/docs/api-reference/responses-streaming
https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

import json

from attrs import field, frozen

CHAT, MESSAGES, RESPONSES = "chat/completions", "messages", "responses"
PIECE = 5
"""Characters per delta."""


@frozen
class Words:
    text: str


@frozen
class Thinks:
    text: str
    seal: str = "c2VhbA=="


@frozen
class Refuses:
    text: str


@frozen
class Calls:
    id: str
    name: str
    arguments: dict


@frozen
class Cost:
    """In tokens; `asked` includes `cached`, `answered` includes `thought`."""

    asked: int = 100
    cached: int = 0
    answered: int = 20
    thought: int = 0


@frozen
class Script:
    """`stop`: end, tools, length, sequence. `breaks`: None, cut or error, in the middle of a stream."""

    parts: tuple
    stop: str = "end"
    cost: Cost = field(factory=Cost)
    breaks: str | None = None


@frozen
class Fails:
    """An answer that is an error."""

    status: int
    message: str = "something about it"
    headers: dict = field(factory=dict)


def of(script, kind):
    return [part for part in script.parts if isinstance(part, kind)]


def text_of(script, kind=Words):
    return "".join(part.text for part in of(script, kind))


def pieces(text):
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def whole(form, script, body):
    """The answer's JSON."""
    return {CHAT: _chat, MESSAGES: _message, RESPONSES: _response}[form](script, body)


def events(form, script, body):
    """The stream as bytes, an event each."""
    said = {CHAT: _chat_events, MESSAGES: _message_events, RESPONSES: _response_events}[form](script, body)
    return [_event(name, data) for name, data in said]


def error_event(form, message, number=0):
    if form == CHAT:
        return _event(None, {"error": {"message": message, "type": "server_error", "param": None, "code": None}})
    if form == MESSAGES:
        return _event("error", {"type": "error", "error": {"type": "overloaded_error", "message": message}})
    failed = _response(Script(()), {}, status="failed", error={"code": "server_error", "message": message})
    return _event(None, {"type": "response.failed", "sequence_number": number, "response": failed})


def error(form, failure):
    """An error's JSON, as the provider words it."""
    kind, code = ERRORS[failure.status]
    if form == MESSAGES:
        return {"type": "error", "error": {"type": kind, "message": failure.message}, "request_id": "req_1"}
    kind = {"rate_limit_error": "requests"}.get(
        kind, "server_error" if failure.status >= 500 else "invalid_request_error"
    )
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": code}}


ERRORS = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("not_found_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("api_error", None),
    503: ("overloaded_error", None),
    529: ("overloaded_error", None),
}


def _event(name, data):
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


# Chat completions

FINISH = {"end": "stop", "tools": "tool_calls", "length": "length", "sequence": "stop"}


def _chat_usage(cost):
    return {
        "prompt_tokens": cost.asked,
        "completion_tokens": cost.answered,
        "total_tokens": cost.asked + cost.answered,
        "prompt_tokens_details": {"cached_tokens": cost.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": cost.thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chat(script, body):
    message = {
        "role": "assistant",
        "content": text_of(script) or None,
        "refusal": text_of(script, Refuses) or None,
        "annotations": [],
    }
    if thoughts := text_of(script, Thinks):
        message["reasoning_content"] = thoughts
    if calls := of(script, Calls):
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for call in calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[script.stop]}
    return {
        "id": "chatcmpl-Real",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [choice],
        "usage": _chat_usage(script.cost),
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _chat_events(script, body):
    tells = (body.get("stream_options") or {}).get("include_usage")
    head = {
        "id": "chatcmpl-Real",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        **({"usage": None} if tells else {}),
    }

    def chunk(delta, finish=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return None, {**head, "choices": [choice], "obfuscation": "xY"}

    yield chunk({"role": "assistant", "content": "" if of(script, Words) else None, "refusal": None})
    names = {Words: "content", Thinks: "reasoning_content", Refuses: "refusal"}
    calls = 0
    for part in script.parts:
        if not isinstance(part, Calls):
            for piece in pieces(part.text):
                yield chunk({names[type(part)]: piece})
            continue
        function = {"name": part.name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": calls, "id": part.id, "type": "function", "function": function}]})
        for piece in pieces(json.dumps(part.arguments)):
            yield chunk({"tool_calls": [{"index": calls, "function": {"arguments": piece}}]})
        calls += 1
    yield chunk({}, FINISH[script.stop])
    if tells:
        yield None, {**head, "choices": [], "usage": _chat_usage(script.cost)}
    yield None, "[DONE]"


# Messages

STOPS = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "sequence": "stop_sequence"}


def _message_usage(cost):
    return {
        "input_tokens": cost.asked - cost.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cost.cached,
        "output_tokens": cost.answered,
        **({"output_tokens_details": {"thinking_tokens": cost.thought}} if cost.thought else {}),
    }


def _message_stop(script, body):
    refused = bool(of(script, Refuses))
    return {
        "stop_reason": "refusal" if refused else STOPS[script.stop],
        "stop_sequence": body["stop_sequences"][0] if script.stop == "sequence" else None,
    }


def _blocks(script):
    for part in script.parts:
        if isinstance(part, Thinks):
            yield {"type": "thinking", "thinking": part.text, "signature": part.seal}
        elif isinstance(part, Calls):
            yield {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
        else:
            yield {"type": "text", "text": part.text}


def _message(script, body):
    return {
        "id": "msg_Real",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": list(_blocks(script)),
        **_message_stop(script, body),
        "usage": _message_usage(script.cost),
    }


def _message_events(script, body):
    def event(kind, **fields):
        return kind, {"type": kind, **fields}

    begun = {**_message(script, body), "content": [], "stop_reason": None, "stop_sequence": None}
    begun["usage"] = {**_message_usage(script.cost), "output_tokens": 1}
    yield event("message_start", message=begun)
    for index, block in enumerate(_blocks(script)):
        empty = {
            **block,
            **{"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(block["type"], {"input": {}}),
        }
        yield event("content_block_start", index=index, content_block=empty)
        if index == 0:
            yield event("ping")
        for delta in _block_deltas(block):
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    usage = {"output_tokens": script.cost.answered}
    if script.cost.thought:
        usage["output_tokens_details"] = {"thinking_tokens": script.cost.thought}
    yield event("message_delta", delta=_message_stop(script, body), usage=usage)
    yield event("message_stop")


def _block_deltas(block):
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"]))
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        for piece in ["", *pieces(json.dumps(block["input"]))]:
            yield {"type": "input_json_delta", "partial_json": piece}


# Responses


def _response(script, body, *, status=None, output=None, **more):
    cut = script.stop == "length"
    status = status or ("incomplete" if cut else "completed")
    over = status in ("completed", "incomplete")
    return {
        "id": "resp_Real",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if over and cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": body.get("model", "m"),
        "output": (list(_items(script)) if over else []) if output is None else output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _response_usage(script.cost) if over else None,
        "user": None,
        "metadata": {},
        **more,
    }


def _response_usage(cost):
    return {
        "input_tokens": cost.asked,
        "input_tokens_details": {"cached_tokens": cost.cached, "cache_write_tokens": 0},
        "output_tokens": cost.answered,
        "output_tokens_details": {"reasoning_tokens": cost.thought},
        "total_tokens": cost.asked + cost.answered,
    }


def _items(script):
    status = "incomplete" if script.stop == "length" else "completed"
    for place, part in enumerate(script.parts):
        if isinstance(part, Thinks):
            summary = [{"type": "summary_text", "text": part.text}]
            yield {"id": f"rs_{place}", "type": "reasoning", "summary": summary, "encrypted_content": part.seal}
        elif isinstance(part, Calls):
            said = {"call_id": part.id, "name": part.name, "arguments": json.dumps(part.arguments)}
            yield {"id": f"fc_{place}", "type": "function_call", "status": status, **said}
        else:
            content = [_content(part, part.text)]
            yield {"id": f"msg_{place}", "type": "message", "status": status, "role": "assistant", "content": content}


def _content(part, text):
    if isinstance(part, Refuses):
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _response_events(script, body):
    begun = _response(script, body, status="in_progress")
    told = [("response.created", {"response": begun}), ("response.in_progress", {"response": begun})]
    for index, (part, item) in enumerate(zip(script.parts, _items(script), strict=True)):
        told += _item_events(part, item, index)
    over = _response(script, body)
    told.append((f"response.{over['status']}", {"response": over}))
    for number, (kind, fields) in enumerate(told):
        yield kind, {"type": kind, "sequence_number": number, **fields}


def _item_events(part, item, index):
    begun = {
        **item,
        "status": "in_progress",
        **{"reasoning": {"summary": []}, "message": {"content": []}}.get(item["type"], {"arguments": ""}),
    }
    if item["type"] == "reasoning":
        del begun["status"]
    yield "response.output_item.added", {"output_index": index, "item": begun}
    here = {"item_id": item["id"], "output_index": index}
    if isinstance(part, Thinks):
        yield from _summary_events(part, {**here, "summary_index": 0})
    elif isinstance(part, Calls):
        for piece in pieces(item["arguments"]):
            yield "response.function_call_arguments.delta", {**here, "delta": piece}
        said = {"name": item["name"], "arguments": item["arguments"]}
        yield "response.function_call_arguments.done", {**here, **said}
    else:
        yield from _content_events(part, {**here, "content_index": 0})
    yield "response.output_item.done", {"output_index": index, "item": item}


def _summary_events(part, here):
    yield "response.reasoning_summary_part.added", {**here, "part": {"type": "summary_text", "text": ""}}
    for piece in pieces(part.text):
        yield "response.reasoning_summary_text.delta", {**here, "delta": piece}
    yield "response.reasoning_summary_text.done", {**here, "text": part.text}
    yield "response.reasoning_summary_part.done", {**here, "part": {"type": "summary_text", "text": part.text}}


def _content_events(part, here):
    refused = isinstance(part, Refuses)
    kind, key = ("refusal", "refusal") if refused else ("output_text", "text")
    more = {} if refused else {"logprobs": []}
    yield "response.content_part.added", {**here, "part": _content(part, "")}
    for piece in pieces(part.text):
        yield f"response.{kind}.delta", {**here, "delta": piece, **more}
    yield f"response.{kind}.done", {**here, key: part.text, **more}
    yield "response.content_part.done", {**here, "part": _content(part, part.text)}

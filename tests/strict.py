"""
What providers refuse: a request is held against the official SDK's own types, where no unknown field is let through,
and against the rules that the types do not say.
"""

import json
from functools import cache
from itertools import pairwise

from anthropic.types import message_create_params
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator
from speaking import CHAT, MESSAGES, RESPONSES

PARAMS = {
    CHAT: (
        completion_create_params.CompletionCreateParamsNonStreaming,
        completion_create_params.CompletionCreateParamsStreaming,
    ),
    MESSAGES: (
        message_create_params.MessageCreateParamsNonStreaming,
        message_create_params.MessageCreateParamsStreaming,
    ),
    RESPONSES: (
        response_create_params.ResponseCreateParamsNonStreaming,
        response_create_params.ResponseCreateParamsStreaming,
    ),
}
OLDER = {MESSAGES: {"temperature", "top_p", "top_k"}}
"""Fields that Anthropic's newest SDK no longer offers, and its API still takes under `anthropic-version: 2023-06-01`."""
EXTENSIONS = {"reasoning_content"}
"""Of an assistant's message in chat completions: DeepSeek's, which OpenAI's types do not know."""

LED_TO = {"function_call", "custom_tool_call", "message", "reasoning"}


def flaws(form, body, headers):
    """Why a provider would answer 400; an empty list when it would not."""
    known = {key: value for key, value in body.items() if key not in OLDER.get(form, ())}
    if form == CHAT:
        known["messages"] = [
            {k: v for k, v in each.items() if k not in EXTENSIONS} for each in body.get("messages", [])
        ]
    try:
        _validator(form, bool(body.get("stream"))).validate_json(json.dumps(known))
    except ValidationError as exc:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in exc.errors()]
    return list(RULES[form](body, headers))


@cache
def _validator(form, stream):
    return SchemaValidator(_closed(TypeAdapter(PARAMS[form][stream]).core_schema))


def _closed(schema):
    """The schema with lists where there were lazy iterables, and with no room for unknown fields."""
    if isinstance(schema, list | tuple):
        return type(schema)(_closed(each) for each in schema)
    if not isinstance(schema, dict):
        return schema
    notes = {"metadata"} if isinstance(schema.get("type"), str) else set()  # else it is a field of that name
    schema = {key: _closed(value) for key, value in schema.items() if key not in notes}
    if schema.get("type") == "generator":
        return {"type": "list", "items_schema": schema["items_schema"], "strict": True}
    if schema.get("type") == "typed-dict":
        schema["extra_behavior"] = "forbid"
    return schema


def _of_chat(body, headers):
    if not headers.get("authorization", "").startswith("Bearer "):
        yield "no bearer"
    waiting = set()
    for place, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                yield f"messages[{place}] answers no call of the message before"
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            yield f"messages[{place}] comes before the results of {sorted(waiting)}"
        calls = message.get("tool_calls") or []
        waiting = {call["id"] for call in calls}
        if len(waiting) != len(calls):
            yield f"messages[{place}] has two calls of one id"
        if message["role"] == "assistant" and not (message.get("content") or calls or message.get("refusal")):
            yield f"messages[{place}] is empty"
    if "tool_choice" in body and not body.get("tools"):
        yield "tool_choice without tools"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options without stream"


def _of_responses(body, headers):
    if not headers.get("authorization", "").startswith("Bearer "):
        yield "no bearer"
    if "stream_options" in body and not body.get("stream"):
        yield "stream_options without stream"
    items = body["input"] if isinstance(body["input"], list) else []
    calls = {item["call_id"] for item in items if item.get("type") == "function_call"}
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    if calls != set(outputs) or len(outputs) != len(calls):
        yield f"calls {sorted(calls)} and outputs {sorted(outputs)} are not the same"
    for item, following in pairwise([*items, {}]):
        leads_on = following.get("type") in LED_TO or following.get("role") == "assistant"
        if item.get("type") == "reasoning" and not leads_on:
            yield "reasoning without what it led to"


def _of_messages(body, headers):
    if "x-api-key" not in headers or "anthropic-version" not in headers:
        yield "no x-api-key, or no anthropic-version"
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        yield "the first message must be the user's"
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        if not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
            yield "budget_tokens must be at least 1024 and below max_tokens"
        if "temperature" in body or (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            yield "neither a temperature nor a forced tool goes with thinking"
    for place, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        yield from _blocks_of(place, message["role"], blocks)
        earlier = messages[place - 1]["content"] if place else []
        asked = {block["id"] for block in earlier if isinstance(block, dict) and block["type"] == "tool_use"}
        given = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(asked) != sorted(given):
            yield f"messages[{place}]: results of {given} right after the calls {sorted(asked)}"
    last = messages[-1]["content"]
    if messages[-1]["role"] == "assistant" and any(block["type"] == "tool_use" for block in last):
        yield "calls without results"


def _blocks_of(place, role, blocks):
    kinds = [block["type"] for block in blocks]
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        yield f"messages[{place}] has blank text"
    if "tool_result" in kinds and kinds != sorted(kinds, key=lambda kind: kind != "tool_result"):
        yield f"messages[{place}]: results must come first"
    if role == "assistant" and "thinking" in kinds[1:] and kinds[0] not in ("thinking", "redacted_thinking"):
        yield f"messages[{place}]: thinking must come first"
    for block in blocks:
        if block["type"] == "thinking" and not block["signature"]:
            yield f"messages[{place}]: thinking without signature"
        if block["type"] == "thinking" and block["signature"].startswith("sidecar."):
            yield f"messages[{place}]: another's seal"


RULES = {CHAT: _of_chat, MESSAGES: _of_messages, RESPONSES: _of_responses}

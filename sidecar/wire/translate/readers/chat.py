"""
Chat completions -> Ask. https://platform.openai.com/docs/api-reference/chat/create

    {"messages": [{"role": "system" | "developer" | "user", "content": "..." | [part, ...]},
                  {"role": "assistant", "content": ..., "tool_calls": [{"id", "type": "function", "function": {...}}]},
                  {"role": "tool", "tool_call_id": "...", "content": "..."}],
     "tools": [{"type": "function", "function": {"name", "description", "parameters", "strict"}}], "tool_choice": ...}

The legacy `functions`, `function_call` and role `function` are read as the tools they became; a legacy call has no id,
so it goes by its function's name.
"""

from collections.abc import Iterator

from sidecar.errors import RequestError
from sidecar.wire.translate import pairing
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import NUMBER, Fields
from sidecar.wire.translate.names import plain
from sidecar.wire.translate.neutral import (
    Ask,
    Call,
    Choice,
    Mode,
    Option,
    Part,
    Refusal,
    Result,
    Speaker,
    Text,
    Thinking,
    Tool,
    ToolName,
    Turn,
)
from sidecar.wire.translate.readers import chat_parts, common, hosted

PLAIN: common.Plain = {
    "max_completion_tokens": ("max_tokens", int),
    "max_tokens": ("max_tokens", int),
    "temperature": ("temperature", NUMBER),
    "top_p": ("top_p", NUMBER),
    "safety_identifier": ("user", str),
    "user": ("user", str),
    "reasoning_effort": ("effort", str),
    "parallel_tool_calls": ("parallel", bool),
    "logprobs": ("logprobs", bool),
    "top_logprobs": ("top_logprobs", int),
    "metadata": ("metadata", dict),
    "service_tier": ("service_tier", str),
    "verbosity": ("verbosity", str),
    "prompt_cache_key": ("prompt_cache_key", str),
    "prompt_cache_retention": ("prompt_cache_retention", str),
}


def read(body: Fields) -> Ask:
    _refuse(body)
    options = common.options(body, PLAIN)
    _stop(body, options)
    if (form := body.object("response_format")) and (shape := common.shape(form, "json_schema")):
        options["format"] = shape
    found = [*body.objects("tools"), *body.objects("functions")]
    tools, foreign = hosted.sorted_out(found, _tool, body.notes)
    choice, tools = _choice(body, tools)
    hosted.check(choice, foreign)
    turns = tuple(turn for message in body.objects("messages") for turn in _message(message))
    stream = bool(body.take("stream", bool))
    return Ask(_called(turns), tools, choice, options, stream, _include_usage(body))


def _refuse(body: Fields) -> None:
    if (body.take("n", int) or 1) > 1:
        raise UnsupportedField("n", "it gives one answer at a time")
    if body.take("web_search_options") is not None:
        raise UnsupportedField("web_search_options", hosted.WHY)
    if "audio" in (body.take("modalities", list) or ()):
        raise UnsupportedField("modalities", "it cannot speak")


def _stop(body: Fields, options: dict[str, Option]) -> None:
    stop = body.take("stop", (str, list))
    sequences = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(isinstance(sequence, str) for sequence in sequences):
        raise RequestError("stop must be a string or a list of strings", param="stop")
    if sequences:
        options["stop"] = Option(sequences, "stop")


def _include_usage(body: Fields) -> bool:
    given = body.object("stream_options")
    include = bool(given and given.take("include_usage", bool))
    if given:
        given.close()
    return include


def _tool(fields: Fields) -> tuple[Tool, ...] | None:
    kind = fields.take("type", str) or "function"
    if kind not in {"function", "custom"}:
        return None
    inner = fields.object(kind) or fields
    name = plain(inner.text("name"), inner.at("name"))
    tool = _custom(inner, name) if kind == "custom" else _function(inner, name)
    inner.close()
    if inner is not fields:
        fields.close()
    return (tool,)


def _function(inner: Fields, name: str) -> Tool:
    description, schema = inner.take("description", str), inner.take("parameters", dict)
    return Tool(ToolName(name), description, schema, inner.take("strict", bool) or None)


def _custom(inner: Fields, name: str) -> Tool:
    form = inner.object("format")
    grammar = form.object("grammar") if form else None
    rule = {"syntax": grammar.text("syntax"), "definition": grammar.text("definition")} if grammar else None
    return Tool(ToolName(name, custom=True), inner.take("description", str), grammar=rule)


def _choice(body: Fields, tools: tuple[Tool, ...]) -> tuple[Choice | None, tuple[Tool, ...]]:
    given, path = body.take("tool_choice", (str, dict)), "tool_choice"
    if (legacy := body.take("function_call", (str, dict))) is not None and given is None:
        given, path = legacy, "function_call"
        if isinstance(given, dict):
            given = {"type": "function", "function": given}
    if given is None:
        return None, tools
    if isinstance(given, str):
        return common.named(given, path), tools
    fields = Fields(given, path, body.notes)
    if given.get("type") == "allowed_tools":
        inner = fields.need_object("allowed_tools")
        return common.named(inner.text("mode"), path), common.allowed(tools, set(common.references(inner)))
    if fields.peek("type") not in ("function", "custom"):  # a tuple: the type may be anything, a list too
        raise UnsupportedField(path, hosted.WHY)
    return Choice(Mode.NAMED, common.reference(fields), path), tools


def _message(message: Fields) -> Iterator[Turn]:
    role = message.text("role")
    if role in {"system", "developer"}:
        yield Turn(Speaker.SYSTEM, chat_parts.content(message))
    elif role == "user":
        yield Turn(Speaker.USER, chat_parts.content(message))
    elif role == "assistant":
        yield Turn(Speaker.ASSISTANT, tuple(_assistant(message)))
    elif role in {"tool", "function"}:
        yield Turn(Speaker.USER, (_result(message, role),))
    else:
        raise RequestError(f"{message.at('role')} is no role of a message: '{role[:32]}'", param=message.at("role"))
    message.close()


def _assistant(message: Fields) -> Iterator[Part]:
    thoughts, path = message.take("reasoning_content", str), message.at("reasoning_content")
    if thoughts:
        yield Thinking(thoughts, path=path)
    yield from chat_parts.content(message)
    if refusal := message.take("refusal", str):
        yield Refusal(refusal)
    for call in message.objects("tool_calls"):
        yield _call(call)
    if legacy := message.object("function_call"):
        name = legacy.text("name")
        yield Call(_legacy_id(name), ToolName(name), legacy.take("arguments", str) or "")
    if message.take("audio") is not None:
        raise UnsupportedField(message.at("audio"), "it refers to audio at another provider")


def _call(call: Fields) -> Call:
    kind = call.take("type", str) or "function"
    if kind not in {"function", "custom"}:
        raise RequestError(f"{call.at('type')} must be function or custom", param=call.at("type"))
    inner = call.need_object(kind)
    arguments = inner.take("arguments" if kind == "function" else "input", str) or ""
    return Call(call.text("id"), ToolName(inner.text("name"), custom=kind == "custom"), arguments)


def _result(message: Fields, role: str) -> Result:
    call_id = message.text("tool_call_id") if role == "tool" else _legacy_id(message.text("name"))
    parts = tuple(part for part in chat_parts.content(message) if isinstance(part, Text))
    return Result(call_id, parts, path=message.path)


def _legacy_id(name: str) -> str:
    return f"call_{name}"


def _called(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    if not turns:
        raise RequestError("messages must not be empty", param="messages")
    return pairing.paired(turns)

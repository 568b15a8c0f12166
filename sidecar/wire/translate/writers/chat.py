"""
Ask -> chat completions. https://platform.openai.com/docs/api-reference/chat/create

Written for the many providers that are compatible with OpenAI's older words, of which most refuse the newer: `system`
rather than `developer`, strings where parts are not needed, plain functions for all tools, and OpenAI's own hints
(`verbosity`, `prompt_cache_key`, …) only to models that bear OpenAI's names.
"""

from collections.abc import Iterator
from typing import Any

from sidecar.wire.translate import dialect, names, pairing
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Notes
from sidecar.wire.translate.neutral import (
    Ask,
    Audio,
    Call,
    Choice,
    File,
    Image,
    Inline,
    Part,
    Refusal,
    Result,
    Speaker,
    Text,
    Thinking,
    Tool,
    ToolName,
    Turn,
    joined,
)
from sidecar.wire.translate.writers import common
from sidecar.wire.translate.writers.common import Options, Recipient, present

HINTS = ("service_tier", "verbosity", "prompt_cache_key", "prompt_cache_retention")
USER_MAX = 64
"""OpenAI refuses a longer `user`; Claude Code's is a whole JSON object."""
PLAIN = ("temperature", "top_p", "logprobs", "top_logprobs")


def write(ask: Ask, to: Recipient, notes: Notes) -> dict[str, Any]:
    options = Options(ask.options, notes)
    body: dict[str, Any] = {"model": to.model, "messages": _messages(ask, to.model, notes)}
    body.update(_tools(ask, options))
    body.update(_limits(options, to.model))
    if (shape := options.take("format")) is not None:
        body["response_format"] = (
            {"type": "json_object"}
            if shape.schema is None
            else {"type": "json_schema", "json_schema": common.openai_schema(shape)}
        )
    if ask.stream:
        body.update(stream=True, **({"stream_options": {"include_usage": True}} if to.asks_usage else {}))
    options.close()
    return body


def _limits(options: Options, model: str) -> dict[str, Any]:
    found = present(**{name: options.take(name) for name in PLAIN})
    if "top_logprobs" in found:
        found["logprobs"] = True  # which the one presumes here, and not in responses
    if dialect.openai(model):
        found.update(present(**{name: options.take(name) for name in HINTS}))
    if dialect.takes_effort(model):
        found.update(present(reasoning_effort=options.take("effort")))
    if (limit := options.take("max_tokens")) is not None:
        found["max_completion_tokens" if dialect.reasons(model) else "max_tokens"] = dialect.output_limit(model, limit)
    if stop := options.take("stop"):
        found["stop"] = list(stop)
    found.update(present(user=user(options)))
    return found


def user(options: Options) -> str | None:
    """The user's id, unless it is too long for OpenAI: then it stays among what is dropped."""
    given = options.peek("user")
    return options.take("user") if isinstance(given, str) and len(given) <= USER_MAX else None


def _tools(ask: Ask, options: Options) -> dict[str, Any]:
    parallel = options.take("parallel")
    if not ask.tools:
        return {}
    found: dict[str, Any] = {"tools": [_tool(names.as_function(tool)) for tool in ask.tools]}
    if ask.choice is not None:
        found["tool_choice"] = _choice(ask.choice)
    if parallel is False:
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    schema = tool.schema if tool.schema is not None else common.EMPTY_SCHEMA
    said = present(description=tool.description, parameters=schema, strict=tool.strict)
    return {"type": "function", "function": {"name": tool.tool.name, **said}}


def _choice(choice: Choice) -> str | dict[str, Any]:
    chosen = common.openai_choice(choice)
    if isinstance(chosen, ToolName):
        return {"type": "function", "function": {"name": names.outward(chosen)}}
    return chosen


def _messages(ask: Ask, model: str, notes: Notes) -> list[dict[str, Any]]:
    """Of models not OpenAI's, many hear the system only once, and only at the beginning."""
    aloud = dialect.takes_thoughts(model)
    turns = ask.turns if dialect.openai(model) else _system_first(ask.turns)
    return [message for turn in turns for message in _turn(turn, aloud=aloud, notes=notes)]


def _system_first(turns: tuple[Turn, ...]) -> Iterator[Turn]:
    head, rest = common.headed(turns)
    if head:
        yield Turn(Speaker.SYSTEM, tuple(part for turn in head for part in turn.parts))
    for turn in rest:
        late = turn.speaker is Speaker.SYSTEM
        yield Turn(Speaker.USER, (Text(common.aside(turn)),)) if late else turn


def _turn(turn: Turn, *, aloud: bool, notes: Notes) -> Iterator[dict[str, Any]]:
    if turn.speaker is Speaker.SYSTEM:
        yield {"role": "system", "content": joined(turn.parts, "\n\n")}
    elif turn.speaker is Speaker.ASSISTANT:
        yield from _assistant(turn.parts, aloud=aloud, notes=notes)
    else:
        yield from _user(turn.parts)


def _assistant(parts: tuple[Part, ...], *, aloud: bool, notes: Notes) -> Iterator[dict[str, Any]]:
    calls = [_call(part) for part in parts if isinstance(part, Call)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    thoughts = "\n\n".join(part.text for part in parts if isinstance(part, Thinking) and part.text)
    for part in parts:
        if isinstance(part, Thinking) and (part.seal or not aloud):
            notes.drop(part.path)
    text = joined(parts) or None
    if text is None and not calls and not refusal:
        return
    said = present(refusal=refusal or None, tool_calls=calls or None)
    yield {
        "role": "assistant",
        "content": text,
        **said,
        **({"reasoning_content": thoughts} if thoughts and aloud else {}),
    }


def _call(call: Call) -> dict[str, Any]:
    arguments = names.outward_arguments(call) or "{}"
    return {"id": call.id, "type": "function", "function": {"name": names.outward(call.tool), "arguments": arguments}}


def _user(parts: tuple[Part, ...]) -> Iterator[dict[str, Any]]:
    """A tool's message has text only: what a tool showed comes in the user's name right after the tools'."""
    results = [part for part in parts if isinstance(part, Result)]
    for result in results:
        yield {"role": "tool", "tool_call_id": result.call_id, "content": pairing.text_of(result)}
    shown: list[Part] = []
    for result in results:
        if seen := [part for part in result.parts if not isinstance(part, Text)]:
            shown += [Text(f"Shown by the tool call {result.call_id}:"), *seen]
    rest = [part for part in parts if not isinstance(part, Result)]
    if not results or shown or rest:
        yield {"role": "user", "content": _content([*shown, *rest])}


def _content(parts: list[Part]) -> str | list[dict[str, Any]]:
    if len(parts) <= 1 and all(isinstance(part, Text) for part in parts):
        return joined(tuple(parts))
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Image(source, detail):
            return {"type": "image_url", "image_url": {"url": source.url, **present(detail=detail)}}
        case File(source, name, path):
            if not isinstance(source, Inline):
                raise UnsupportedField(path, "a file must be sent whole, not by its address")
            return {"type": "file", "file": {"filename": name or "document.pdf", "file_data": source.url}}
        case Audio(data, form):
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
        case _:
            return {"type": "text", "text": joined((part,))}

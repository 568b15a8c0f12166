"""
Ask -> responses. https://platform.openai.com/docs/api-reference/responses/create

What the system says first becomes `instructions`, what it says later a developer's item. Nothing is stored
(`store: false`): the client did not ask for it, so a reasoning model is asked for its reasoning, encrypted, instead.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from sidecar.wire.formats import Format
from sidecar.wire.translate import dialect, pairing
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
from sidecar.wire.translate.readers.responses import LOGPROBS
from sidecar.wire.translate.writers import common
from sidecar.wire.translate.writers.chat import user
from sidecar.wire.translate.writers.common import Options, Recipient, present

ENCRYPTED = "reasoning.encrypted_content"
LEAST_OUTPUT = 16
"""OpenAI refuses fewer output tokens here; probes ask for one."""
PLAIN = (
    "temperature",
    "top_p",
    "top_logprobs",
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
)


def write(ask: Ask, to: Recipient, notes: Notes) -> dict[str, Any]:
    options = Options(ask.options, notes)
    if "stop" in ask.options:
        raise UnsupportedField(options.path("stop"), "it cannot stop at a text, so the answer would run on")
    head, rest = common.headed(ask.turns)
    if not rest:  # instructions alone ask for nothing
        head, rest = (), head
    instructions = "\n\n".join(joined(turn.parts, "\n\n") for turn in head)
    said = present(instructions=instructions or None)
    body = {"model": to.model, "input": _input(rest, notes), "store": False, **said}
    body.update(_tools(ask, options))
    body.update(_limits(options, to.model))
    body.update(_text(options))
    if ask.stream:
        body["stream"] = True
    options.close()
    return body


def _limits(options: Options, model: str) -> dict[str, Any]:
    found = present(**{name: options.take(name) for name in PLAIN})
    if (limit := options.take("max_tokens")) is not None:
        found["max_output_tokens"] = max(dialect.output_limit(model, limit), LEAST_OUTPUT)
    if dialect.takes_effort(model):
        reasoning = present(effort=options.take("effort"), summary=options.take("summary"))
        found.update(present(reasoning=reasoning or None))
    include = [ENCRYPTED] if dialect.reasons(model) else []
    if options.take("logprobs"):
        include.append(LOGPROBS)
    found.update(present(include=include or None, safety_identifier=user(options)))
    return found


def _text(options: Options) -> dict[str, Any]:
    shape, text = options.take("format"), present(verbosity=options.take("verbosity"))
    if shape is not None:
        text["format"] = (
            {"type": "json_object"} if shape.schema is None else {"type": "json_schema", **common.openai_schema(shape)}
        )
    return present(text=text or None)


def _tools(ask: Ask, options: Options) -> dict[str, Any]:
    parallel = options.take("parallel")
    if not ask.tools:
        return {}
    found: dict[str, Any] = {"tools": [_tool(tool) for tool in ask.tools]}
    if ask.choice is not None:
        found["tool_choice"] = _choice(ask.choice)
    if parallel is False:
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    """`strict` is true here when it is left out, false everywhere else."""
    said = present(description=tool.description)
    if tool.tool.custom:
        form = {"type": "grammar", **tool.grammar} if tool.grammar else {"type": "text"}
        return {"type": "custom", "name": tool.tool.name, **said, "format": form}
    schema = tool.schema if tool.schema is not None else common.EMPTY_SCHEMA
    return {"type": "function", "name": tool.tool.name, **said, "parameters": schema, "strict": bool(tool.strict)}


def _choice(choice: Choice) -> str | dict[str, Any]:
    chosen = common.openai_choice(choice)
    if isinstance(chosen, ToolName):
        return {"type": "custom" if chosen.custom else "function", "name": chosen.name}
    return chosen


def _input(turns: tuple[Turn, ...], notes: Notes) -> list[dict[str, Any]]:
    custom = {part.id for turn in turns for part in turn.parts if isinstance(part, Call) and part.tool.custom}
    return [item for turn in turns for item in _turn(turn, custom, notes)]


def _turn(turn: Turn, custom: set[str], notes: Notes) -> Iterator[dict[str, Any]]:
    if turn.speaker is Speaker.SYSTEM:
        yield {"role": "developer", "content": joined(turn.parts, "\n\n")}
    elif turn.speaker is Speaker.ASSISTANT:
        for part, following in zip_longest(turn.parts, turn.parts[1:]):
            if isinstance(part, Thinking) and following is None:  # reasoning must be followed by what it led to
                notes.drop(part.path)
            else:
                yield from _assistant(part, notes)
    else:
        yield from (_output(part, custom) for part in turn.parts if isinstance(part, Result))
        rest = [part for part in turn.parts if not isinstance(part, Result)]
        if rest or not turn.parts:
            yield {"role": "user", "content": _content(rest)}


def _assistant(part: Part, notes: Notes) -> Iterator[dict[str, Any]]:
    match part:
        case Text(text) | Refusal(text):
            yield {"role": "assistant", "content": text}
        case Call(call_id, tool, arguments) if tool.custom:
            yield {"type": "custom_tool_call", "call_id": call_id, "name": tool.name, "input": arguments}
        case Call(call_id, tool, arguments):
            yield {"type": "function_call", "call_id": call_id, "name": tool.name, "arguments": arguments or "{}"}
        case Thinking(text, seal, path):
            if seal is None or seal.origin is not Format.RESPONSES:
                notes.drop(path)
            else:
                summary = [{"type": "summary_text", "text": text}] if text else []
                yield {"type": "reasoning", **seal.data, "summary": summary}
        case _:
            pass


def _output(result: Result, custom: set[str]) -> dict[str, Any]:
    kind = "custom_tool_call_output" if result.call_id in custom else "function_call_output"
    return {"type": kind, "call_id": result.call_id, "output": _shown(result)}


def _shown(result: Result) -> str | list[dict[str, Any]]:
    seen: list[Part] = [part for part in result.parts if not isinstance(part, Text)]
    text = pairing.text_of(result)
    if not seen:
        return text
    return [_part(part) for part in ([Text(text), *seen] if text else seen)]


def _content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    if len(parts) <= 1 and all(isinstance(part, Text) for part in parts):
        return joined(tuple(parts))
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Image(source, detail):
            return {"type": "input_image", "image_url": source.url, "detail": detail or "auto"}
        case File(Inline() as source, name):
            return {"type": "input_file", "filename": name or "document.pdf", "file_data": source.url}
        case File(source):
            return {"type": "input_file", "file_url": source.url}
        case Audio(path=path):
            raise UnsupportedField(path, "it cannot hear")
        case _:
            return {"type": "input_text", "text": joined((part,))}

"""
Messages -> Ask. https://docs.anthropic.com/en/api/messages

    {"system": "..." | [{"type": "text", "text"}],
     "messages": [{"role": "user" | "assistant" | "system", "content": "..." | [block, ...]}], "max_tokens": 1024,
     "tools": [{"name", "description", "input_schema", "strict"}],
     "tool_choice": {"type": "auto" | "any" | "none" | "tool", "name", "disable_parallel_tool_use"},
     "thinking": {"type": "enabled", "budget_tokens"} | {"type": "adaptive"} | {"type": "disabled"},
     "output_config": {"effort", "format": {"type": "json_schema", "schema"}}}
"""

from collections.abc import Iterator

from sidecar.errors import RequestError
from sidecar.wire.translate import effort, pairing
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import NUMBER, Fields
from sidecar.wire.translate.neutral import Ask, Choice, Mode, Option, Schema, Speaker, Tool, ToolName, Turn
from sidecar.wire.translate.readers import common, hosted
from sidecar.wire.translate.readers.messages_blocks import content

PLAIN: common.Plain = {
    "max_tokens": ("max_tokens", int),
    "temperature": ("temperature", NUMBER),
    "top_p": ("top_p", NUMBER),
}
MODES = {"auto": Mode.AUTO, "any": Mode.REQUIRED, "none": Mode.NONE, "tool": Mode.NAMED}
SPEAKERS = {"user": Speaker.USER, "assistant": Speaker.ASSISTANT, "system": Speaker.SYSTEM}


def read(body: Fields) -> Ask:
    for name in ("container", "mcp_servers"):
        if body.take(name):
            raise UnsupportedField(name, "it is a service of another provider")
    options = common.options(body, PLAIN)
    _stop(body, options)
    _user(body, options)
    _thinking(body, options)
    _output(body, options)
    tools, foreign = hosted.sorted_out(list(body.objects("tools")), _tool, body.notes)
    choice = _choice(body, options)
    hosted.check(choice, foreign)
    turns = tuple(_turns(body))
    return Ask(pairing.paired(turns), tools, choice, options, bool(body.take("stream", bool)))


def _turns(body: Fields) -> Iterator[Turn]:
    if system := content(body, "system"):
        yield Turn(Speaker.SYSTEM, system)
    empty = True
    for message in body.objects("messages"):
        role = message.text("role")
        if role not in SPEAKERS:
            raise RequestError(f"{message.at('role')} is no role of a message: '{role[:32]}'", param=message.at("role"))
        yield Turn(SPEAKERS[role], content(message, "content"))
        message.close()
        empty = False
    if empty:
        raise RequestError("messages must not be empty", param="messages")


def _stop(body: Fields, options: dict[str, Option]) -> None:
    sequences = tuple(body.take("stop_sequences", list) or ())
    if not all(isinstance(sequence, str) for sequence in sequences):
        raise RequestError("stop_sequences must be a list of strings", param="stop_sequences")
    if sequences:
        options["stop"] = Option(sequences, "stop_sequences")


def _user(body: Fields, options: dict[str, Option]) -> None:
    if metadata := body.object("metadata"):
        if user := metadata.take("user_id", str):
            options["user"] = Option(user, "metadata.user_id")
        metadata.close()


def _thinking(body: Fields, options: dict[str, Option]) -> None:
    """Adaptive thinking says how hard in `output_config.effort`; to think not at all has no word all others take."""
    given = body.object("thinking")
    if given is None:
        return
    kind = given.text("type")
    if kind == "enabled":
        options["effort"] = Option(effort.of_budget(given.need("budget_tokens", int)), "thinking")
    elif kind != "adaptive":
        body.notes.drop("thinking")
    if given.take("display", str) == "summarized":
        options["summary"] = Option("auto", "thinking.display")
    given.close()


def _output(body: Fields, options: dict[str, Option]) -> None:
    """The beta's name for `output_config.format` was `output_format`."""
    config = body.object("output_config")
    if config and (word := config.take("effort", str)) and "effort" not in options:
        options["effort"] = Option(word, "output_config.effort")
    form = body.object("output_format") or (config.object("format") if config else None)
    if form:
        form.text("type")
        options["format"] = Option(Schema(form.need("schema", dict)), form.path)
        form.close()
    if config:
        config.close()


def _tool(fields: Fields) -> tuple[Tool, ...] | None:
    if (fields.take("type", str) or "custom") != "custom":
        return None
    name, description = ToolName(fields.text("name")), fields.take("description", str)
    tool = Tool(name, description, fields.take("input_schema", dict), fields.take("strict", bool) or None)
    fields.close()
    return (tool,)


def _choice(body: Fields, options: dict[str, Option]) -> Choice | None:
    given = body.object("tool_choice")
    if given is None:
        return None
    kind = given.text("type")
    if kind not in MODES:
        raise RequestError("tool_choice.type must be auto, any, none or tool", param="tool_choice.type")
    if (single := given.take("disable_parallel_tool_use", bool)) is not None:
        options["parallel"] = Option(not single, "tool_choice.disable_parallel_tool_use")
    name = ToolName(given.text("name")) if kind == "tool" else None
    given.close()
    return Choice(MODES[kind], name, "tool_choice")

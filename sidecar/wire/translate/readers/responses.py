"""
Responses -> Ask. https://platform.openai.com/docs/api-reference/responses/create

    {"instructions": "...", "input": "..." | [item, ...],
     "tools": [{"type": "function", "name", "description", "parameters", "strict"},
               {"type": "custom", "name", "format"}, {"type": "namespace", "name", "tools": [...]}],
     "tool_choice": "auto" | "none" | "required" | {"type": "function", "name"},
     "reasoning": {"effort", "summary"}, "text": {"format": {...}, "verbosity"}, "max_output_tokens": 1024}

Codex also sends tools as an item of the input: `{"type": "additional_tools", "tools": [...]}`. What a provider keeps
(`previous_response_id`, `conversation`, `background`, `prompt`) cannot be sent to another; `store` is merely dropped,
since true is only OpenAI's default.
"""

from collections.abc import Iterator

from attrs import evolve

from sidecar.errors import RequestError
from sidecar.wire.translate import pairing
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import NUMBER, Fields
from sidecar.wire.translate.names import plain
from sidecar.wire.translate.neutral import Ask, Choice, Mode, Option, Speaker, Text, Tool, ToolName, Turn
from sidecar.wire.translate.readers import common, hosted
from sidecar.wire.translate.readers.responses_items import turn

PLAIN: common.Plain = {
    "max_output_tokens": ("max_tokens", int),
    "temperature": ("temperature", NUMBER),
    "top_p": ("top_p", NUMBER),
    "safety_identifier": ("user", str),
    "user": ("user", str),
    "parallel_tool_calls": ("parallel", bool),
    "top_logprobs": ("top_logprobs", int),
    "metadata": ("metadata", dict),
    "service_tier": ("service_tier", str),
    "prompt_cache_key": ("prompt_cache_key", str),
    "prompt_cache_retention": ("prompt_cache_retention", str),
}
STATE = {
    "previous_response_id": "the conversation so far is kept by the provider that answered; send it whole as input",
    "conversation": "the conversation is kept by another provider; send it whole as input",
    "background": "it answers only while it is asked",
    "prompt": "the template is kept by another provider; send its text as input",
}
LOGPROBS = "message.output_text.logprobs"


def read(body: Fields) -> Ask:
    for name, why in STATE.items():
        if body.take(name):
            raise UnsupportedField(name, why)
    options = common.options(body, PLAIN)
    _reasoning(body, options)
    _text(body, options)
    if LOGPROBS in (body.take("include", list) or ()):
        options["logprobs"] = Option(value=True, path="include")
    items = list(_items(body))
    found = [*body.objects("tools"), *(tool for item in items if _offers(item) for tool in item.objects("tools"))]
    tools, foreign = hosted.sorted_out(found, _tool, body.notes)
    choice, tools = _choice(body, tools)
    hosted.check(choice, foreign)
    turns = tuple(_turns(body, [item for item in items if not _offers(item)]))
    return Ask(pairing.paired(turns), tools, choice, options, bool(body.take("stream", bool)))


def _items(body: Fields) -> Iterator[Fields]:
    given = body.take("input", (str, list))
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not given:
        raise RequestError("input must not be empty", param="input")
    for place, value in enumerate(given):
        yield Fields(value, f"input[{place}]", body.notes)


def _offers(item: Fields) -> bool:
    return bool(item.peek("type") == "additional_tools")


def _turns(body: Fields, items: list[Fields]) -> Iterator[Turn]:
    if instructions := body.take("instructions", str):
        yield Turn(Speaker.SYSTEM, (Text(instructions),))
    for item in items:
        if (found := turn(item)) is not None:
            yield found


def _reasoning(body: Fields, options: dict[str, Option]) -> None:
    given = body.object("reasoning")
    if given is None:
        return
    if word := given.take("effort", str):
        options["effort"] = Option(word, "reasoning.effort")
    if word := given.take("summary", str):
        options["summary"] = Option(word, "reasoning.summary")
    given.close()


def _text(body: Fields, options: dict[str, Option]) -> None:
    given = body.object("text")
    if given is None:
        return
    if (form := given.object("format")) and (shape := common.shape(form, None)):
        options["format"] = shape
    if word := given.take("verbosity", str):
        options["verbosity"] = Option(word, "text.verbosity")
    given.close()


def _tool(fields: Fields) -> tuple[Tool, ...] | None:
    kind = fields.text("type")
    if kind == "namespace":
        return _namespace(fields)
    if kind not in {"function", "custom"}:
        return None
    tool = _custom(fields) if kind == "custom" else _function(fields)
    fields.close()
    return (tool,)


def _namespace(fields: Fields) -> tuple[Tool, ...] | None:
    """None when nothing in it is the client's own."""
    space, own = fields.text("name"), list[Tool]()
    for inner in fields.objects("tools"):
        found = _tool(inner)
        own += found or ()
        if found is None:
            fields.notes.drop(inner.path)
    fields.close()
    return tuple(evolve(tool, tool=evolve(tool.tool, namespace=space)) for tool in own) or None


def _function(fields: Fields) -> Tool:
    name = ToolName(plain(fields.text("name"), fields.at("name")))
    return Tool(
        name, fields.take("description", str), fields.take("parameters", dict), fields.take("strict", bool) or None
    )


def _custom(fields: Fields) -> Tool:
    name = ToolName(plain(fields.text("name"), fields.at("name")), custom=True)
    form, rule = fields.object("format"), None
    if form and form.text("type") == "grammar":
        rule = {"syntax": form.text("syntax"), "definition": form.text("definition")}
    return Tool(name, fields.take("description", str), grammar=rule)


def _choice(body: Fields, tools: tuple[Tool, ...]) -> tuple[Choice | None, tuple[Tool, ...]]:
    given, path = body.take("tool_choice", (str, dict)), "tool_choice"
    if given is None:
        return None, tools
    if isinstance(given, str):
        return common.named(given, path), tools
    fields = Fields(given, path, body.notes)
    if given.get("type") == "allowed_tools":
        return common.named(fields.text("mode"), path), common.allowed(tools, set(common.references(fields)))
    if fields.peek("type") not in ("function", "custom"):  # a tuple: the type may be anything, a list too
        raise UnsupportedField(path, hosted.WHY)
    return Choice(Mode.NAMED, common.reference(fields), path), tools

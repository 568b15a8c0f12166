"""
Ask -> messages. https://docs.anthropic.com/en/api/messages

What the system says first becomes `system`; what it says later keeps its place, inside a user message as
`<system>…</system>`, since only the newest models take the role `system` among the messages, and those not everywhere.
Temperature and top_p go only to models that take them, one of them at a time, and never along with thinking.
"""

from typing import Any

from sidecar.wire.formats import Format
from sidecar.wire.translate import dialect, effort, names
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Notes
from sidecar.wire.translate.neutral import Ask, Call, Choice, Mode, Speaker, Thinking, Tool, Turn, joined
from sidecar.wire.translate.writers import common
from sidecar.wire.translate.writers.common import Options, Recipient, present
from sidecar.wire.translate.writers.messages_blocks import block, messages

JSON_ONLY = "Answer with one JSON object and nothing else: no words before or after it, no code fence."
MODES = {Mode.AUTO: "auto", Mode.REQUIRED: "any", Mode.NONE: "none", Mode.NAMED: "tool"}


def write(ask: Ask, to: Recipient, notes: Notes) -> dict[str, Any]:
    options = Options(ask.options, notes)
    head, rest = common.headed(ask.turns)
    if not rest:  # a conversation must not be empty: the last to speak speaks as the user
        head, rest = head[:-1], (Turn(Speaker.USER, head[-1].parts),)
    body: dict[str, Any] = {"model": to.model, "messages": messages(rest, notes)}
    system = [block(part, notes) for turn in head for part in turn.parts if joined((part,)).strip()]
    body.update(_tools(ask, options))
    config = _format(options, system)
    thinking = _thinking(ask, options, to.model, to.default_max_tokens)
    config.update(thinking.pop("output_config", {}))
    body.update(present(system=system or None, output_config=config or None), **thinking)
    body.update(_sampling(options, to.model, thinks="thinking" in body))
    body.update(_rest(options))
    if ask.stream:
        body["stream"] = True
    options.close()
    return body


def _rest(options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {}
    path = options.path("stop")
    if stop := options.take("stop"):
        if not all(sequence.strip() for sequence in stop):
            raise UnsupportedField(path, "it cannot stop at white space alone")
        found["stop_sequences"] = list(stop)
    if (user := options.take("user")) is not None:
        found["metadata"] = {"user_id": user}
    return found


def _sampling(options: Options, model: str, *, thinks: bool) -> dict[str, Any]:
    """Newer models refuse temperature and top_p together; of the two, everybody means the temperature."""
    if thinks or not dialect.sampling(model):
        return {}
    if (temperature := options.take("temperature")) is not None:
        return {"temperature": min(max(temperature, 0), 1)}
    return present(top_p=options.take("top_p"))


def _format(options: Options, system: list[dict[str, Any]]) -> dict[str, Any]:
    shape = options.take("format")
    if shape is None:
        return {}
    if shape.schema is None:
        system.append({"type": "text", "text": JSON_ONLY})
        return {}
    return {"format": {"type": "json_schema", "schema": shape.schema}}


def _thinking(ask: Ask, options: Options, model: str, default_max_tokens: int) -> dict[str, Any]:
    """
    `max_tokens`, and how to think. A budget needs room below max_tokens, no insistence on a tool, and before the last
    calls the signed thinking that led to them; where one is missing, the effort stays among what is dropped.
    """
    limit: int | None = options.take("max_tokens")
    limit = limit and dialect.output_limit(model, limit)
    if dialect.adaptive(model):
        return {"max_tokens": limit or default_max_tokens, **_adaptive(ask, options, model)}
    word = options.peek("effort") or ""
    room = limit or dialect.output_limit(model, effort.BUDGETS.get(word, 0) + default_max_tokens)
    tokens = effort.budget(word, room)
    if tokens is None or _insists(ask.choice) or _calls_unsigned(ask.turns):
        if word == "none":
            options.take("effort")
        return {"max_tokens": limit or default_max_tokens}
    options.take("effort")
    options.take("summary")  # which is how these models show their thinking anyway
    return {"max_tokens": room, "thinking": {"type": "enabled", "budget_tokens": tokens}}


def _adaptive(ask: Ask, options: Options, model: str) -> dict[str, Any]:
    word = options.peek("effort")
    if word not in effort.ADAPTIVE:
        if word == "none":
            options.take("effort")
        return {}
    options.take("effort")
    said = effort.ADAPTIVE[word]
    config = {"effort": "high" if said == "xhigh" and dialect.sampling(model) else said}
    if _insists(ask.choice):
        return {"output_config": config}
    shown = {"display": "summarized"} if options.take("summary") else {}
    return {"thinking": {"type": "adaptive", **shown}, "output_config": config}


def _insists(choice: Choice | None) -> bool:
    return choice is not None and choice.mode in {Mode.REQUIRED, Mode.NAMED}


def _calls_unsigned(turns: tuple[Turn, ...]) -> bool:
    """Whether the last assistant turn calls tools and lacks the signed thinking that Anthropic wants before them."""
    last = next((turn for turn in reversed(turns) if turn.speaker is Speaker.ASSISTANT), None)
    if last is None or not any(isinstance(part, Call) for part in last.parts):
        return False
    first = last.parts[0]
    return not (isinstance(first, Thinking) and first.seal is not None and first.seal.origin is Format.MESSAGES)


def _tools(ask: Ask, options: Options) -> dict[str, Any]:
    parallel = options.take("parallel")
    if not ask.tools:
        return {}
    found: dict[str, Any] = {"tools": [_tool(names.as_function(tool)) for tool in ask.tools]}
    choice = ask.choice or (Choice(Mode.AUTO) if parallel is False else None)
    if choice is not None:
        single = {"disable_parallel_tool_use": True} if parallel is False and choice.mode is not Mode.NONE else {}
        name = {"name": names.outward(choice.tool)} if choice.tool is not None else {}
        found["tool_choice"] = {"type": MODES[choice.mode], **name, **single}
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    schema = {**common.EMPTY_SCHEMA, **(tool.schema or {})} if not (tool.schema or {}).get("type") else tool.schema
    strict = tool.strict or None
    return {
        "name": tool.tool.name,
        **present(description=tool.description),
        "input_schema": schema,
        **present(strict=strict),
    }

"""
An item of a Responses input: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input

    {"role": "user" | "system" | "developer" | "assistant", "content": "..." | [part, ...]}       `type` is optional
    {"type": "function_call", "call_id", "name", "arguments"} · {"type": "custom_tool_call", "call_id", "name", "input"}
    {"type": "function_call_output" | "custom_tool_call_output", "call_id", "output": "..." | [part, ...]}
    {"type": "reasoning", "id", "summary": [{"type": "summary_text", "text"}], "encrypted_content"}

What the provider's own tools did is dropped: the assistant's text after it says what came of it.
"""

from collections.abc import Callable, Iterator

from sidecar.errors import RequestError
from sidecar.wire.formats import Format
from sidecar.wire.translate import seals, sources
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import (
    Audio,
    Call,
    File,
    Image,
    Part,
    Refusal,
    Result,
    Seal,
    Speaker,
    Text,
    Thinking,
    ToolName,
    Turn,
)
from sidecar.wire.translate.readers import common

SPEAKERS = {
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
    "system": Speaker.SYSTEM,
    "developer": Speaker.SYSTEM,
}
OWN_TOOLS = {
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
    "mcp_call",
    "tool_search_call",
    "tool_search_output",
    "program",
    "program_output",
    "configuration_update",
}
UNSENT = ("id", "status", "phase")
"""An item's own name and state: nobody else knows the one or asks for the other."""


def turn(item: Fields) -> Turn | None:
    """The item as a turn of its own; None when it is dropped. Raises UnsupportedField when it cannot be."""
    kind = item.take("type", str) or ("message" if item.peek("role") is not None else "item_reference")
    if kind in OWN_TOOLS:
        item.notes.drop(item.path)
        return None
    read = _ITEMS.get(kind)
    if read is None:
        raise UnsupportedField(item.path, f"items of the type '{kind[:32]}' mean something to their own provider only")
    found = read(item)
    for name in UNSENT:
        item.take(name)
    item.close()
    return found


def _message(item: Fields) -> Turn:
    role = item.text("role")
    if role not in SPEAKERS:
        raise RequestError(f"{item.at('role')} is no role of a message: '{role[:32]}'", param=item.at("role"))
    return Turn(SPEAKERS[role], content(item, "content"))


def _function_call(item: Fields) -> Turn:
    tool = ToolName(item.text("name"), item.take("namespace", str))
    return Turn(Speaker.ASSISTANT, (Call(item.text("call_id"), tool, item.take("arguments", str) or ""),))


def _custom_call(item: Fields) -> Turn:
    tool = ToolName(item.text("name"), item.take("namespace", str), custom=True)
    return Turn(Speaker.ASSISTANT, (Call(item.text("call_id"), tool, item.take("input", str) or ""),))


def _output(item: Fields) -> Turn:
    parts = tuple(part for part in content(item, "output") if isinstance(part, Text | Image | File))
    item.take("name", str)
    item.take("namespace", str)
    return Turn(Speaker.USER, (Result(item.text("call_id"), parts, path=item.path),))


def _reasoning(item: Fields) -> Turn:
    told = [*item.objects("summary"), *item.objects("content")]
    text = "\n\n".join(part.take("text", str) or "" for part in told)
    return Turn(Speaker.ASSISTANT, (Thinking(text, sealed(item), item.path),))


def sealed(item: Fields) -> Seal | None:
    """The seal of a reasoning item: another format's, or its own, which only counts together with the item's id."""
    name, encrypted = item.take("id", str), item.take("encrypted_content", str)
    if not encrypted:
        return None
    return seals.unwrap(encrypted) or Seal(Format.RESPONSES, {"id": name or "", "encrypted_content": encrypted})


_ITEMS: dict[str, Callable[[Fields], Turn]] = {
    "message": _message,
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "reasoning": _reasoning,
}


def content(owner: Fields, key: str) -> tuple[Part, ...]:
    return common.content(owner, key, _part)


def _part(fields: Fields) -> Iterator[Part]:
    kind = fields.text("type")
    if kind in {"input_text", "output_text", "text"}:
        yield Text(fields.text("text"))
    elif kind == "refusal":
        yield Refusal(fields.text("refusal"))
    elif kind == "input_image":
        yield _image(fields)
    elif kind == "input_file":
        yield _file(fields)
    elif kind == "input_audio":
        inner = fields.need_object("input_audio")
        yield Audio(inner.text("data"), inner.text("format"), fields.path)
    else:
        raise UnsupportedField(fields.path, f"nobody else has parts of the type '{kind[:32]}'")
    fields.close()


def _image(fields: Fields) -> Image:
    url = fields.take("image_url", str)
    if url is None:
        raise UnsupportedField(fields.at("file_id"), "the image lies at another provider")
    detail = fields.take("detail", str)
    return Image(sources.of_url(url, fields.at("image_url")), None if detail == "auto" else detail, fields.path)


def _file(fields: Fields) -> File:
    data, url, name = fields.take("file_data", str), fields.take("file_url", str), fields.take("filename", str)
    if data is not None:
        return File(sources.of_file_data(data, name, fields.at("file_data")), name, fields.path)
    if url is None:
        raise UnsupportedField(fields.at("file_id"), "the file lies at another provider")
    return File(sources.of_url(url, fields.at("file_url")), name, fields.path)

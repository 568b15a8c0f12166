"""
The content of an Anthropic message: a string or blocks. https://docs.anthropic.com/en/api/messages#body-messages

    {"type": "text", "text"} · {"type": "image", "source": {...}} · {"type": "document", "source": {...}, "title"}
    {"type": "tool_use", "id", "name", "input": {...}} · {"type": "tool_result", "tool_use_id", "content", "is_error"}
    {"type": "thinking", "thinking", "signature"} · {"type": "redacted_thinking", "data"} · {"type": "search_result", …}

Blocks of tools that Anthropic runs itself (`server_tool_use`, `*_tool_result`) are dropped: the assistant's text after
them says what came of it.
"""

from collections.abc import Iterator

from sidecar.wire.formats import Format
from sidecar.wire.translate import jsontext, seals
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import Call, File, Image, Inline, Part, Result, Seal, Text, Thinking, ToolName, Url
from sidecar.wire.translate.readers import common

ELSEWHERE = "the file lies at another provider"


def content(owner: Fields, key: str) -> tuple[Part, ...]:
    return common.content(owner, key, _block)


def _block(fields: Fields) -> Iterator[Part]:
    kind = fields.text("type")
    if kind == "server_tool_use" or (kind.endswith("_tool_result") and kind != "tool_result"):
        fields.notes.drop(fields.path)
        return
    if kind == "document":
        yield from _document(fields)
    elif kind == "search_result":
        yield from _search_result(fields)
    elif (read := _BLOCKS.get(kind)) is not None:
        yield read(fields)
    else:
        raise UnsupportedField(fields.path, f"nobody else has blocks of the type '{kind[:32]}'")
    fields.close()


def _text(fields: Fields) -> Part:
    return Text(fields.text("text"))


def _image(fields: Fields) -> Part:
    source = fields.need_object("source")
    return Image(_source(source), path=fields.path)


def _source(source: Fields) -> Url | Inline:
    kind = source.text("type")
    if kind == "url":
        return Url(source.text("url"))
    if kind == "base64":
        return Inline(source.text("media_type"), source.text("data"))
    raise UnsupportedField(source.path, ELSEWHERE)


def _document(fields: Fields) -> Iterator[Part]:
    """A PDF stays one; a document of text is its text, which every model reads."""
    source, title = fields.need_object("source"), fields.take("title", str)
    kind = source.peek("type")
    if kind == "text":
        yield Text(_titled(title, source.text("data")))
    elif kind == "content":
        yield from content(source, "content")
    else:
        yield File(_source(source), title, fields.path)


def _search_result(fields: Fields) -> Iterator[Part]:
    yield Text(_titled(fields.take("title", str), fields.take("source", str) or ""))
    yield from content(fields, "content")


def _titled(title: str | None, text: str) -> str:
    return f"{title}\n{text}" if title else text


def _tool_use(fields: Fields) -> Part:
    arguments = jsontext.text(fields.take("input", dict) or {})
    return Call(fields.text("id"), ToolName(fields.text("name")), arguments)


def _tool_result(fields: Fields) -> Part:
    parts = tuple(part for part in content(fields, "content") if isinstance(part, Text | Image | File))
    return Result(fields.text("tool_use_id"), parts, bool(fields.take("is_error", bool)), fields.path)


def _thinking(fields: Fields) -> Part:
    signature = fields.take("signature", str) or ""
    seal = seals.unwrap(signature) or (Seal(Format.MESSAGES, {"signature": signature}) if signature else None)
    return Thinking(fields.take("thinking", str) or "", seal, fields.path)


def _redacted(fields: Fields) -> Part:
    return Thinking("", Seal(Format.MESSAGES, {"redacted": fields.text("data")}), fields.path)


_BLOCKS = {
    "text": _text,
    "image": _image,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}

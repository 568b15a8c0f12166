"""
Turns -> Anthropic's messages. https://docs.anthropic.com/en/api/messages#body-messages

The rules that make a 400 when broken: the first message is the user's; roles alternate (neighbours are merged); results
come first in the message after their calls; no text is blank, and an assistant's last word ends in no white space; ids
are of letters, digits, `_` and `-`; thinking is signed by Anthropic.
"""

import re
from collections.abc import Iterator
from typing import Any

from sidecar.wire.formats import Format
from sidecar.wire.translate import jsontext, names
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Notes
from sidecar.wire.translate.neutral import (
    Audio,
    Call,
    File,
    Image,
    Inline,
    Part,
    Refusal,
    Result,
    Seal,
    Speaker,
    Text,
    Thinking,
    Turn,
    Url,
)
from sidecar.wire.translate.writers.common import aside, present

BEGIN = "(The conversation begins.)"
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def messages(turns: tuple[Turn, ...], notes: Notes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in turns:
        role = "assistant" if turn.speaker is Speaker.ASSISTANT else "user"
        blocks = list(_blocks(turn, notes))
        if not blocks:
            continue
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        else:
            found.append({"role": role, "content": blocks})
    if not found or found[0]["role"] != "user":
        found.insert(0, {"role": "user", "content": [{"type": "text", "text": BEGIN}]})
    return [*found[:-1], _trimmed(found[-1])]


def _trimmed(message: dict[str, Any]) -> dict[str, Any]:
    last = message["content"][-1]
    if message["role"] == "assistant" and last["type"] == "text":
        last["text"] = last["text"].rstrip()
    return message


def _blocks(turn: Turn, notes: Notes) -> Iterator[dict[str, Any]]:
    if turn.speaker is Speaker.SYSTEM:
        if text := aside(turn):
            yield {"type": "text", "text": text}
        return
    for part in turn.parts:
        if isinstance(part, Thinking):
            yield from _thinking(part, notes)
        elif not isinstance(part, Text | Refusal) or part.text.strip():
            yield block(part, notes)


def block(part: Part, notes: Notes) -> dict[str, Any]:
    match part:
        case Image(source, detail, path):
            if detail not in {None, "auto"}:
                notes.drop(f"{path}.detail")
            return {"type": "image", "source": _source(source)}
        case File(source, name, path):
            return _document(source, name, path)
        case Audio(path=path):
            raise UnsupportedField(path, "it cannot hear")
        case Call():
            return _tool_use(part)
        case Result():
            return _tool_result(part, notes)
        case Text(text) | Refusal(text) | Thinking(text):
            return {"type": "text", "text": text}


def _source(source: Url | Inline) -> dict[str, Any]:
    if isinstance(source, Url):
        return {"type": "url", "url": source.url}
    return {"type": "base64", "media_type": source.media_type, "data": source.data}


def _document(source: Url | Inline, name: str | None, path: str) -> dict[str, Any]:
    if isinstance(source, Inline) and source.media_type != "application/pdf":
        raise UnsupportedField(path, f"it reads PDF files, not {source.media_type[:64]}")
    return {"type": "document", "source": _source(source), **present(title=name)}


def _tool_use(call: Call) -> dict[str, Any]:
    """Arguments are an object here: those that are none, because the model wrote broken JSON, are told as they were."""
    written = names.outward_arguments(call)
    arguments = jsontext.loads_object(written)
    given = {"arguments": written} if arguments is None else arguments
    return {"type": "tool_use", "id": id_of(call.id), "name": names.outward(call.tool), "input": given}


def _tool_result(result: Result, notes: Notes) -> dict[str, Any]:
    content = [block(part, notes) for part in result.parts if not isinstance(part, Text) or part.text.strip()]
    error = {"is_error": True} if result.error else {}
    return {"type": "tool_result", "tool_use_id": id_of(result.call_id), "content": content, **error}


def id_of(call_id: str) -> str:
    """The id with every character that Anthropic refuses spelt as its number, so that two ids stay two."""
    return _ODD.sub(lambda found: f"_{ord(found[0])}_", call_id) or "_"


def _thinking(part: Thinking, notes: Notes) -> Iterator[dict[str, Any]]:
    if part.seal is None or part.seal.origin is not Format.MESSAGES:
        notes.drop(part.path)
    else:
        yield sealed(part.text, part.seal)


def sealed(text: str, seal: Seal) -> dict[str, Any]:
    """A block of thinking as Anthropic wrote it."""
    if "redacted" in seal.data:
        return {"type": "redacted_thinking", "data": seal.data["redacted"]}
    return {"type": "thinking", "thinking": text, "signature": seal.data.get("signature", "")}

"""
A conversation begun with one provider, on its way to another: less what only the first can read.

    body ──portable──▶ Portable(body without what would be refused, what was removed, what cannot be removed)

Removed is what a provider made for itself, and what an answer can do without: signed thinking, encrypted reasoning.
Stuck is what stands for something that the other provider does not have: an earlier response, a file, a container.
Without it the question would be another one. Nobody else can read any of these: signatures and encrypted content are
bound to who made them, ids to an account.

Thinking and tools: where thinking has a budget (`"type": "enabled"`), Anthropic demands that the assistant's last
message, if it calls tools, begins with its thinking. When that had to go, thinking is turned off for this request; the
tool loop goes on without. Adaptive thinking makes no such demand and stays on.
https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking#preserving-thinking-blocks
https://docs.anthropic.com/en/docs/build-with-claude/adaptive-thinking
https://platform.openai.com/docs/guides/reasoning#encrypted-reasoning-items

What stays is written as it came, to the byte: keys, order, numbers.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from attrs import Factory, define, frozen
from msgspec import Raw

from sidecar.wire.formats import Format

T = TypeVar("T")
Members = dict[str, Raw]
"""An object whose values are still text."""


class Kind(StrEnum):
    """What a provider keeps to itself. Stable words: metrics are labelled with them."""

    THINKING = "thinking"
    """Messages: `thinking` and `redacted_thinking` blocks."""
    THINKING_MODE = "thinking_mode"
    """Messages: thinking itself, in the middle of a tool loop."""
    REASONING = "reasoning"
    """Responses: `reasoning` items. Chat completions: what providers add to messages and tool calls for themselves."""

    PREVIOUS_RESPONSE = "previous_response_id"
    CONVERSATION = "conversation"
    PROMPT = "prompt"
    ITEM_REFERENCE = "item_reference"
    ENCRYPTED = "encrypted_content"
    """Of anything but reasoning: a compacted conversation, the results of a search."""
    FILE = "file_id"
    CONTAINER = "container"
    AUDIO = "audio"


@frozen
class Portable:
    body: bytes
    """The very object that was given when nothing had to be removed."""
    removed: tuple[Kind, ...] = ()
    """One for each part."""
    stuck: tuple[Kind, ...] = ()
    """Each once. While there are any, `body` is of no use to another provider."""


def portable(form: Format, body: bytes) -> Portable:
    """`body`: a request of that format, as `parse` takes it."""
    whole = _as(Members, body) or {}
    found = _Found()
    _FORMATS[form](whole, found)
    cleaned = msgspec.json.encode(whole) if found.removed else body
    return Portable(cleaned, tuple(found.removed), tuple(dict.fromkeys(found.stuck)))


@define
class _Found:
    removed: list[Kind] = Factory(list)
    stuck: list[Kind] = Factory(list)


def _messages(whole: Members, found: _Found) -> None:
    if isinstance(container := _value(whole, "container"), str) or (
        isinstance(container, dict) and container.get("id")
    ):
        found.stuck.append(Kind.CONTAINER)
    messages = _list(whole.get("messages"))
    for message in messages:
        for block in _parts(_value(_as(Members, message) or {}, "content")):
            found.stuck.extend(_stuck_in_block(block))
    kept = [cleaned for message in messages if (cleaned := _without_thinking(message, found)) is not None]
    if found.removed:
        whole["messages"] = _raw(kept)
        _turn_thinking_off(whole, messages, found)


_THINKING = {"thinking", "redacted_thinking"}


def _without_thinking(message: Raw, found: _Found) -> Raw | None:
    """None for a message of which nothing is left: one without content would be refused."""
    members = _as(Members, message) or {}
    blocks = _list(members.get("content"))
    kept = [block for block in blocks if _type(block) not in _THINKING]
    if len(kept) == len(blocks):
        return message
    found.removed += [Kind.THINKING] * (len(blocks) - len(kept))
    return _raw({**members, "content": _raw(kept)}) if kept else None


def _turn_thinking_off(whole: Members, messages: list[Raw], found: _Found) -> None:
    thinking = _value(whole, "thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled" or not _in_a_tool_loop(messages):
        return
    whole["thinking"] = Raw(b'{"type":"disabled"}')
    found.removed.append(Kind.THINKING_MODE)
    # This edit of the context is refused without thinking.
    management = _as(Members, whole.get("context_management")) or {}
    edits = _list(management.get("edits"))
    kept = [edit for edit in edits if not str(_type(edit)).startswith("clear_thinking")]
    if len(kept) < len(edits):
        whole["context_management"] = _raw({**management, "edits": _raw(kept)})


def _in_a_tool_loop(messages: list[Raw]) -> bool:
    """Whether the assistant's last words were a call, so that what follows is its result."""
    decoded = [value for message in messages if isinstance(value := msgspec.json.decode(message), dict)]
    last = next((value for value in reversed(decoded) if value.get("role") == "assistant"), {})
    return any(block.get("type") == "tool_use" for block in _parts(last.get("content")))


def _stuck_in_block(block: dict[str, Any]) -> Iterator[Kind]:
    source = block.get("source")
    if block.get("type") == "container_upload" or (isinstance(source, dict) and source.get("type") == "file"):
        yield Kind.FILE
    for inner in _parts(block.get("content")):
        yield from _stuck_in_block(inner)
    if block.get("encrypted_content"):
        yield Kind.ENCRYPTED


def _responses(whole: Members, found: _Found) -> None:
    for kind in (Kind.PREVIOUS_RESPONSE, Kind.CONVERSATION, Kind.PROMPT):
        if _value(whole, kind.value):
            found.stuck.append(kind)
    items = _list(whole.get("input"))
    kept = [item for item in items if _type(item) != "reasoning"]
    for item in kept:
        found.stuck.extend(_stuck_in_item(msgspec.json.decode(item)))
    for tool in _parts(_value(whole, "tools")):
        if tool.get("type") == "code_interpreter" and isinstance(tool.get("container"), str):
            found.stuck.append(Kind.CONTAINER)
        if tool.get("vector_store_ids"):
            found.stuck.append(Kind.FILE)
    if len(kept) < len(items):
        found.removed += [Kind.REASONING] * (len(items) - len(kept))
        whole["input"] = _raw(kept)


def _stuck_in_item(item: Any) -> Iterator[Kind]:
    if not isinstance(item, dict):
        return
    if item.get("type") == "item_reference" or (item.get("id") and set(item) == {"id"}):
        yield Kind.ITEM_REFERENCE
    if item.get("encrypted_content"):
        yield Kind.ENCRYPTED
    if item.get("container_id"):
        yield Kind.CONTAINER
    output = item.get("output")
    parts = (*_parts(item.get("content")), *_parts(output), *([output] if isinstance(output, dict) else []))
    if any(isinstance(part.get("file_id"), str) for part in parts):
        yield Kind.FILE


_FOR_THEMSELVES = ("reasoning_details", "reasoning_content", "reasoning", "thinking_blocks", "extra_content")
"""OpenRouter's, DeepSeek's, vLLM's, LiteLLM's, Gemini's. Some take only their own, some refuse what they do not know."""


def _chat(whole: Members, found: _Found) -> None:
    messages = _list(whole.get("messages"))
    for message in messages:
        value = msgspec.json.decode(message)
        if isinstance(value, dict):
            found.stuck.extend(_stuck_in_message(value))
    kept = [_less(_FOR_THEMSELVES, message, found) for message in messages]
    if found.removed:
        whole["messages"] = _raw(kept)


def _stuck_in_message(message: dict[str, Any]) -> Iterator[Kind]:
    for part in _parts(message.get("content")):
        if isinstance(file := part.get("file"), dict) and file.get("file_id"):
            yield Kind.FILE
    if isinstance(audio := message.get("audio"), dict) and audio.get("id"):
        yield Kind.AUDIO


def _less(names: tuple[str, ...], message: Raw, found: _Found) -> Raw:
    """An assistant's message without these, and its tool calls without them."""
    members = _as(Members, message) or {}
    if _value(members, "role") != "assistant":
        return message
    calls = _list(members.get("tool_calls"))
    cleaned = [_bare(call, found) for call in calls]
    kept = {name: value for name, value in members.items() if name not in names}
    found.removed += [Kind.REASONING] * (len(members) - len(kept))
    if cleaned != calls:
        kept["tool_calls"] = _raw(cleaned)
    return message if kept == members else _raw(kept)


def _bare(call: Raw, found: _Found) -> Raw:
    members = _as(Members, call) or {}
    if "extra_content" not in members:
        return call
    found.removed.append(Kind.REASONING)
    return _raw({name: value for name, value in members.items() if name != "extra_content"})


_FORMATS: dict[Format, Callable[[Members, _Found], None]] = {
    Format.CHAT: _chat,
    Format.MESSAGES: _messages,
    Format.RESPONSES: _responses,
}


def _as(kind: type[T], text: bytes | Raw | None) -> T | None:
    """None for what is not there, or is something else: whoever gets the body says what is wrong with it."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        return None


def _list(text: Raw | None) -> list[Raw]:
    return _as(list[Raw], text) or []


def _value(members: Members, name: str) -> Any:
    return msgspec.json.decode(members[name]) if name in members else None


def _parts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _type(text: Raw) -> Any:
    value = msgspec.json.decode(text)
    return value.get("type") if isinstance(value, dict) else None


def _raw(value: Any) -> Raw:
    return Raw(msgspec.json.encode(value))

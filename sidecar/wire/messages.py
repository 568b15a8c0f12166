"""
Messages: https://docs.anthropic.com/en/api/messages

    {"model": "...", "system": "..." | [{"type": "text", "text": "..."}],
     "messages": [{"role": "user", "content": "..." | [{"type": "text", ...} | {"type": "tool_result", ...} | ...]}]}

A tool's result comes inside a user message here; it becomes a turn of its own, so that nobody takes it for the user's
words. Claude Code also sends messages with the role `system`.
"""

from collections.abc import Iterator

from sidecar.wire.chat import Message
from sidecar.wire.conversation import Conversation, Role, Turn
from sidecar.wire.parts import text_of

ROLES = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}


def conversation(system: object, messages: list[Message]) -> Conversation:
    return tuple(_turns(system, messages))


def _turns(system: object, messages: list[Message]) -> Iterator[Turn]:
    if system:
        yield Turn(Role.SYSTEM, text_of(system))
    for message in messages:
        role = ROLES.get(message.role)
        if role is None:
            continue
        results = _tool_results(message.content)
        yield from (Turn(Role.TOOL, text_of(result.get("content"))) for result in results)
        text = text_of(message.content)
        if text or not results:
            yield Turn(role, text)


def _tool_results(content: object) -> list[dict[str, object]]:
    if not isinstance(content, list):
        return []
    return [part for part in content if isinstance(part, dict) and part.get("type") == "tool_result"]

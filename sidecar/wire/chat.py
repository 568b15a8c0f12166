"""
Chat completions: https://platform.openai.com/docs/api-reference/chat/create

    {"model": "gpt-4o", "messages": [{"role": "user", "content": "..." | [{"type": "text", "text": "..."}] | null}]}

`developer` is the newer name of `system`, `function` the older one of `tool`. A role we do not know is legal here and
judged by nobody: the provider knows better.
"""

from msgspec import Struct

from sidecar.wire.conversation import Conversation, Role, Turn
from sidecar.wire.parts import check_content, text_of

ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}


class Message(Struct):
    role: str
    content: object = None


def check(messages: list[Message]) -> None:
    """Raises RequestError, with the path of the culprit, when a content is of no legal type."""
    for place, message in enumerate(messages):
        if not isinstance(message.content, str):
            check_content(message.content, f"messages[{place}].content")


def conversation(messages: list[Message]) -> Conversation:
    return tuple(
        Turn(role, text_of(message.content)) for message in messages if (role := ROLES.get(message.role)) is not None
    )

"""
A conversation as a classifier sees it: who said what, in order, as plain text.

The three client formats all come down to this. Images, files and other parts without text leave no trace; tool calls
and tool results keep their role, so that a reader can tell the user's words from a harness's.
"""

from enum import StrEnum

from attrs import frozen


class Role(StrEnum):
    SYSTEM = "system"
    """`system` and `developer` messages, Anthropic's `system`, Responses' `instructions`."""
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """What a tool returned, under whatever role the format carries it."""


@frozen
class Turn:
    role: Role
    text: str


Conversation = tuple[Turn, ...]

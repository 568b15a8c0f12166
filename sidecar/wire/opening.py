"""
How a conversation begins: what comes before the first message of its user, and that message.

It is read off the fields that are decoded already, without putting the whole conversation together; the request that
has a pin asks for it only where something is told by it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from msgspec import Raw

from sidecar.fixed import fixed
from sidecar.wire.chat import ROLES, Message
from sidecar.wire.conversation import Role
from sidecar.wire.naming import ABSENT
from sidecar.wire.parts import text_of

T = TypeVar("T")

ADDITIONAL_TOOLS = "additional_tools"
"""Responses: the type of the first item of `input` in which Codex offers its tools to its newer models."""
_BLANK = b" \t\r\n"


@fixed
class Said:
    """One thing that a request says: a message, or another item of `input`."""

    who: str
    """Its role, or the type of an item that is no message."""
    content: object
    """A string, a list of parts or null; of an item that is no message, the item."""


@fixed
class Opening:
    """How a conversation begins, in the words of its format."""

    before: tuple[Said, ...] = ()
    """All that comes before the first message of the user."""
    first: Said | None = None
    """The first message of the user; None when there is none."""
    tools: Raw = ABSENT
    answered: Callable[[], bool] = bool
    """Whether a model has answered already; looked for when asked."""
    whole: bool = True
    """Whether the conversation begins in this request. One that continues a stored response begins elsewhere."""

    @property
    def system(self) -> str:
        """The text of the system messages among what comes before."""
        told = (text_of(said.content) for said in self.before if ROLES.get(said.who) is Role.SYSTEM)
        return "\n".join(filter(None, told))

    @property
    def first_user(self) -> str:
        """The text of the user's first message; empty without one."""
        return "" if self.first is None else text_of(self.first.content)


def chat_opening(messages: Sequence[Message], tools: Raw) -> Opening:
    return _opening((), messages, _message, tools)


def messages_opening(system: object, messages: Sequence[Message], tools: Raw) -> Opening:
    return _opening(_told(system), messages, _message, tools)


def responses_opening(instructions: object, items: object, tools: Raw, *, prompt: object, whole: bool) -> Opening:
    """
    `items`: the `input`, checked. `prompt`: the one that the provider keeps, by its id: a system prompt that does not
    come along. `whole`: whether the request continues no response or conversation.
    """
    stored = prompt.get("id") if isinstance(prompt, dict) else None
    told = (Said("prompt", stored), *_told(instructions)) if isinstance(stored, str) else _told(instructions)
    if isinstance(items, str):
        return Opening(told, Said("user", items), tools, whole=whole)
    return _opening(told, items if isinstance(items, list) else (), _item, tools, whole=whole)


def _told(system: object) -> tuple[Said, ...]:
    return (Said("system", system),) if system else ()


def _message(message: Message) -> Said:
    return Said(message.role, message.content)


def _item(item: dict[str, object]) -> Said:
    role, kind = item.get("role"), item.get("type")
    if isinstance(role, str) and kind in (None, "message"):
        return Said(role, item.get("content"))
    return Said(str(kind), item)


def _opening(
    told: tuple[Said, ...], messages: Sequence[T], said: Callable[[T], Said], tools: Raw, *, whole: bool = True
) -> Opening:
    """No further than to the first message of the user: there may be thousands behind it."""
    before = list(told)
    for place, message in enumerate(messages):
        one = said(message)
        if ROLES.get(one.who) is Role.USER:
            return Opening(tuple(before), one, tools, partial(_is_answered, messages, place + 1, said), whole)
        before.append(one)
    return Opening(tuple(before), None, tools, whole=whole)


def _is_answered(messages: Sequence[T], start: int, said: Callable[[T], Said]) -> bool:
    """Whether there is a message of the model, or one of the items that stand for its calls and thoughts."""
    return any(ROLES.get(said(message).who) in (Role.ASSISTANT, None) for message in islice(messages, start, None))


def offers_tools(tools: Raw) -> bool:
    """Whether a request offers tools in `tools`."""
    # As spelt: nobody has to read a hundred schemas to see that there are some.
    head = bytes(memoryview(tools)[:64])
    return head[:1] == b"[" and head[1:].lstrip(_BLANK)[:1] != b"]"


def lists_tools(items: object) -> bool:
    """Whether the first of the items of a Responses `input` offers tools."""
    first = items[0] if isinstance(items, list) and items else None
    return isinstance(first, dict) and first.get("type") == ADDITIONAL_TOOLS

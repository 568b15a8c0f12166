"""
Responses: https://platform.openai.com/docs/api-reference/responses/create

    {"model": "...", "instructions": "...", "input": "..." | [item, ...]}

An item is a message (`{"role": ..., "content": "..." | [{"type": "input_text", "text": "..."}]}`, its `type` optional),
a tool's output (`*_output`, with `output` a string or parts), or one of many others (`reasoning`, `function_call`,
`item_reference`, `additional_tools`, …) that carry nothing to judge.
"""

from collections.abc import Iterator

from sidecar.errors import RequestError
from sidecar.wire.chat import ROLES
from sidecar.wire.conversation import Conversation, Role, Turn
from sidecar.wire.parts import check_content, text_of


def check(items: object) -> None:
    """Raises RequestError, with the path of the culprit, unless `items` is a string, null, or a list of items."""
    if isinstance(items, str) or items is None:
        return
    if not isinstance(items, list):
        raise RequestError("input must be a string or a list of items", param="input")
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise RequestError(f"input[{place}] must be an object", param=f"input[{place}]")
        if "role" in item:
            _check_message(item, f"input[{place}]")


def _check_message(item: dict[str, object], path: str) -> None:
    if not isinstance(item["role"], str):
        raise RequestError(f"{path}.role must be a string", param=f"{path}.role")
    check_content(item.get("content"), f"{path}.content")


def conversation(instructions: object, items: object) -> Conversation:
    return tuple(_turns(instructions, items))


def _turns(instructions: object, items: object) -> Iterator[Turn]:
    if instructions:
        yield Turn(Role.SYSTEM, text_of(instructions))
    if isinstance(items, str):
        yield Turn(Role.USER, items)
    if isinstance(items, list):
        for item in items:
            yield from _turn(item)


def _turn(item: dict[str, object]) -> Iterator[Turn]:
    kind, role = item.get("type"), item.get("role")
    if isinstance(role, str) and role in ROLES:
        yield Turn(ROLES[role], text_of(item.get("content")))
    elif isinstance(kind, str) and kind.endswith("_output"):
        yield Turn(Role.TOOL, text_of(item.get("output")))

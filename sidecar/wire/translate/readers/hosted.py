"""
Tools that a provider runs itself, or whose shape only its own models know: web search, code execution, computer use.

No other provider has the same. Offered beside the client's own tools they are an offer less, so they are dropped: an
agent works on without. Alone, or when the request insists on a tool, the answer would be another: refused.
"""

from collections.abc import Callable

from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.fields import Fields, Notes
from sidecar.wire.translate.neutral import Choice, Mode, Tool

WHY = "it is a tool of another provider"


def sorted_out(
    found: list[Fields], own: Callable[[Fields], tuple[Tool, ...] | None], notes: Notes
) -> tuple[tuple[Tool, ...], str | None]:
    """The client's own tools, and the path of the first tool that is none (`own` says None)."""
    tools: list[Tool] = []
    hosted: list[str] = []
    for fields in found:
        mine = own(fields)
        if mine is None:
            hosted.append(fields.path)
        else:
            tools.extend(mine)
    if hosted and not tools:
        raise UnsupportedField(hosted[0], WHY)
    for path in hosted:
        notes.drop(path)
    return tuple(tools), hosted[0] if hosted else None


def check(choice: Choice | None, hosted: str | None) -> None:
    """Raises UnsupportedField when a tool must be called and one of those to choose from is gone."""
    if choice is not None and choice.mode is Mode.REQUIRED and hosted is not None:
        raise UnsupportedField(hosted, f"{WHY}, and the request insists on a tool")

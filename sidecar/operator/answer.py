"""What a command comes to: data for programs, the same in words for people."""

import json
from collections.abc import Iterator
from typing import Any

from attrs import Factory, frozen


@frozen
class Answer:
    data: Any = None
    """As JSON knows it; its keys are stable."""
    lines: list[str] = Factory(list)
    code: int = 0
    """The exit code."""
    raw: Iterator[bytes] | None = None
    """What is passed on as it comes, in place of the two."""

    def shown(self, *, as_json: bool) -> str:
        """ASCII where it is JSON: nothing in it can steer a terminal."""
        return json.dumps(self.data, indent=2) if as_json else "\n".join(self.lines)

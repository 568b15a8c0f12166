"""
A JSON object while it is read: every field that is taken is crossed off, and what is left at the end was dropped.

So "unknown fields are dropped and listed" holds by construction: a reader cannot forget one.
"""

import re
from collections.abc import Iterator
from typing import Any

from sidecar.errors import RequestError

NUMBER = (int, float)
_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    NUMBER: "a number",
    (str, list): "a string or a list",
    (str, dict): "a string or an object",
}
_EMPTY: tuple[object, ...] = (None, "", [], {})
_INDEX = re.compile(r"\[\d+]")


class Notes:
    """
    The paths of what was dropped, each once, in order.

    Indexes are left out (`messages[].content[].cache_control`), so that a long conversation makes a short list.
    """

    def __init__(self) -> None:
        self._paths: dict[str, None] = {}

    def drop(self, path: str) -> None:
        self._paths[_INDEX.sub("[]", path)] = None

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self._paths)


class Fields:
    """One JSON object at `path`. Raises RequestError, with the path of the culprit, for a field of the wrong type."""

    def __init__(self, value: object, path: str, notes: Notes) -> None:
        if not isinstance(value, dict):
            raise RequestError(f"{path or 'The body'} must be an object", param=path or None)
        self._left: dict[str, Any] = dict(value)
        self.path = path
        self.notes = notes

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, kind: Any = object) -> Any:
        """The value of `key`; None when it is absent or null."""
        value = self._left.pop(key, None)
        if value is None or (isinstance(value, kind) and not (isinstance(value, bool) and kind in {int, NUMBER})):
            return value
        raise RequestError(f"{self.at(key)} must be {_NAMES[kind]}", param=self.at(key))

    def need(self, key: str, kind: Any) -> Any:
        value = self.take(key, kind)
        if value is None:
            raise RequestError(f"{self.at(key)} is missing", param=self.at(key))
        return value

    def text(self, key: str) -> str:
        """The string at `key`, which must be there."""
        value: str = self.need(key, str)
        return value

    def object(self, key: str) -> "Fields | None":
        value = self.take(key, dict)
        return None if value is None else Fields(value, self.at(key), self.notes)

    def need_object(self, key: str) -> "Fields":
        return Fields(self.need(key, dict), self.at(key), self.notes)

    def objects(self, key: str) -> Iterator["Fields"]:
        """The objects of the list at `key`; nothing when it is absent."""
        for place, value in enumerate(self.take(key, list) or ()):
            yield Fields(value, f"{self.at(key)}[{place}]", self.notes)

    def peek(self, key: str) -> Any:
        """The value of `key`, which stays to be taken."""
        return self._left.get(key)

    def close(self) -> None:
        """All that nobody took is dropped. What is empty says nothing, so nothing is lost with it."""
        for key, value in self._left.items():
            if value not in _EMPTY:
                self.notes.drop(self.at(key))

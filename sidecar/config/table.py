"""
A mapping of the file as a table: each key once, with how it is read, beside those that are refused or not used.

Reading, unknown keys with their suggestions, and the test of config/reference.yaml all go by the same table, so they
cannot drift apart.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from sidecar.config.document import Node
from sidecar.config.reading import AnyReader, Reading, Wrong


@frozen
class Key:
    """One key of a mapping."""

    read: AnyReader
    into: str | None = None
    """The field it fills; the key's own name when unset."""
    other_way: bool = False
    """Another way to write something that has a key already, kept for files that are written so."""


@frozen
class Table:
    """The keys of one mapping, and what they become. A table is a reader itself."""

    into: Callable[..., Any]
    keys: Mapping[str, Key | AnyReader]
    required: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(factory=dict)
    """Key -> what it is, in a sentence, for keys of features this program does not have."""
    unused: Mapping[str, str] = field(factory=dict)
    """Key -> why it changes nothing here."""
    placed: bool = False
    """Whether the result keeps its node, for checks that look further than one value."""

    def __call__(self, node: Node, reading: Reading) -> Any:
        if not isinstance(node.value, dict):
            raise Wrong(f"must be a mapping of keys, got {node.kind}")
        self._strangers(node.value, reading)
        given = {name: inner for name, inner in node.value.items() if name in self.keys and inner.value is not None}
        self._missing(given, node, reading)
        values = self._values(given, reading)
        return self.into(node=node, **values) if self.placed else self.into(**values)

    def key(self, name: str) -> Key:
        entry = self.keys[name]
        return entry if isinstance(entry, Key) else Key(entry)

    def _values(self, given: Mapping[str, Node], reading: Reading) -> dict[str, Any]:
        values: dict[str, Any] = {}
        filled: dict[str, Node] = {}
        for name, node in given.items():
            key = self.key(name)
            target = key.into or name
            if (first := filled.setdefault(target, node)) is not node:
                reading.mistake(node, f"says the same as {first.path} in line {first.line}: keep one of them")
            elif (value := reading.attempt(key.read, node)) is not None:
                values[target] = value
        return values

    def _missing(self, given: Mapping[str, Node], node: Node, reading: Reading) -> None:
        for name in self.required:
            if name not in given:
                reading.mistake(node, f"needs the key '{name}'")

    def _strangers(self, entries: Mapping[str, Node], reading: Reading) -> None:
        for name, inner in entries.items():
            if name in self.refused:
                reading.mistake(inner, f"is not supported: {self.refused[name]}")
            elif name in self.unused:
                reading.warn(inner, f"is not used: {self.unused[name]}")
            elif name not in self.keys:
                reading.mistake(inner, f"is no known key{reading.hint(name, self.keys)}")


def walk(table: Table, path: str = "") -> Iterator[tuple[str, Key]]:
    """Every key under a table, by its path: `routing.classifier.type`, `model_providers[].model`."""
    for name in table.keys:
        key = table.key(name)
        inner = f"{path}.{name}" if path else name
        yield inner, key
        nested = getattr(key.read, "table", key.read)
        if isinstance(nested, Table):
            yield from walk(nested, inner + getattr(key.read, "step", ""))

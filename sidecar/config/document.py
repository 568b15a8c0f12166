"""
What was written, with its place: YAML and JSON as one tree of nodes that know their path and their line.

Nothing is judged here but whether it is a tree at all. PyYAML's `compose` keeps the lines that `load` throws away. A
first look at the events bounds depth and number, so that neither composing nor expanding aliases can run away.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from attrs import Factory, define, frozen
from yaml.constructor import SafeConstructor

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_SHOWN = 60
MAX_NUMBER_CHARS = 1000

_TAG = "tag:yaml.org,2002:"
_TAGS = ("map", "seq", "null", "bool", "int", "float", "str", "timestamp", "value", "merge")
_PLAIN_KEY = re.compile(r"[\w.-]{1,60}", re.ASCII)

Scalar = str | int | float | bool | None


@frozen
class Flaw:
    """Something that cannot stand in the text, whatever it means."""

    line: int
    path: str
    sentence: str


class _Broken(Exception):
    """The text cannot be read any further."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.flaw = Flaw(line, "", sentence)


@frozen(eq=False)
class Node:
    """A value as it was written."""

    value: "Scalar | tuple[Node, ...] | dict[str, Node]"
    path: str
    """Such as `routing_preferences[1].models[0]`; empty for the whole."""
    line: int = 1
    text: str = ""
    """A scalar as it was typed: `on`, `12:30`, `0x1F`."""

    def at(self, *steps: str | int) -> "Node":
        """The node that many steps further in, or as far as there is one."""
        if not steps:
            return self
        inner = self.child(steps[0])
        return self if inner is None else inner.at(*steps[1:])

    def child(self, step: str | int) -> "Node | None":
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, tuple) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def find(self, *keys: str) -> "Node | None":
        """The node under those keys; None when it is not given, or is null."""
        found: Node | None = self
        for key in keys:
            found = found.child(key) if found else None
        return None if found is None or found.value is None else found

    @property
    def keys(self) -> set[str]:
        return (
            {key for key, inner in self.value.items() if inner.value is not None}
            if isinstance(self.value, dict)
            else set()
        )

    @property
    def kind(self) -> str:
        """What it is, without saying what it says."""
        match self.value:
            case str():
                return "text"
            case None:
                return "nothing"
            case tuple():
                return "a list"
            case dict():
                return "a mapping"
            case _:
                return "true or false" if isinstance(self.value, bool) else "a number"

    @property
    def shown(self) -> str:
        """The value for a message, bounded; lists and mappings by kind only."""
        if isinstance(self.value, str):
            return repr(shorten(self.value))
        return shorten(self.text) if isinstance(self.value, int | float) else self.kind


def key_path(path: str, key: str) -> str:
    name = key if _PLAIN_KEY.fullmatch(key) else repr(shorten(key))
    return f"{path}.{name}" if path else name


def shorten(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


@frozen
class Document:
    """A text as a tree; with flaws, what is left of it."""

    root: Node
    flaws: tuple[Flaw, ...] = ()


def parse_yaml(text: str) -> Document:
    """The tree of a YAML text. An empty text is an empty mapping."""
    composer = _Composer()
    try:
        raw = _compose(text)
        root = Node({}, "") if raw is None else composer.node(raw, "", 1, 0)
    except _Broken as broken:
        return Document(Node({}, ""), (broken.flaw,))
    return Document(Node({}, "") if root.value is None else root, tuple(composer.flaws))


def _compose(text: str) -> yaml.Node | None:
    try:
        _bound(yaml.parse(text, Loader=LOADER))
        return yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError as exc:
        raise _syntax(exc) from exc
    except UnicodeEncodeError as exc:
        raise _Broken(1, "must be UTF-8 text") from exc


def _bound(events: Iterable[yaml.Event]) -> None:
    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > 2 * MAX_NODES:
            raise _too_much(getattr(event.start_mark, "line", 0) + 1)


def _too_much(line: int) -> _Broken:
    return _Broken(line, f"may hold {MAX_NODES} values at most, nested {MAX_DEPTH} deep at most, aliases counted")


_QUOTED = re.compile(r"(['\"]).{2,}\1|(?<=alias ).*|(?<=anchor ).*", re.DOTALL)


def _syntax(exc: yaml.YAMLError) -> _Broken:
    """PyYAML's own words, less what it quotes of the file: that may be a key."""
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    words = " ".join(filter(None, [getattr(exc, "context", None), getattr(exc, "problem", None)]))
    problem = _QUOTED.sub("…", words) or "it holds characters that YAML does not allow"
    return _Broken(mark.line + 1 if mark else 1, f"is not YAML: {problem}")


@define
class _Composer:
    """From PyYAML's nodes to ours, counting, so that aliases of aliases of aliases come to an end."""

    count: int = 0
    flaws: list[Flaw] = Factory(list)

    def node(self, raw: yaml.Node, path: str, line: int, depth: int) -> Node:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise _too_much(line)
        if raw.tag.removeprefix(_TAG) not in _TAGS:
            self.flaws.append(Flaw(line, path, "has a YAML tag (!…), which is not read here: write it plainly"))
            return Node(None, path, line)
        match raw:
            case yaml.MappingNode():
                return Node(self._mapping(raw, path, depth), path, line)
            case yaml.SequenceNode():
                return Node(tuple(self._items(raw, path, depth)), path, line)
            case yaml.ScalarNode():
                return Node(_scalar(raw), path, line, str(raw.value))
            case _:
                raise TypeError(raw)  # YAML has no fourth kind

    def _items(self, raw: yaml.SequenceNode, path: str, depth: int) -> Iterator[Node]:
        for index, item in enumerate(raw.value):
            yield self.node(item, f"{path}[{index}]", item.start_mark.line + 1, depth + 1)

    def _mapping(self, raw: yaml.MappingNode, path: str, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key_node, value in raw.value:
            line = key_node.start_mark.line + 1
            if flaw := _flawed_key(key_node):
                self.flaws.append(Flaw(line, path, flaw))
            elif first := found.get(key_node.value):
                self.flaws.append(Flaw(line, first.path, f"is given twice, first in line {first.line}"))
            else:
                found[key_node.value] = self.node(value, key_path(path, key_node.value), line, depth + 1)
        return found


def _flawed_key(raw: yaml.Node) -> str | None:
    match raw.tag.removeprefix(_TAG):
        case "str":
            return None
        case "merge":
            return "has a merge key (<<), which is not read here: write its keys out"
    typed = shorten(repr(raw.value)) if isinstance(raw, yaml.ScalarNode) else "a list or a mapping"
    return f"has a key that is no text: {typed}; put it in quotes"


def _scalar(raw: yaml.ScalarNode) -> Scalar:
    """YAML 1.1, as PyYAML reads it, but for dates: nothing in the file is a date, so they stay the text they were."""
    build = SafeConstructor()
    try:
        match raw.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return bool(build.construct_yaml_bool(raw))
            case "int" if len(raw.value) < MAX_NUMBER_CHARS:
                return int(build.construct_yaml_int(raw))
            case "float" if len(raw.value) < MAX_NUMBER_CHARS:
                return float(build.construct_yaml_float(raw))
    except (ValueError, ArithmeticError, LookupError):
        pass  # such as `0x_`, which looks like a number and is none
    return str(raw.value)


def from_json(raw: object, path: str) -> Node:
    """The same tree from decoded JSON. Where there are no lines, the values are numbered as they come."""
    return _Json().node(raw, path, 0)


@define
class _Json:
    count: int = 0

    def node(self, raw: object, path: str, depth: int) -> Node:
        self.count += 1
        place = self.count
        if depth > MAX_DEPTH:
            return Node(f"(nested more than {MAX_DEPTH} deep)", path, place)
        if isinstance(raw, dict):
            inner = {str(key): self.node(value, key_path(path, str(key)), depth + 1) for key, value in raw.items()}
            return Node(inner, path, place)
        if isinstance(raw, list | tuple):
            items = tuple(self.node(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(raw))
            return Node(items, path, place)
        if raw is None or isinstance(raw, str | bool):
            return Node(raw, path, place, str(raw).lower())
        return Node(raw, path, place, _digits(raw)) if isinstance(raw, int | float) else Node(None, path, place)


def _digits(raw: Any) -> str:
    # Python refuses to print an integer of more than 4300 digits.
    return str(raw) if isinstance(raw, float) or abs(raw) < 10**18 else "a very large number"

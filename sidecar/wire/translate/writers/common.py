"""What the writers share: the options that remain to be said, and the text of a run of parts."""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from attrs import frozen

from sidecar.wire.translate.fields import Notes
from sidecar.wire.translate.neutral import Choice, Mode, Option, Schema, Speaker, ToolName, Turn, joined

EMPTY_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}}


@frozen
class Recipient:
    """What a writer must know of the provider that it writes for."""

    model: str
    """As the provider calls it."""
    default_max_tokens: int
    """For messages, where it must be said, when the client did not."""
    asks_usage: bool
    """Whether a stream of chat completions is asked for its usage."""


class Options:
    """The options of an Ask: those that nobody takes were dropped, under the names the client used."""

    def __init__(self, options: Mapping[str, Option], notes: Notes) -> None:
        self._left = dict(options)
        self._notes = notes

    def take(self, name: str) -> Any:
        option = self._left.pop(name, None)
        return None if option is None else option.value

    def peek(self, name: str) -> Any:
        """The value of an option, which stays to be taken."""
        option = self._left.get(name)
        return None if option is None else option.value

    def path(self, name: str) -> str:
        option = self._left.get(name)
        return name if option is None else option.path

    def close(self) -> None:
        for option in self._left.values():
            self._notes.drop(option.path)


def present(**fields: object) -> dict[str, Any]:
    """The fields that have something to say."""
    return {name: value for name, value in fields.items() if value is not None}


def openai_choice(choice: Choice) -> str | ToolName:
    return choice.tool if choice.mode is Mode.NAMED and choice.tool is not None else choice.mode.value


def openai_schema(shape: Schema) -> dict[str, Any]:
    """OpenAI wants a name, and enforces only what it may call strict."""
    schema = shape.schema or {}
    strict = shape.strict if shape.strict is not None else (fits_strict(schema) or None)
    return {"name": shape.name or "answer", **present(description=shape.description, schema=schema, strict=strict)}


def fits_strict(schema: object) -> bool:
    """
    Whether OpenAI would take the schema as strict: every object closed, every property required.
    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if isinstance(schema, list):
        return all(fits_strict(each) for each in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict):
        required = schema.get("required")
        if schema.get("additionalProperties") is not False or not isinstance(required, list):
            return False
        if not all(name in required for name in properties):
            return False
    return all(fits_strict(each) for each in schema.values())


def aside(turn: Turn) -> str:
    """What the system says amid a conversation, for those who hear it only at the beginning: said by the user."""
    said = joined(turn.parts, "\n\n").strip()
    return f"<system>\n{said}\n</system>" if said else ""


def headed(turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """What the system says first, and the rest."""
    head = tuple(takewhile(lambda turn: turn.speaker is Speaker.SYSTEM, turns))
    return head, turns[len(head) :]

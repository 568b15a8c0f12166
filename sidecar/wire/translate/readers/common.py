"""What readers share: contents; and, of OpenAI's two formats, plain options and the tools that a choice allows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sidecar.errors import RequestError
from sidecar.wire.translate.fields import Fields
from sidecar.wire.translate.neutral import Choice, Mode, Option, Part, Schema, Text, Tool, ToolName

Plain = Mapping[str, tuple[str, Any]]
"""Field of the format -> the option's neutral name and its type."""


def options(body: Fields, plain: Plain) -> dict[str, Option]:
    """The fields that are options as they stand. Of two fields for one option, the first in the table wins."""
    found: dict[str, Option] = {}
    for name, (neutral, kind) in plain.items():
        value = body.take(name, kind)
        if value is not None and neutral not in found:
            found[neutral] = Option(value, body.at(name))
    return found


def schema(fields: Fields) -> Schema:
    """`{"name", "description", "schema", "strict"}`, as both of OpenAI's formats write it."""
    found = Schema(
        fields.take("schema", dict),
        fields.take("name", str),
        fields.take("description", str),
        fields.take("strict", bool),
    )
    fields.close()
    return found


def shape(fields: Fields, nested: str | None) -> Option | None:
    """`{"type": "text" | "json_object" | "json_schema", ...}`, the schema in `nested` or beside the type."""
    kind = fields.text("type")
    if kind == "text":
        fields.close()
        return None
    if kind == "json_object":
        fields.close()
        return Option(Schema(None), fields.path)
    if kind != "json_schema":
        raise RequestError(f"{fields.at('type')} must be text, json_object or json_schema", param=fields.at("type"))
    found = schema(fields.need_object(nested) if nested else fields)
    if found.schema is None:
        raise RequestError(f"{fields.path} needs a schema", param=fields.path)
    if nested:
        fields.close()
    return Option(found, fields.path)


def named(mode: str, path: str) -> Choice:
    if mode not in {"auto", "none", "required"}:
        raise RequestError(f"{path} must be auto, none, required or a tool", param=path)
    return Choice(Mode(mode), path=path)


def allowed(tools: tuple[Tool, ...], names: set[ToolName]) -> tuple[Tool, ...]:
    """`allowed_tools` says by name what a shorter list of tools says by itself."""
    return tuple(tool for tool in tools if tool.tool in names)


def reference(fields: Fields) -> ToolName:
    """`{"type": "function" | "custom", "name"}`, or as chat completions nests it."""
    kind = fields.text("type")
    inner = fields.object(kind) or fields
    found = ToolName(inner.text("name"), fields.take("namespace", str), kind == "custom")
    fields.close()
    return found


def references(fields: Fields) -> Iterator[ToolName]:
    for tool in fields.objects("tools"):
        yield reference(tool)


def content(owner: Fields, key: str, read: Callable[[Fields], Iterable[Part]]) -> tuple[Part, ...]:
    """A string, null, or a list of parts, each of which `read` makes into as many neutral ones as it is."""
    given = owner.take(key, (str, list))
    if isinstance(given, str):
        return (Text(given),) if given else ()
    path = owner.at(key)
    return tuple(
        part for place, value in enumerate(given or ()) for part in read(Fields(value, f"{path}[{place}]", owner.notes))
    )

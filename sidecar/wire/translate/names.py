"""
The names of tools that chat completions and messages do not have: namespaced ones, and custom ones that take free text.

Such a tool is offered as a plain function whose name says what it was, so that an answer can be read back without any
memory of the request:

    {"type": "namespace", "name": "clock", "tools": [{"type": "function", "name": "sleep"}]}   clock__ns__sleep
    {"type": "custom", "name": "apply_patch"}, called with free text                           apply_patch__custom
                                                                         called with {"input": "the free text"}

A client whose own tool has such a name is refused (readers call `plain`), so that no name is read back as another.
"""

from typing import Any

from sidecar.wire.translate import jsontext
from sidecar.wire.translate.failures import UnsupportedField
from sidecar.wire.translate.neutral import Call, Tool, ToolName

NAMESPACE = "__ns__"
CUSTOM = "__custom"
INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def outward(tool: ToolName) -> str:
    """The name as a function's name."""
    space = f"{tool.namespace}{NAMESPACE}" if tool.namespace else ""
    return f"{space}{tool.name}{CUSTOM if tool.custom else ''}"


def inward(name: str) -> ToolName:
    """The tool that a function's name, as `outward` wrote it, stands for."""
    space, found, rest = name.partition(NAMESPACE)
    if not found or not space or not rest:
        space, rest = "", name
    custom = rest.endswith(CUSTOM) and rest != CUSTOM
    return ToolName(rest.removesuffix(CUSTOM) if custom else rest, space or None, custom)


def plain(name: str, path: str) -> str:
    """Raises UnsupportedField when a client's own tool has a name that would be read back as another."""
    if inward(name) != ToolName(name):
        raise UnsupportedField(path, f"a tool's name must not contain '{NAMESPACE}' or end in '{CUSTOM}'")
    return name


def outward_arguments(call: Call) -> str:
    """The arguments as a function's: JSON text."""
    return jsontext.text({"input": call.arguments}) if call.tool.custom else call.arguments


def inward_call(call_id: str, name: str, arguments: str) -> Call:
    """The call that a call of a function, its name as `outward` wrote it, stands for."""
    tool = inward(name)
    if tool.custom:
        given = (jsontext.loads_object(arguments) or {}).get("input")
        return Call(call_id, tool, given if isinstance(given, str) else arguments)
    return Call(call_id, tool, arguments)


def as_function(tool: Tool) -> Tool:
    """A custom or namespaced tool as a plain function; a grammar is told, since nobody will enforce it."""
    if not tool.tool.custom:
        return Tool(ToolName(outward(tool.tool)), tool.description, tool.schema, tool.strict)
    told = tool.description or ""
    if tool.grammar:
        told += f"\n\nThe input must match this {tool.grammar['syntax']} grammar:\n{tool.grammar['definition']}"
    return Tool(ToolName(outward(tool.tool)), told.strip() or None, INPUT_SCHEMA)

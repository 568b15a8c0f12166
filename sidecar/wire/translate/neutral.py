"""
What a request and an answer are, whatever the format: the hub that the three formats are read into and written from.

    Ask     turns (system, user, assistant), each a tuple of parts; tools; what the tools may do; options
    Answer  parts; why it stopped; what it cost

A tool's result is a part of a user turn, as in Anthropic's format. An option is a value and the path it was read from,
so that a writer which has no place for it can say what was dropped in the client's own words.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen
from msgspec import Struct

from sidecar.wire.formats import Format


@frozen
class Url:
    url: str


@frozen
class Inline:
    """Bytes in the body itself: `data` is base64."""

    media_type: str
    data: str

    @property
    def url(self) -> str:
        return f"data:{self.media_type};base64,{self.data}"


@frozen
class Text:
    text: str
    logprobs: tuple[Any, ...] | None = None
    """Of an answer: OpenAI's list of tokens, which both of its formats write alike."""


@frozen
class Image:
    source: Url | Inline
    detail: str | None = None
    """OpenAI's `low` or `high`; None is `auto`."""
    path: str = field(default="", eq=False)


@frozen
class File:
    """A document; in practice a PDF."""

    source: Url | Inline
    name: str | None = None
    path: str = field(default="", eq=False)


@frozen
class Audio:
    data: str
    """base64"""
    format: str
    path: str = field(default="", eq=False)


@frozen
class Seal:
    """What only the provider that wrote it can read: a signature, or encrypted reasoning. See seals.py."""

    origin: Format
    data: Mapping[str, str]


@frozen
class Thinking:
    text: str
    seal: Seal | None = None
    path: str = field(default="", eq=False)


@frozen
class Refusal:
    text: str


@frozen
class ToolName:
    name: str
    namespace: str | None = None
    """Responses only: Codex groups its tools."""
    custom: bool = False
    """A tool that takes free text instead of a JSON object."""


@frozen
class Call:
    id: str
    tool: ToolName
    arguments: str
    """The JSON text as the model wrote it, valid or not; of a custom tool, the free text."""


@frozen
class Result:
    call_id: str
    parts: tuple[Text | Image | File, ...]
    error: bool = False
    path: str = field(default="", eq=False)


Part = Text | Image | File | Audio | Thinking | Refusal | Call | Result


class Speaker(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@frozen
class Turn:
    speaker: Speaker
    parts: tuple[Part, ...]


@frozen
class Tool:
    tool: ToolName
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    """True, or nothing is asked."""
    grammar: Mapping[str, str] | None = None
    """Of a custom tool: `{"syntax": "lark" | "regex", "definition": ...}`."""


class Mode(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    """Some tool, whichever."""
    NAMED = "named"


@frozen
class Choice:
    mode: Mode
    tool: ToolName | None = None
    """Of NAMED."""
    path: str = field(default="", eq=False)


@frozen
class Option:
    value: Any
    path: str = field(eq=False)


@frozen
class Schema:
    """The shape an answer must have. No `schema` means any JSON object."""

    schema: Mapping[str, Any] | None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@frozen
class Ask:
    """
    A request. `options`, all optional: max_tokens, temperature, top_p, stop (tuple of strings), user, effort (OpenAI's
    words), summary, format (Schema), parallel (bool), and between OpenAI's two formats only: logprobs, top_logprobs,
    metadata, service_tier, verbosity, prompt_cache_key, prompt_cache_retention.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    choice: Choice | None = None
    options: Mapping[str, Option] = field(factory=dict)
    stream: bool = False
    include_usage: bool = True


class Stop(StrEnum):
    END = "end"
    LENGTH = "length"
    TOOLS = "tools"
    SEQUENCE = "sequence"
    REFUSED = "refused"


class Usage(Struct, frozen=True, gc=False):
    """In tokens. `input` counts all of the prompt, the cached part included, as OpenAI does; Anthropic does not."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@frozen
class Answer:
    parts: tuple[Part, ...]
    stop: Stop
    stop_sequence: str | None = None
    usage: Usage = field(factory=Usage)


@frozen
class Ids:
    """What a fresh answer needs and a pure function cannot have: chance and the time."""

    suffix: str
    """Goes into every id that the client's format needs and the provider did not give: `chatcmpl-<suffix>`."""
    created: int
    """Unix time, in seconds."""


def joined(parts: tuple[Part, ...], between: str = "") -> str:
    """The text of `parts`; what is no text leaves no trace."""
    return between.join(part.text for part in parts if isinstance(part, Text))

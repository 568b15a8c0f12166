"""
What happens in any provider's stream, whatever its format: the hub between the readers and the writers.

The order is that of the answer, and its parts come strictly one after the other, so that no event needs an index:

    Started ((Text+ | Refusal+ | Thinking* Sealed? | ToolCallStarted ToolArguments+) PartEnded)* Finished
    … and instead of the rest, at any place, Errored

A part opens with its first event. `Ping` may come anywhere after Started. Nothing is empty: a reader drops deltas
without text, and a tool call without arguments gets `{}`.

Structs, not attrs: several are made for every token, in a quarter of the time.
"""

from msgspec import Struct

from sidecar.wire.translate.neutral import Seal, Stop, Usage


class Started(Struct, frozen=True, gc=False):
    usage: Usage | None = None
    """What the provider knows already: Anthropic counts the input before it answers."""


class TextDelta(Struct, frozen=True, gc=False):
    text: str


class RefusalDelta(Struct, frozen=True, gc=False):
    """The model declines, in its own words; OpenAI's formats keep these apart from the answer."""

    text: str


class ThinkingDelta(Struct, frozen=True, gc=False):
    text: str


class ThinkingSealed(Struct, frozen=True, gc=False):
    """What only the provider that made it can read: closes a part of thinking, or is all of it. See `seals`."""

    seal: Seal


class ToolCallStarted(Struct, frozen=True, gc=False):
    call_id: str
    name: str


class ToolArguments(Struct, frozen=True, gc=False):
    json: str
    """A piece of the JSON text, cut anywhere."""


class PartEnded(Struct, frozen=True, gc=False):
    pass


class Finished(Struct, frozen=True, gc=False):
    """The end of a whole answer, and what it cost, if the provider told."""

    stop: Stop
    usage: Usage | None
    stop_sequence: str | None = None


class Errored(Struct, frozen=True, gc=False):
    """The answer broke off."""

    kind: str
    """In Anthropic's words, such as `overloaded_error`: https://docs.anthropic.com/en/api/errors"""
    message: str
    code: str | None = None
    """In OpenAI's words, or our own stable code."""


class Ping(Struct, frozen=True, gc=False):
    pass


StreamEvent = (
    Started
    | TextDelta
    | RefusalDelta
    | ThinkingDelta
    | ThinkingSealed
    | ToolCallStarted
    | ToolArguments
    | PartEnded
    | Finished
    | Errored
    | Ping
)

PART_ENDED = PartEnded()
PING = Ping()

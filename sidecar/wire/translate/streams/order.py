"""
Parts of an answer, one after the other, even when the provider mixes them.

Chat completions may send the pieces of several tool calls in turns; messages clients know one open block at a time. The
first part that is not ended is current and passes; what comes for later ones waits. In the usual case, one part after
the other, nothing ever waits.
"""

from collections.abc import Hashable, Sequence

from attrs import define, field

from sidecar.wire.sse import BrokenStream
from sidecar.wire.translate.streams.events import PART_ENDED, StreamEvent, ToolArguments, ToolCallStarted

MAX_PARTS = 10_000
MAX_WAITING_BYTES = 16 * 1024 * 1024
EVENT_BYTES = 64
"""What an event costs beside its text, roughly."""


@define
class _Part:
    """Mutable: it is what the queue remembers of a part until that is written."""

    held: list[StreamEvent] = field(factory=list)
    held_bytes: int = 0
    bare: bool = False
    """A tool call of whose arguments no piece came yet."""
    over: bool = False
    arguments: str = "{}"


class PartQueue:
    """A part is named by a key of the reader's choice; what comes for a key after its end is dropped."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Part] = {}  # in order of appearance
        self._current: _Part | None = None
        self._gone: set[Hashable] = set()
        self._held_bytes = 0

    def put(self, key: Hashable, event: StreamEvent, size: int) -> Sequence[StreamEvent]:
        """
        What may be written now that `event`, with `size` bytes of text, came for the part `key`.

        Raises BrokenStream at too many parts, or too much waiting.
        """
        part = self._open.get(key) or self._begin(key)
        if part is None or part.over:
            return ()
        kind = type(event)
        if kind is ToolArguments:
            part.bare = False
        elif kind is ToolCallStarted:
            part.bare = True
        if part is self._current:
            return (event,)
        self._hold(part, event, size + EVENT_BYTES)
        return ()

    def end(self, key: Hashable, arguments: str = "{}") -> Sequence[StreamEvent]:
        """The part is over. `arguments`: those of a tool call of which no piece came."""
        part = self._open.get(key)
        if part is None or part.over:
            return ()
        part.over, part.arguments = True, arguments
        return self._proceed() if part is self._current else ()

    def end_all(self) -> Sequence[StreamEvent]:
        for part in self._open.values():
            part.over = True
        return self._proceed()

    def _begin(self, key: Hashable) -> _Part | None:
        if key in self._gone:
            return None
        if len(self._open) + len(self._gone) >= MAX_PARTS:
            raise BrokenStream(f"the provider sent an answer of more than {MAX_PARTS} parts")
        part = self._open[key] = _Part()
        self._current = self._current or part
        return part

    def _hold(self, part: _Part, event: StreamEvent, size: int) -> None:
        part.held.append(event)
        part.held_bytes += size
        self._held_bytes += size
        if self._held_bytes > MAX_WAITING_BYTES:
            raise BrokenStream(f"the provider mixed parts of more than {MAX_WAITING_BYTES} bytes")

    def _proceed(self) -> list[StreamEvent]:
        """Everything up to the first part that is not over; that one is current now."""
        out: list[StreamEvent] = []
        for key in tuple(self._open):
            part = self._current = self._open[key]
            out += part.held
            self._held_bytes -= part.held_bytes
            part.held, part.held_bytes = [], 0
            if not part.over:
                return out
            if part.bare:
                out.append(ToolArguments(part.arguments))
            out.append(PART_ENDED)
            self._gone.add(key)
            del self._open[key]
        self._current = None
        return out

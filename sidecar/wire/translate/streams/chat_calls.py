"""
The tool calls of a chat completions stream: whose piece is it, and is a call over?

The format does not say when a call ends. It is over when something else begins and its arguments are a whole JSON
object; until then, what comes after it waits in the queue, for its pieces may still come in turns with others'.
"""

from collections.abc import Iterator

import msgspec
from attrs import define, field
from msgspec import Raw

from sidecar.wire.sse import BrokenStream
from sidecar.wire.translate.streams.decoding import object_text
from sidecar.wire.translate.streams.events import StreamEvent, ToolArguments, ToolCallStarted
from sidecar.wire.translate.streams.order import EVENT_BYTES, MAX_WAITING_BYTES, PartQueue

Said = str | dict[str, Raw] | None


@define
class _Call:
    """Mutable: a call as far as it came. Its pieces are kept only to tell whether they are whole."""

    key: int
    said_id: str | None
    call_id: str
    name: str = ""
    pieces: list[str] = field(factory=list)
    told: bool = False

    def whole(self) -> bool:
        if not (self.pieces and self.pieces[-1].rstrip().endswith("}")):
            return False
        try:
            return isinstance(msgspec.json.decode("".join(self.pieces)), dict)
        except (ValueError, RecursionError):
            return False


class ToolCalls:
    """`suffix` makes the ids of calls that have none, or another's."""

    def __init__(self, parts: PartQueue, suffix: str) -> None:
        self._parts = parts
        self._suffix = suffix
        self._open: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._last: _Call | None = None
        self._ids: set[str] = set()
        self._kept_bytes = 0

    @property
    def seen(self) -> bool:
        return self._last is not None

    def piece(self, index: int | None, said_id: str | None, name: str | None, said: Said) -> Iterator[StreamEvent]:
        """One element of `tool_calls`. Raises BrokenStream when the arguments of open calls grow too large."""
        call = self._find(index, said_id, name)
        if call is None:
            yield from self.settle()
            call = self._begin(index, said_id)
        self._last = call
        call.name = call.name or name or ""
        if call.name and not call.told:
            yield from self._tell(call)
        if arguments := _arguments(said):
            self._keep(call, arguments)
            if call.told:
                yield from self._parts.put(call.key, ToolArguments(arguments), len(arguments))

    def settle(self) -> Iterator[StreamEvent]:
        """Something else begins: calls that are whole are over."""
        for call in [call for call in self._open if call.told and call.whole()]:
            self._open.remove(call)
            self._kept_bytes -= sum(EVENT_BYTES + len(piece) for piece in call.pieces)
            call.pieces = []
            yield from self._parts.end(call.key)

    def finish(self) -> Iterator[StreamEvent]:
        """The answer is over; a call that never got a name is told without one."""
        for call in self._open:
            if not call.told:
                yield from self._tell(call)

    def _find(self, index: int | None, said_id: str | None, name: str | None) -> _Call | None:
        """The call that a piece belongs to. A name with another id is a new call, whatever its index."""
        if index is None:
            known = self._last
            return None if known and name and not (said_id and said_id == known.said_id) else known
        known = self._by_index.get(index)
        return None if known and name and said_id and said_id != known.said_id else known

    def _begin(self, index: int | None, said_id: str | None) -> _Call:
        key = len(self._ids)
        call_id = said_id if said_id and said_id not in self._ids else f"call_{self._suffix}_{key}"
        self._ids.add(call_id)
        call = _Call(key, said_id, call_id)
        self._open.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _tell(self, call: _Call) -> Iterator[StreamEvent]:
        call.told = True
        yield from self._parts.put(call.key, ToolCallStarted(call.call_id, call.name), len(call.name))
        for piece in call.pieces:
            yield from self._parts.put(call.key, ToolArguments(piece), len(piece))

    def _keep(self, call: _Call, piece: str) -> None:
        call.pieces.append(piece)
        self._kept_bytes += EVENT_BYTES + len(piece)
        if self._kept_bytes > MAX_WAITING_BYTES:
            raise BrokenStream(f"the provider sent tool calls of more than {MAX_WAITING_BYTES} bytes")


def _arguments(said: Said) -> str:
    """JSON text; some servers send the object itself."""
    return object_text(said) if isinstance(said, dict) else said or ""

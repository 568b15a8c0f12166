"""
Responses, read: https://platform.openai.com/docs/api-reference/responses-streaming

    response.created                        {"response": {…}}
    response.output_item.added              {"output_index", "item": {"type": "message" | "reasoning" | "function_call"}}
    response.output_text.delta              {"output_index", "content_index", "delta"}; refusal.delta likewise
    response.reasoning_summary_text.delta   {"output_index", "summary_index", "delta"}; reasoning_text.delta likewise
    response.function_call_arguments.delta  {"output_index", "delta"}
    response.output_item.done               {"output_index", "item": the whole item}
    response.completed | .incomplete | .failed  {"response": {"usage", "incomplete_details", "error"}}
    error                                   {"code", "message"}, in practice also {"error": {"code", "message"}}

A server that sends no deltas is understood by its `output_item.done`, and so are custom tools, whose free text becomes
the argument of a function (`names`). Items of other types (hosted tools, what is yet to come) are ignored, and so are the
many events that say again what was said.
"""

from collections.abc import Iterator, Sequence

import msgspec
from attrs import define
from msgspec import Raw, Struct

from sidecar.wire.formats import Format
from sidecar.wire.sse import Event
from sidecar.wire.translate import names
from sidecar.wire.translate.neutral import Call, Seal, Stop, ToolName, Usage
from sidecar.wire.translate.streams.decoding import decode, errored
from sidecar.wire.translate.streams.events import (
    Finished,
    RefusalDelta,
    Started,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ThinkingSealed,
    ToolArguments,
    ToolCallStarted,
)
from sidecar.wire.translate.streams.order import PartQueue
from sidecar.wire.translate.streams.usage import NOTHING, read_usage

CALLS = ("function_call", "custom_tool_call")
ITEMS = ("message", "reasoning", *CALLS)
BETWEEN_SUMMARIES = "\n\n"
DELTAS: dict[str, type[TextDelta | RefusalDelta | ThinkingDelta]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_summary_text.delta": ThinkingDelta,
    "response.reasoning_text.delta": ThinkingDelta,
}
WHOLE: dict[str, type[TextDelta | RefusalDelta]] = {"output_text": TextDelta, "refusal": RefusalDelta}


class _Content(Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    input: str | None = None
    encrypted_content: str | None = None
    content: list[_Content] | None = None
    summary: list[_Content] | None = None


class _Incomplete(Struct):
    reason: str | None = None


class _Response(Struct):
    usage: Raw = NOTHING
    incomplete_details: _Incomplete | None = None
    error: object = None


class _Data(Struct):
    type: str = ""
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: object = None
    item: Raw = NOTHING
    response: _Response | None = None
    error: object = None
    code: object = None
    message: object = None


class _Kind(Struct):
    type: str = ""


class _More(Struct, gc=False):
    """An event, as far as it takes to see that it is more of a text and nothing else."""

    type: str = ""
    output_index: int = 0
    content_index: int = 0
    delta: object = None
    error: object = None
    response: object = None


_decoder = msgspec.json.Decoder(_Data)
_more = msgspec.json.Decoder(_More)
_kind_decoder = msgspec.json.Decoder(_Kind)
_item_decoder = msgspec.json.Decoder(_Item)


@define
class _Open:
    """Mutable: what is remembered of an item between its events."""

    place: int | None = None
    """The content or summary index of what came last."""
    called: bool = False


class ResponsesReader:
    """`suffix` makes the ids of calls that have none."""

    def __init__(self, suffix: str) -> None:
        self.usage: Usage | None = None
        self._suffix = suffix
        self._started = False
        self._stop: Stop | None = None
        self._called = False
        self._parts = PartQueue()
        self._open: dict[int, _Open] = {}  # by output_index
        self._runs: tuple[int, int] | None = None  # the item and its content that the last event was more text of

    def running(self, data: bytes) -> str | None:
        if self._runs is None:
            return None
        try:
            event = _more.decode(data)
        except (ValueError, RecursionError):
            return None
        text = event.delta
        if event.type != "response.output_text.delta" or event.error or event.response is not None:
            return None
        if (event.output_index, event.content_index) != self._runs or not isinstance(text, str):
            return None
        return text or None

    def read(self, event: Event) -> Iterator[StreamEvent]:
        self._runs = None
        if not event.data or event.data.startswith(b"[DONE]"):
            return
        data = decode(_decoder, event.data)
        kind = data.type or event.event or ""
        if kind == "error":
            yield errored(data.error or {"code": data.code, "message": data.message})
            return
        if not kind.startswith("response."):
            return
        if not self._started:
            self._started = True
            yield Started()
        if kind in DELTAS:
            yield from self._delta(DELTAS[kind], data)
        elif kind == "response.function_call_arguments.delta":
            yield from self._arguments(data)
        elif data.item != NOTHING and decode(_kind_decoder, bytes(data.item)).type in ITEMS:
            yield from self._item(kind, data.output_index, decode(_item_decoder, bytes(data.item)))
        elif data.response is not None:
            yield from self._lifecycle(kind, data.response)

    def finish(self) -> Iterator[StreamEvent]:
        """The end of the answer, if the provider has said why it stopped."""
        if self._stop is not None:
            yield from self._parts.end_all()
            yield Finished(self._stop, self.usage)

    def _delta(self, kind: type[TextDelta | RefusalDelta | ThinkingDelta], data: _Data) -> Iterator[StreamEvent]:
        if not isinstance(data.delta, str) or not data.delta:
            return
        if issubclass(kind, ThinkingDelta):
            yield from self._think(data.output_index, data.summary_index or data.content_index, data.delta)
        else:
            yield from self._say(kind, data.output_index, data.content_index, data.delta)

    def _say(self, kind: type[TextDelta | RefusalDelta], item: int, place: int, text: str) -> Iterator[StreamEvent]:
        """Every content of a message is a part."""
        now = self._open.setdefault(item, _Open())
        if now.place is not None and now.place != place:
            yield from self._parts.end((item, now.place))
        now.place = place
        passes = self._parts.put((item, place), kind(text), len(text))
        self._runs = (item, place) if passes and kind is TextDelta else None
        yield from passes

    def _think(self, item: int, place: int, text: str) -> Sequence[StreamEvent]:
        """All of a reasoning item is one part, for one seal closes it."""
        now = self._open.setdefault(item, _Open())
        begins_anew = now.place is not None and now.place != place
        now.place = place
        said = BETWEEN_SUMMARIES + text if begins_anew else text
        return self._parts.put((item, 0), ThinkingDelta(said), len(said))

    def _arguments(self, data: _Data) -> Sequence[StreamEvent]:
        now = self._open.get(data.output_index)
        if now is None or not now.called or not isinstance(data.delta, str) or not data.delta:
            return ()
        return self._parts.put((data.output_index, 0), ToolArguments(data.delta), len(data.delta))

    def _item(self, event: str, index: int, item: _Item) -> Iterator[StreamEvent]:
        if item.type in CALLS:
            yield from self._call(index, item)
        if event != "response.output_item.done":
            return
        now = self._open.pop(index, None) or _Open()
        if item.type in CALLS:
            yield from self._parts.end((index, 0), _arguments(item))
        elif item.type == "reasoning":
            yield from self._reasoned(index, item, now)
        elif item.type == "message":
            yield from self._said(index, item, now)

    def _call(self, index: int, item: _Item) -> Sequence[StreamEvent]:
        now = self._open.setdefault(index, _Open())
        if now.called:
            return ()
        now.called = self._called = True
        call_id = item.call_id or item.id or f"call_{self._suffix}_{index}"
        return self._parts.put((index, 0), ToolCallStarted(call_id, names.outward(_tool(item))), 0)

    def _reasoned(self, index: int, item: _Item, now: _Open) -> Iterator[StreamEvent]:
        told = item.summary or item.content or ()
        if now.place is None and (text := BETWEEN_SUMMARIES.join(part.text or "" for part in told)):
            yield from self._parts.put((index, 0), ThinkingDelta(text), len(text))
        if item.encrypted_content:
            seal = Seal(Format.RESPONSES, {"id": item.id or "", "encrypted_content": item.encrypted_content})
            yield from self._parts.put((index, 0), ThinkingSealed(seal), len(item.encrypted_content))
        yield from self._parts.end((index, 0))

    def _said(self, index: int, item: _Item, now: _Open) -> Iterator[StreamEvent]:
        if now.place is None:
            for place, part in enumerate(item.content or ()):
                text = part.text or part.refusal
                if text and part.type in WHOLE:
                    yield from self._say(WHOLE[part.type], index, place, text)
                    yield from self._parts.end((index, place))
            self._open.pop(index, None)
        else:
            yield from self._parts.end((index, now.place))

    def _lifecycle(self, event: str, response: _Response) -> Iterator[StreamEvent]:
        self.usage = read_usage(Format.RESPONSES, response.usage, self.usage)
        if event == "response.completed":
            self._stop = Stop.TOOLS if self._called else Stop.END
        elif event == "response.incomplete":
            why = response.incomplete_details.reason if response.incomplete_details else None
            self._stop = Stop.REFUSED if why == "content_filter" else Stop.LENGTH
        elif event in ("response.failed", "response.cancelled"):
            yield errored(response.error)
        yield from self.finish()


def _tool(item: _Item) -> ToolName:
    return ToolName(item.name or "", item.namespace, item.type == "custom_tool_call")


def _arguments(item: _Item) -> str:
    said = item.input if item.type == "custom_tool_call" else item.arguments
    return names.outward_arguments(Call("", _tool(item), said or "")) or "{}"

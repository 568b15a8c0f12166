"""
The items of a Responses answer, each as the events that tell of it and as the JSON it is in the end.

https://platform.openai.com/docs/api-reference/responses-streaming/response/output_item

An item tells of itself in pairs (event type, fields); whoever writes them adds the sequence number. Items are mutable:
they grow with the answer, and are kept to be repeated at its end.
"""

from collections.abc import Iterator
from typing import ClassVar, Protocol

from attrs import define, field

from sidecar.wire.formats import Format
from sidecar.wire.translate import names, seals
from sidecar.wire.translate.neutral import Seal, ToolName
from sidecar.wire.translate.streams.decoding import free_text

Told = tuple[str, dict[str, object]]
Json = dict[str, object]


class Item(Protocol):
    def begin(self) -> Iterator[Told]: ...
    def add(self, text: str) -> Iterator[Told]: ...
    def end(self, status: str) -> Iterator[Told]: ...
    def whole(self, status: str) -> Json: ...


@define
class Message:
    """Words of the model, with one content; `Refusal` is the same with another."""

    prefix: ClassVar[str] = "msg"
    event: ClassVar[str] = "response.output_text"
    id: str
    index: int
    pieces: list[str] = field(factory=list)

    def begin(self) -> Iterator[Told]:
        item = {"id": self.id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        yield "response.output_item.added", {"output_index": self.index, "item": item}
        yield "response.content_part.added", {**self._place(), "part": self._part("")}

    def add(self, text: str) -> Iterator[Told]:
        self.pieces.append(text)
        yield f"{self.event}.delta", {**self._place(), "delta": text, **self._extra()}

    def end(self, status: str) -> Iterator[Told]:
        text = "".join(self.pieces)
        yield f"{self.event}.done", {**self._place(), self._key(): text, **self._extra()}
        yield "response.content_part.done", {**self._place(), "part": self._part(text)}
        yield "response.output_item.done", {"output_index": self.index, "item": self.whole(status)}

    def whole(self, status: str) -> Json:
        content = [self._part("".join(self.pieces))]
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _place(self) -> Json:
        return {"item_id": self.id, "output_index": self.index, "content_index": 0}

    def _key(self) -> str:
        return "text"

    def _extra(self) -> Json:
        return {"logprobs": []}

    def _part(self, text: str) -> Json:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


@define
class Refusal(Message):
    event: ClassVar[str] = "response.refusal"

    def _key(self) -> str:
        return "refusal"

    def _extra(self) -> Json:
        return {}

    def _part(self, text: str) -> Json:
        return {"type": "refusal", "refusal": text}


@define
class Reasoning:
    """Thinking: one summary, if there are words, and what only its provider can read."""

    prefix: ClassVar[str] = "rs"
    id: str
    index: int
    pieces: list[str] = field(factory=list)
    seal: Seal | None = None

    def begin(self) -> Iterator[Told]:
        item = {"id": self.id, "type": "reasoning", "summary": []}
        yield "response.output_item.added", {"output_index": self.index, "item": item}

    def add(self, text: str) -> Iterator[Told]:
        if not self.pieces:
            yield "response.reasoning_summary_part.added", {**self._place(), "part": _summary("")}
        self.pieces.append(text)
        yield "response.reasoning_summary_text.delta", {**self._place(), "delta": text}

    def end(self, status: str) -> Iterator[Told]:
        if self.pieces:
            text = "".join(self.pieces)
            yield "response.reasoning_summary_text.done", {**self._place(), "text": text}
            yield "response.reasoning_summary_part.done", {**self._place(), "part": _summary(text)}
        yield "response.output_item.done", {"output_index": self.index, "item": self.whole(status)}

    def whole(self, status: str) -> Json:  # noqa: ARG002 - an item that has no status
        summary = [_summary("".join(self.pieces))] if self.pieces else []
        item: Json = {"id": self.id, "type": "reasoning", "summary": summary}
        return {**item, "encrypted_content": _opaque(self.seal)} if self.seal else item

    def _place(self) -> Json:
        return {"item_id": self.id, "output_index": self.index, "summary_index": 0}


@define
class Call:
    prefix: ClassVar[str] = "fc"
    id: str
    index: int
    call_id: str
    tool: ToolName
    pieces: list[str] = field(factory=list)

    def begin(self) -> Iterator[Told]:
        yield "response.output_item.added", {"output_index": self.index, "item": self._item("in_progress", "")}

    def add(self, text: str) -> Iterator[Told]:
        self.pieces.append(text)
        yield "response.function_call_arguments.delta", {**self._place(), "delta": text}

    def end(self, status: str) -> Iterator[Told]:
        arguments = {"name": self.tool.name, "arguments": "".join(self.pieces)}
        yield "response.function_call_arguments.done", {**self._place(), **arguments}
        yield "response.output_item.done", {"output_index": self.index, "item": self.whole(status)}

    def whole(self, status: str) -> Json:
        return self._item(status, "".join(self.pieces))

    def _item(self, status: str, arguments: str) -> Json:
        item = {"id": self.id, "type": "function_call", "status": status, "arguments": arguments}
        return {**item, "call_id": self.call_id, **_named(self.tool)}

    def _place(self) -> Json:
        return {"item_id": self.id, "output_index": self.index}


@define
class CustomCall(Call):
    """A tool that takes free text; it comes as a function's only argument (`names`), so it is known at the end only."""

    prefix: ClassVar[str] = "ctc"

    def add(self, text: str) -> Iterator[Told]:
        self.pieces.append(text)
        yield from ()

    def end(self, status: str) -> Iterator[Told]:
        text = self._input()
        yield "response.custom_tool_call_input.delta", {**self._place(), "delta": text}
        yield "response.custom_tool_call_input.done", {**self._place(), "input": text}
        yield "response.output_item.done", {"output_index": self.index, "item": self.whole(status)}

    def whole(self, status: str) -> Json:
        return self._item(status, self._input())

    def _item(self, status: str, arguments: str) -> Json:  # noqa: ARG002 - an item that has no status
        item = {"id": self.id, "type": "custom_tool_call", "input": arguments}
        return {**item, "call_id": self.call_id, **_named(self.tool)}

    def _input(self) -> str:
        return free_text(names.outward(self.tool), "".join(self.pieces))


def _named(tool: ToolName) -> Json:
    return {"name": tool.name, "namespace": tool.namespace} if tool.namespace else {"name": tool.name}


def _summary(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def _opaque(seal: Seal) -> str:
    """OpenAI's own as it was; another's wrapped, in the one field that clients give back untouched."""
    own = seal.data.get("encrypted_content") if seal.origin is Format.RESPONSES else None
    return own or seals.wrap(seal)

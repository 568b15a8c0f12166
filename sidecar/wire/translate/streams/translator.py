"""
A provider's stream in one format, as it comes -> the client's stream in another.

    translator = StreamTranslator(Format.CHAT, Format.MESSAGES, model="openai/gpt-4o", ids=ids, include_usage=False)
    for every chunk:        write(translator.feed(chunk)); stop reading when `translator.error`
    at the provider's end:  write(translator.finish())
    when the provider broke off, or fell silent:  write(translator.fail(error))
    unless translator.complete: cut the client's connection

The output depends on the bytes alone, not on how they were cut into chunks. Nothing here raises: an answer that cannot
be read is an answer that broke off, and its error is written in the client's format like any other.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from sidecar.errors import SidecarError
from sidecar.wire.account import Account
from sidecar.wire.alike import Alike
from sidecar.wire.answer import ANTHROPIC_TYPES, encode
from sidecar.wire.formats import Format
from sidecar.wire.sse import BrokenStream, Event, EventParser
from sidecar.wire.translate.neutral import Ids, Usage
from sidecar.wire.translate.streams.events import Errored, Finished, StreamEvent
from sidecar.wire.translate.streams.read_chat import ChatReader
from sidecar.wire.translate.streams.read_messages import MessagesReader
from sidecar.wire.translate.streams.read_responses import ResponsesReader
from sidecar.wire.translate.streams.tap import UsageTap
from sidecar.wire.translate.streams.write_chat import ChatWriter
from sidecar.wire.translate.streams.write_messages import MessagesWriter
from sidecar.wire.translate.streams.write_responses import ResponsesWriter

StreamIds = Ids
"""What goes into the ids and times that the client's format asks for: the core has no clock and no chance."""


class Reader(Protocol):
    usage: Usage | None

    def running(self, data: bytes) -> str | None:
        """
        The text of an event that only goes on with the text that runs, as nearly all do. None for any other, of which
        `read` must be asked.
        """
        ...

    def read(self, event: Event) -> Iterator[StreamEvent]:
        """What `event` means. Raises BrokenStream when it makes no sense."""
        ...

    def finish(self) -> Iterator[StreamEvent]:
        """What the provider's clean end means: Finished, if it had said why it stopped, or nothing."""
        ...


class Writer(Protocol):
    def write(self, event: StreamEvent) -> bytes: ...

    def more(self, text: str, raw: bytes) -> bytes:
        """What `write` gives for more of the text that runs. `raw`: the text as compact JSON."""
        ...

    def frame(self) -> tuple[bytes, bytes] | None:
        """What `more` puts before and behind `raw`; None when that is not the same each time."""
        ...


READERS: dict[Format, type[ChatReader | MessagesReader | ResponsesReader]] = {
    Format.CHAT: ChatReader,
    Format.MESSAGES: MessagesReader,
    Format.RESPONSES: ResponsesReader,
}
_TEXTS = {Format.CHAT: "content", Format.MESSAGES: "text"}
"""The key of the text, in formats whose events can be alike: those of responses are numbered."""
_BACKSLASH = ord("\\")
_TRIES = 4
"""To find a run of events that are alike, of each chunk: each looks at all the rest of it."""


class StreamTranslator:
    """One stream. `model` is what the client is told; `include_usage` is `stream_options.include_usage` of chat."""

    def __init__(self, source: Format, target: Format, *, model: str, ids: StreamIds, include_usage: bool) -> None:
        self._events = EventParser()
        self._tap = UsageTap(source)  # beside the reader, who has no use for the provider's own words
        self._reader: Reader = READERS[source](ids.suffix)
        self._writer = _writer(target, model, ids, include_usage=include_usage)
        self.complete = False
        """Whether the client got its answer whole, the end of the stream included."""
        self.error: Errored | None = None
        """What the client was told went wrong; nothing comes after it."""
        self.ended = False
        """Whether one or the other is so."""
        self._unreadable = False  # what comes is no stream of events
        self._alike = Alike(_TEXTS[source]) if source in _TEXTS else None
        self._goes_on = False  # whether an event that is alike goes on with the text that runs, after whole events

    @property
    def usage(self) -> Usage | None:
        """As far as the provider has told."""
        return self._reader.usage

    @property
    def account(self) -> Account:
        """What the provider's stream said of itself, in the provider's words."""
        return replace(self._tap.account, usage=self.usage or self._tap.usage)

    def feed(self, chunk: bytes) -> bytes:
        """The client's bytes for the provider's next ones; none once the answer is complete or has failed."""
        first = chunk.find(b"\n\n") + 2
        if first == len(chunk) or self._alike is None or self.ended or chunk.find(b"\r") >= 0:
            glance = self.glance(chunk)
            return self._fed(chunk) if glance is None else glance
        return self._fed_several(chunk, self._alike)

    def glance(self, event: bytes) -> bytes | None:
        """
        `feed`, for whole events, where it can be told at a glance: one that goes on with the text that runs, and is
        else as the last one was. None for any other, which must be fed.
        """
        if not self._goes_on or self._alike is None or (read := self._alike.read(event)) is None:
            return None
        text, raw = read
        if not text:
            return None
        try:
            return self._writer.more(text, raw if _BACKSLASH not in raw else encode(text))
        except SidecarError:
            return None  # it ends the answer, which is `feed`'s to do

    def _fed(self, chunk: bytes) -> bytes:
        """`feed`, event by event."""
        if self._unreadable:
            return b""
        out: list[bytes] = []
        events = self._events.whole(chunk)
        try:
            for event in events or self._events.feed(chunk):
                if not self.ended and (text := self._reader.running(event.data)) is not None:
                    out.append(self._more(text, encode(text)))  # in which the tap would find nothing
                    if events and len(events) == 1:
                        self._learn(chunk, text)
                    continue
                self._goes_on = False
                self._tap.see(event)
                if not self.ended:
                    out.append(self._write_all(self._reader.read(event)))
        except BrokenStream as exc:
            self._unreadable = True
            out.append(self.fail(exc))
        self._goes_on = self._goes_on and events is not None
        return out[0] if len(out) == 1 else b"".join(out)

    def _learn(self, event: bytes, text: str) -> None:
        """`event`, of which the reader made `text`."""
        alike = self._alike
        if alike is not None and not self.ended:
            if alike.read(event) is None:
                alike.learn(event)
            read = alike.read(event)
            self._goes_on = read is not None and read[0] == text

    def _fed_several(self, chunk: bytes, alike: Alike) -> bytes:
        """`feed`, of more than one event or of parts: those that are alike at once."""
        out: list[bytes] = []
        at, tries = 0, _TRIES
        while (end := chunk.find(b"\n\n", at) + 2) > 1:
            if self._goes_on and tries:
                tries -= 1
                if (run := alike.run(chunk, at)) is not None:
                    texts, raws, at_end = run
                    plain = all(texts) and chunk.find(b"\\", at, at_end) < 0
                    out.append(self._run(texts, raws if plain else None))
                    at = at_end
                    continue
            event = chunk[at:end]
            glance = self.glance(event)
            out.append(self._fed(event) if glance is None else glance)
            at = end
        if at < len(chunk):
            out.append(self._fed(chunk[at:]))
        return b"".join(out)

    def _run(self, texts: list[str], raws: list[bytes] | None) -> bytes:
        """`raws`: the texts as compact JSON without quotes, where none is empty."""
        frame = self._writer.frame()
        if frame is None or raws is None:
            return b"".join([self._more(text, encode(text)) for text in texts if text and not self.ended])
        before, behind = frame
        return b'%b"%b"%b' % (before, (b'"%b%b"' % (behind, before)).join(raws), behind)

    def finish(self) -> bytes:
        """The provider closed its stream in good order: the end of the answer, or an error when there is none."""
        out = b"" if self.ended else self._write_all(self._end())
        return out if self.ended else out + self.fail(BrokenStream("the provider's answer ended in the middle"))

    def fail(self, error: SidecarError) -> bytes:
        """The answer broke off, for a reason of ours: an error event; nothing when the answer was already over."""
        if self.ended:
            return b""
        return self._write(Errored(ANTHROPIC_TYPES.get(error.status, "api_error"), error.message, error.code))

    def _end(self) -> Iterator[StreamEvent]:
        with suppress(BrokenStream):  # half an event
            for event in self._events.close():
                yield from self._reader.read(event)
        yield from self._reader.finish()

    def _write_all(self, events: Iterable[StreamEvent]) -> bytes:
        out: list[bytes] = []
        try:
            for event in events:
                out.append(self._write(event))
                if self.ended:
                    break
        except SidecarError as exc:
            out.append(self.fail(exc))
        return b"".join(out)

    def _write(self, event: StreamEvent) -> bytes:
        out = self._writer.write(event)
        if type(event) is Finished:
            self.complete = True
        elif type(event) is Errored:
            self.error = event
        self.ended = self.complete or self.error is not None
        self._goes_on = self._goes_on and not self.ended
        return out

    def _more(self, text: str, raw: bytes) -> bytes:
        try:
            return self._writer.more(text, raw)
        except SidecarError as exc:
            return self.fail(exc)


def _writer(target: Format, model: str, ids: Ids, *, include_usage: bool) -> Writer:
    if target is Format.CHAT:
        return ChatWriter(model, ids, include_usage=include_usage)
    return MessagesWriter(model, ids) if target is Format.MESSAGES else ResponsesWriter(model, ids)

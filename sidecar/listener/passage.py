"""
What happens to an answer's bytes on their way to the client.

    Untouched    they go as they come; a watch on the gaps between events says where something of ours may be put in
    Filtered     likewise, but for the one event that the client did not ask for, and we did
    Translated   the provider's events become the client's

What the answer says of its cost is read beside it, and never in its way.

A passage that fails writes an error event where the format has one and the place allows it. Whether the client then
sees that its answer broke off is not left to that event: the connection is cut.
"""

from collections.abc import Callable
from typing import Protocol

from sidecar.errors import SidecarError
from sidecar.upstream.reply import Reply
from sidecar.wire.account import Account
from sidecar.wire.answer import error_event
from sidecar.wire.formats import Format
from sidecar.wire.sse import BoundaryTracker
from sidecar.wire.taps import Tap, tap_for
from sidecar.wire.translate.streams.extra import UsageFilter
from sidecar.wire.translate.streams.tap import UsageTap
from sidecar.wire.translate.streams.translator import StreamTranslator

KEEPALIVE = {
    Format.CHAT: b": keep-alive\n\n",
    Format.RESPONSES: b": keep-alive\n\n",
    Format.MESSAGES: b'event: ping\ndata: {"type": "ping"}\n\n',
}
"""What says "still here" in each format: a comment, which every client skips, or the format's own word for it."""


class Passage(Protocol):
    def feed(self, chunk: bytes) -> bytes:
        """The client's bytes for the provider's next ones."""
        ...

    def glance(self, event: bytes) -> bytes | None:
        """
        `feed`, for bytes that end with an empty line, where it can be told at a glance: `event` itself where it goes as
        it came. None where not, and then it must be fed.
        """
        ...

    def finish(self) -> bytes:
        """The client's last bytes, after the provider ended in good order."""
        ...

    def fail(self, error: SidecarError) -> bytes:
        """The client's last bytes, after the provider broke off."""
        ...

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to tell, whatever the provider still sends."""
        ...

    @property
    def failed(self) -> bool:
        """Whether the client has been told of an error that ends its answer."""
        ...

    @property
    def account(self) -> Account | None:
        """What the answer said of itself so far; None when it did not, or could not be read."""
        ...

    @property
    def keepalive(self) -> bytes:
        """What may be written now to say "still here"; nothing when this is no place for it."""
        ...


class Untouched:
    """
    `events`: whether it is a stream of events in plain bytes. Into anything else nothing can be put. `tap` reads along.
    """

    ended = failed = False

    def __init__(self, form: Format, *, events: bool, tap: Tap | None = None) -> None:
        self._form = form
        self._gaps = BoundaryTracker() if events else None
        self._tap = tap

    @property
    def account(self) -> Account | None:
        return None if self._tap is None else self._tap.account

    def feed(self, chunk: bytes) -> bytes:
        if self._gaps is not None:
            if len(chunk) > 2:  # noqa: PLR2004 - `BoundaryTracker.feed` in its own words, a call less for each chunk
                self._gaps.tail = chunk[-3:]
            else:
                self._gaps.feed(chunk)
        if self._tap is not None:
            self._tap.feed(chunk)
        return chunk

    def glance(self, event: bytes) -> bytes:
        return self.feed(event)

    def finish(self) -> bytes:
        return b""

    def fail(self, error: SidecarError) -> bytes:
        return error_event(self._form, error) if self._gaps is not None and self._gaps.between else b""

    @property
    def keepalive(self) -> bytes:
        return KEEPALIVE[self._form] if self._gaps is not None and self._gaps.between else b""


def untouched(form: Format, reply: Reply) -> Untouched:
    """For an answer that is relayed as it is and read along, where it can be read."""
    tap = tap_for(form, reply.content_type, reply.content_encoding)
    return Untouched(form, events=reply.is_events and not reply.is_encoded, tap=tap)


class Filtered:
    """
    A stream of chat completions, in plain bytes, that was asked for its usage in the client's place.

    The event that tells it goes. The `"usage": null` that OpenAI then puts into all others stays: to take it out would
    mean to write them anew, and a client that does not look for it does not see it.
    """

    ended = failed = False

    def __init__(self, form: Format) -> None:
        self._form = form
        self._tap = UsageTap(form)
        self._filter = UsageFilter()
        self._gaps = BoundaryTracker()
        self._idle = True  # whether the filter keeps nothing
        self._seen: bytes | None = None  # what was found at a glance to need more than that

    @property
    def account(self) -> Account | None:
        return self._tap.account

    def feed(self, chunk: bytes) -> bytes:
        passed = self._tap.pass_over(chunk) if self._idle and chunk is not self._seen else 0
        self._seen = None
        if passed == len(chunk):
            return chunk
        rest = chunk[passed:]
        self._tap.read(rest)
        out = self._filter.feed(rest)
        self._idle = self._filter.idle
        self._gaps.feed(out)
        return chunk[:passed] + out

    def glance(self, event: bytes) -> bytes | None:
        if self._idle and self._tap.passes(event):
            return event
        self._seen = event
        return None

    def finish(self) -> bytes:
        return self._filter.close()

    def fail(self, error: SidecarError) -> bytes:
        rest = self._filter.broken()
        self._gaps.feed(rest)
        return rest + (error_event(self._form, error) if self._gaps.between else b"")

    @property
    def keepalive(self) -> bytes:
        return KEEPALIVE[self._form] if self._gaps.between else b""


class Translated:
    """Whatever it writes is whole events. `told` hears of all that the client is told."""

    def __init__(self, form: Format, translator: StreamTranslator, told: Callable[[bytes], None] | None = None) -> None:
        self._form = form
        self._translator = translator
        self._told = told

    @property
    def account(self) -> Account | None:
        return self._translator.account

    def feed(self, chunk: bytes) -> bytes:
        out = self._translator.feed(chunk)
        return out if self._told is None else self._heard(out)

    def glance(self, event: bytes) -> bytes | None:
        out = self._translator.glance(event)
        if out is not None and self._told is not None:
            self._told(out)
        return out

    def finish(self) -> bytes:
        return self._heard(self._translator.finish())

    def _heard(self, out: bytes) -> bytes:
        if self._told is not None:
            self._told(out)
        return out

    def fail(self, error: SidecarError) -> bytes:
        return self._translator.fail(error)

    @property
    def ended(self) -> bool:
        return self._translator.ended

    @property
    def failed(self) -> bool:
        return self._translator.error is not None

    @property
    def keepalive(self) -> bytes:
        return KEEPALIVE[self._form]

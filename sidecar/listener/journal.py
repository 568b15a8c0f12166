"""
What is written down of a request while it is under way, for telemetry: where its time went, and who was asked.

It is the one thing that the steps of a request write into. Nothing is decided by it.
"""

from time import monotonic

import msgspec
from msgspec import Struct

from sidecar.telemetry.record import Caller
from sidecar.upstream.order import Attempted
from sidecar.wire.account import Account
from sidecar.wire.formats import Format
from sidecar.wire.taps import account_of


class Journal(Struct):
    """Times are seconds; moments are those of the event loop's clock, which is also the dispatcher's."""

    body_s: float = 0.0
    """Waiting for the client to send its body."""
    provider_s: float = 0.0
    """Waiting for the provider from chunk to chunk, once it has begun to answer."""
    client_s: float = 0.0
    """Waiting for the client to take what it was sent."""
    first_byte_at: float | None = None
    """When the first bytes of the answer's body were there."""
    bytes_out: int = 0
    account: Account | None = None
    """What the model's answer says it cost."""
    unread: tuple[Format, str, bytes] | None = None
    """A whole answer that nobody has read for that yet: its format, its content type and its bytes, not compressed."""
    streamed: bool = False
    """Whether the answer is a stream of events."""
    caller: Caller | None = None
    """Who asked, where clients say who they are."""
    attempts: list[Attempted] = msgspec.field(default_factory=list)

    @property
    def waited_s(self) -> float:
        """For providers, in all."""
        waited_s = self.provider_s
        for attempt in self.attempts:
            waited_s += attempt.waited_s
        return waited_s

    def told(self) -> Account | None:
        """What the answer says it cost, read now if nobody has read it yet."""
        if self.unread is not None:
            form, content_type, answer = self.unread
            self.unread, self.account = None, account_of(form, content_type, "", answer)
        return self.account

    def begins(self) -> None:
        """The first bytes of the answer's body are there: perhaps long after its head, if they were held back."""
        self.first_byte_at = monotonic()
        if self.attempts and self.attempts[-1].first_byte_s is None:
            self.attempts[-1].first_byte_s = self.first_byte_at - self.attempts[-1].began_at

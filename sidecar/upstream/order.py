"""
What a client wants sent, and what comes of it: the two ends of `dispatch`.

Structs and not attrs, because each is made for every request: an `Order` in 0.4 µs where frozen attrs takes 2.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from msgspec import Struct
from multidict import CIMultiDictProxy

from sidecar.errors import SidecarError
from sidecar.upstream.failover import Rank, Trip
from sidecar.upstream.headers import Headers
from sidecar.upstream.refusal import Failure
from sidecar.upstream.reply import Reply
from sidecar.upstream.target import Target
from sidecar.wire.formats import Format

ANSWERED = "answered"
ABANDONED = "abandoned"


class Attempted(Struct, gc=False):
    """One attempt, written down while it is made. Times are of the dispatcher's clock, in seconds."""

    provider: str
    model: str
    began_at: float
    span_id: str = ""
    outcome: str = ABANDONED
    """`answered`, the cause of its failure, or `abandoned` while neither is known: the client may not wait for it."""
    waited_s: float = 0.0
    """Until the outcome was known, with the wait before somebody is asked again."""
    first_byte_s: float | None = None
    """None when there was none, and while it is held back."""
    status: int | None = None
    seconds: float = 0.0
    """Until the end of its answer, or its failure."""


class Order(Struct, frozen=True):
    """What a client wants sent, and to whom it may go."""

    candidates: tuple[str, ...]
    """Concrete model ids, best first."""
    format: Format | None
    """None for the endpoints that are forwarded and never translated."""
    method: str
    request_target: str
    """The client's path and query, encoded as they came."""
    headers: Callable[[], Headers]
    """The client's. Not asked for where it is remembered what becomes of `head`."""
    body_for: Callable[[Target, Rank], bytes | AsyncIterator[bytes] | None]
    """The body for one candidate. Raises RequestError when it cannot be said in that provider's interface."""
    request_id: str
    head: object | None = None
    """
    The client's head, where it is kept between requests. Of two orders with the same object, equal to nothing but
    itself, all `headers` are the same but those that never cross, and `traceparent` where that is told beside them.
    """
    traceparent: str | None = None
    """To be sent where no span is made. None: the client's own goes on as it is, and `head` is not looked at."""
    span: Callable[[], tuple[str, str | None]] | None = None
    """Where spans are made. Asked for each attempt: the id of its span, and the `traceparent` that names it."""
    plain: bool = False
    """Whether the answer must come uncompressed, whatever the client can read."""
    received: bytes | None = None
    """The client's body, where it was read: digests of it are true of the same bytes only."""
    decoded: bool = False
    """Whether `received` was decompressed."""
    replayable: bool = True
    """Whether `body_for` may be called more than once; a streamed upload is gone once it was sent."""
    content_length: int | None = None
    """Of a streamed upload, when the client told it."""
    hold_s: float | None = None
    """After the head of an answer, its first bytes are waited for no longer than this. None: as long as any."""
    attempts: list[Attempted] = msgspec.field(default_factory=list)
    """What the dispatcher writes down of each attempt. Nothing is decided by it."""


class Refusal(Struct, frozen=True):
    """An attempt that failed: the provider's own answer when it gave one, our error when not."""

    failure: Failure
    error: SidecarError
    target: Target | None = None
    status: int = 0
    reason: str | None = None
    headers: CIMultiDictProxy[str] | None = None
    body: bytes = b""


class Answered(Struct):
    """A provider answers. `reply` has the rest of the body after `first`."""

    reply: Reply
    first: bytes | None
    """The first bytes of the body; b"" for an empty one, None when they have not come yet."""
    target: Target
    rank: Rank
    close: Callable[[], Awaitable[None]]
    """To be called once: ends the connection, if the answer was not read to its end."""
    trip: Trip | None = None
    """What came before; None where the first candidate was asked first and answered, as nearly always."""
    repin: tuple[Rank, ...] | None = None
    """How the session's pin should rank the candidates from now on; None when it stays."""


class Exhausted(Struct, frozen=True):
    """Nobody answers. `refusal` is what the client is to hear."""

    refusal: Refusal
    rank: Rank
    """Whose refusal it is."""
    trip: Trip
    repin: tuple[Rank, ...] | None

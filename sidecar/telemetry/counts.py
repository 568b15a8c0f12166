"""
What several requests that are over come to, for those who only count: requests of one kind are counted in one go.

    (kind, numbers) of each ──▶ alike: kind ─▶ their numbers ──▶ one column for each number ──▶ metrics
                     row of each that was decided ──▶ latest ──▶ the console

A kind is all that a request may be counted under, its labels; its numbers are what is added up or put into buckets.
Both are plain tuples, in the order of the classes here: one of each is made for every request, and a tuple takes a
tenth of what a `Record` takes. Whoever counts looks a kind up once for all requests that have it, and gets their numbers
in columns from `zip`, so that most of what is left to do is done in C.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from sidecar.routing.decision import Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.record import Attempt


class Decided(NamedTuple):
    """What was decided, and about whom."""

    model: str
    """The first candidate."""
    route: str | None
    reason: Reason
    lookup: Lookup
    pinned: bool
    source: str | None
    """Who named the session; None for a request that belongs to none."""


class Call(NamedTuple):
    """What came of asking providers. The answer, if there is one, is that of the last attempt."""

    provider: str | None
    """Who was asked, where all went well at the first attempt. The attempts of others are among `unusual`."""
    operation: str | None
    """What was asked of the model; None for what is no call of one."""
    tells_usage: bool
    has_first_token: bool
    """Whether it is a stream that has begun."""
    has_pace: bool
    """Whether it is a stream of which it is known how fast its tokens came."""


class Kind(NamedTuple):
    endpoint: str
    status: int
    code: str | None
    """The stable code of what went wrong."""
    caller: str | None
    """The label of whoever asked."""
    model: str | None
    """Whose answer it is: a model of the configuration."""
    failover: str | None
    moved: bool
    decided: Decided | None
    call: Call | None
    """None when no attempt was made."""


class Numbers(NamedTuple):
    """Times in seconds, sizes in bytes of bodies. Those after the fourth are there for calls only."""

    seconds: float
    added_s: float
    """What the sidecar itself took."""
    bytes_in: int
    bytes_out: int
    call_s: float = 0.0
    """From the first attempt to the end of the answer."""
    attempt_s: float = 0.0
    """From the one attempt to the end of its answer, and the next to its first byte; of a provider that is told."""
    first_byte_s: float = 0.0
    input: int = 0
    """In tokens, as the next two: of a call that tells its usage."""
    output: int = 0
    cached: int = 0
    first_token_s: float = 0.0
    """From the attempt to the first bytes of the stream it brought."""
    per_token_s: float = 0.0


AT = {name: index for index, name in enumerate(Numbers._fields)}
"""Which column has which of them."""


class Latest(NamedTuple):
    """A request that was decided."""

    kind: tuple[Any, ...]
    """The fields of its `Kind`."""
    decided: tuple[Any, ...]
    """Those of its `Decided`, again."""
    ended_at_s: float
    """Unix time."""
    seconds: float
    session: SessionKey | None
    trace_id: str


class Unusual(NamedTuple):
    """A request that failed, or was not answered at the first attempt. It is counted in `alike` as well."""

    code: str | None
    culprit: str | None
    """The part of the request that was wrong."""
    attempts: tuple[Attempt, ...]


class Counts:
    """What several requests come to."""

    __slots__ = ("alike", "latest", "unusual")

    def __init__(self) -> None:
        self.alike: defaultdict[tuple[Any, ...], list[tuple[float, ...]]] = defaultdict(list)
        """Kind -> the numbers of its requests: the fields of `Kind` and `Numbers`."""
        self.latest: list[tuple[Any, ...]] = []
        """In the order in which they ended: the fields of `Latest`."""
        self.unusual: list[Unusual] = []


Counter = Callable[[Counts], None]
"""Is told of every request, of several at a time. Must not raise."""


def kind_of(fields: tuple[Any, ...]) -> Kind:
    """A kind with names for its fields, and for those of its parts."""
    kind = Kind(*fields)
    decided, call = kind.decided, kind.call
    return kind._replace(decided=decided and Decided(*decided), call=call and Call(*call))

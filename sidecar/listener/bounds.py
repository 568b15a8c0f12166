"""
What clients may take of us: how many connections and requests, how much of a head, how long for what.

    Bounds   one per server: the limits in force, what is counted against them, and how often each was reached
    Stay     one per connection: since when it is here, waits for a head, or does not take its answer

A request pays for none of it but two numbers: whatever is about time is found by a sweep over all connections. Who
reaches a limit is counted and not logged, for the log is not to be filled from outside.
"""

from collections import Counter
from typing import Protocol

from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from sidecar.config.models import Limits
from sidecar.errors import RequestError, RequestTimeout, SidecarError
from sidecar.listener.door import Door
from sidecar.listener.incoming import Incoming
from sidecar.listener.outlet import Outlet
from sidecar.listener.strict import Strict
from sidecar.listener.sweep import EVERY_S
from sidecar.listener.turned_away import TurnedAway, said
from sidecar.upstream.limits import Overloaded

HEADS = 4
"""A head may be so many times as long as one header of it: nginx's large_client_header_buffers."""
REACHED = (
    "max_connections",
    "max_requests",
    "max_headers",
    "max_header_bytes",
    "header_timeout",
    "keepalive_timeout",
    "max_requests_per_connection",
    "max_connection_age",
    "answer_timeout",
)
"""By their names in the configuration; `answer_timeout` is a client that takes nothing for `body_timeout`."""


class HeadTimeout(RequestTimeout):
    """The client took too long to send the head of a request."""

    code = "header_timeout"


class HeadTooLarge(RequestError):
    """The head, one header of it, or their number is over the listener's limits."""

    status = 431
    code = "head_too_large"


class ClientSlow(RequestError):
    """The client did not take its answer. Nobody sees it but metrics and log."""

    status = 499
    code = "client_slow"


class Watched(Protocol):
    """A connection, as far as it is looked after here."""

    stay: "Stay"

    @property
    def awaits_head(self) -> bool:
        """Whether a request is all that it waits for."""
        ...

    @property
    def stuck(self) -> int:
        """How many bytes wait for the client while nothing more is written; 0 while more may be."""
        ...

    def refuse(self, error: SidecarError) -> None:
        """Answers so in the place of a request, and closes."""
        ...

    def leave(self) -> None: ...

    def give_up(self, error: SidecarError) -> None:
        """Drops what is being answered, by `error`, and the connection with all that waits for its client."""
        ...


class Stay:
    """
    One connection's. `head_at`: since when it waits for the rest of a head; None when none has begun. The beginning of
    one that came with the end of a request is not seen: it gets no more time than a connection without a request has.
    """

    __slots__ = ("head_at", "head_bytes", "is_late", "last", "left", "opened_at", "stuck_at", "unsent")

    def __init__(self, limits: Limits, now: float) -> None:
        self.opened_at = now
        self.head_at: float | None = now
        self.head_bytes = 0
        self.is_late = False
        """Whether the head was late when it was last looked for."""
        self.left = limits.max_requests_per_connection
        """Requests until its last; below 0 there is no bound."""
        self.last = False
        """Whether it ends with its next answer."""
        self.unsent = 0
        self.stuck_at = now

    def part_of_head(self, size: int, now: float) -> None:
        """So many bytes came which made no request yet."""
        if self.head_at is None:
            self.head_at, self.head_bytes = now, 0
        self.head_bytes += size


class Bounds:
    """`limits` may be replaced: whoever comes from then on finds others."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.reached: Counter[tuple[str, ...]] = Counter({(name,): 0 for name in REACHED})
        self.connections = 0
        self.requests = 0
        self._strict = Strict()
        self._turned_away: set[TurnedAway] = set()
        self._too_many = said(Overloaded("This sidecar has all the connections it may have."))

    def every_s(self) -> float:
        """How often all connections are looked at."""
        return min(EVERY_S, self.limits.header_timeout_s / 4, self.limits.body_timeout_s / 4)

    def one_too_many(self) -> TurnedAway | None:
        """For a connection that there is no place for."""
        if self.connections < self.limits.max_connections:
            return None
        return TurnedAway(self._too_many, self._turned_away, lambda: self._count("max_connections"))

    def has_room(self, stay: Stay) -> bool:
        """Whether no bound is reached with one more request."""
        return self.requests < self.limits.max_requests and stay.left != 1

    def enter(self, request: Incoming, stay: Stay) -> SidecarError | None:
        """A request begins: `requests` is one less when it is over. Why it is not answered, if it is not."""
        self.requests += 1
        stay.left -= 1
        if stay.left == 0:
            stay.last = True
            self._count("max_requests_per_connection")
        if self.requests > self.limits.max_requests:
            self._count("max_requests")
            return Overloaded("This sidecar has all the requests it may have.")
        return None if request.head is not None else self._strict.fault(request)  # what is known was looked at

    def part_of_head(self, connection: Watched, size: int, now: float) -> None:
        connection.stay.part_of_head(size, now)
        if connection.stay.head_bytes > HEADS * self.limits.max_header_bytes:
            self._count("max_header_bytes")
            connection.refuse(HeadTooLarge("The head of the request is too long."))

    def refuse(self, door: Door, exc: BaseException, request: Incoming, outlet: Outlet) -> None:
        """The answer in the place of a request that there is none of: for what the parser says, or the sweep."""
        if isinstance(exc, LineTooLong):
            self._count("max_header_bytes")
            exc = HeadTooLarge("The head of the request is too long.")
        elif isinstance(exc, BadHttpMessage) and exc.message.startswith("Too many headers"):
            self._count("max_headers")
            exc = HeadTooLarge("The request has too many headers.")
        if isinstance(exc, SidecarError):
            door.refuse(exc, request, outlet)
        else:
            door.not_http(type(exc).__name__, request, outlet)

    def look(self, connection: Watched, now: float) -> None:
        """What has taken too long ends."""
        stay, limits = connection.stay, self.limits
        is_late = stay.head_at is not None and now - stay.head_at > limits.header_timeout_s and connection.awaits_head
        if is_late and stay.is_late:  # once is not enough: if the loop was held up, the head is here but not read yet
            self._head_is_late(connection)
        stay.is_late = is_late
        age_s = limits.max_connection_age_s
        if age_s and now - stay.opened_at > age_s and not stay.last:
            stay.last = True
            self._count("max_connection_age")
        unsent = connection.stuck
        if not unsent or unsent < stay.unsent:
            stay.stuck_at = now
        elif now - stay.stuck_at > limits.body_timeout_s:
            self._count("answer_timeout")
            connection.give_up(ClientSlow("The client does not take its answer."))
        stay.unsent = unsent

    def idled(self) -> None:
        """A connection was closed that had no request for too long."""
        self._count("keepalive_timeout")

    def _head_is_late(self, connection: Watched) -> None:
        self._count("header_timeout")
        stay = connection.stay
        stay.head_at = None
        if stay.head_bytes:
            connection.refuse(HeadTimeout("The head of the request did not arrive in time."))
        else:
            connection.leave()  # an answer to nothing would be taken for that of the next request

    def _count(self, name: str) -> None:
        self.reached[name,] += 1

"""
Who is asked next, when to stop, what the client is then told, and what becomes of the session's pin.

    Trip ──next_step──▶ Try(rank, wait) ──it failed──▶ trip.failed(…) ──next_step──▶ … ──▶ Stop(the attempt to relay)
                             └──its first byte came: there is no way back, the trip is over
    Trip ──pin_after──▶ None: the pin stays  |  the candidates in their new order: it moves

A trip is a value: each failure makes the next one. The first rule of `next_step` that applies decides.

A candidate that was not tried yet is always asked before one that failed is asked again: another model now is better
than this one perhaps. Only when the list is used up does the best ranked that may do better in a moment get another
try, after a backoff (Envoy's: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter)
or the time it asked for.

Trips and steps are Structs, not attrs: nearly every request makes one of each and no more, in 0.3 µs instead of 2.
"""

from collections.abc import Collection
from typing import TypeAlias

from attrs import field, frozen
from attrs.validators import ge, gt
from msgspec import Struct, structs

from sidecar.upstream.refusal import Cause, Failure, Severity

Rank: TypeAlias = int
"""A candidate's place in the decision's list; 0 is the session's own model."""


@frozen
class Policy:
    """How hard we try."""

    failover: bool = True
    """False: one attempt, and its outcome is the answer."""
    max_attempts: int = field(default=3, validator=ge(1))
    timeout_s: float = field(default=300.0, validator=gt(0))
    """For all attempts together, until the first byte."""
    base_interval_s: float = field(default=0.025, validator=gt(0))
    """The longest wait before a provider is asked again; doubles with each further time."""
    max_interval_s: float = field(default=0.25, validator=gt(0))
    retry_after_max_s: float = field(default=5.0, validator=ge(0))
    """A provider that asks for longer is not waited for: the client is told, and may wait itself."""


class Made(Struct, frozen=True):
    """An attempt that failed."""

    rank: Rank
    failure: Failure
    again_at: float
    """The earliest time its provider may be asked again."""


class Try(Struct, frozen=True):
    """Ask the candidate of this rank, after a wait."""

    rank: Rank
    wait_s: float
    budget_s: float
    """What is left of the whole, the wait not counted: no attempt may wait longer for its first byte."""


class Stop(Struct, frozen=True):
    """Nobody else is asked."""

    relay: int
    """Which of the attempts made the client hears of: its response as it came, or its error in our words."""


class Trip(Struct, frozen=True):
    """One request on its way through the candidates. Times are seconds of any clock that never goes back."""

    policy: Policy
    order: tuple[Rank, ...]
    """All candidates in the order to be tried, as `Health.order` gives it; never empty."""
    began_at: float
    replayable: bool = True
    """Whether the body is at hand to be sent again; a streamed upload is not."""
    made: tuple[Made, ...] = ()

    @property
    def hopeless(self) -> frozenset[Rank]:
        """The candidates that will never answer."""
        return frozenset(made.rank for made in self.made if made.failure.severity is Severity.TERMINAL)

    def failed(self, rank: Rank, failure: Failure, now: float, jitter: float) -> "Trip":
        """The trip after an attempt that failed. `jitter` is a random number from 0 to 1."""
        earlier = sum(made.rank == rank for made in self.made)
        longest_s = min(self.policy.base_interval_s * 2**earlier, self.policy.max_interval_s)
        again_at = now + (failure.retry_after_s or 0.0) + longest_s * jitter
        return structs.replace(self, made=(*self.made, Made(rank, failure, again_at)))


def first_step(policy: Policy) -> Try:
    """What `next_step` says of every trip that begins while nobody is ejected."""
    return Try(0, 0.0, policy.timeout_s)


def next_step(trip: Trip, now: float) -> Try | Stop:
    """Whom to ask now. Call it before every attempt, the first included."""
    left_s = trip.began_at + trip.policy.timeout_s - now
    if not trip.made:
        return Try(trip.order[0], 0.0, max(left_s, 0.0))
    if _over(trip) or left_s <= 0:
        return Stop(_most_useful(trip))
    tried = {made.rank for made in trip.made}
    untried = [rank for rank in trip.order if rank not in tried]
    if untried:
        return Try(untried[0], 0.0, left_s)
    return _again(trip, now, left_s) or Stop(_most_useful(trip))


def _over(trip: Trip) -> bool:
    last = trip.made[-1].failure
    return (
        last.severity is Severity.FINAL
        or not trip.policy.failover
        or sum(made.failure.asked for made in trip.made) >= trip.policy.max_attempts
        or (last.sent and not trip.replayable)
    )


def _again(trip: Trip, now: float, left_s: float) -> Try | None:
    """The best ranked of those that may do better in a moment that is worth waiting for."""
    latest = {made.rank: made for made in trip.made}
    for rank in sorted(latest):
        made = latest[rank]
        wait_s = max(0.0, made.again_at - now)
        bearable = (made.failure.retry_after_s or 0.0) <= trip.policy.retry_after_max_s
        if made.failure.worth_asking_again and bearable and wait_s < left_s:
            return Try(rank, wait_s, left_s - wait_s)
    return None


def _most_useful(trip: Trip) -> int:
    """
    The last attempt; but rather one that a provider answered than a silence, and rather a "not now", which says when
    to come back, than a complaint about our key, which the client would take for its own. A candidate that could not
    be asked has nothing to say.
    """
    failures = [made.failure for made in trip.made]
    if failures[-1].severity is Severity.FINAL:
        return len(failures) - 1
    answered = [index for index, failure in enumerate(failures) if failure.status is not None]
    passing = [index for index in answered if failures[index].severity is Severity.TRANSIENT]
    asked = [index for index, failure in enumerate(failures) if failure.cause is not Cause.NOT_PORTABLE]
    return (passing or answered or asked or [len(failures) - 1])[-1]


def pin_after(trip: Trip, answered: Rank | None, ejected: Collection[Rank] = ()) -> tuple[Rank, ...] | None:
    """
    The candidates as the session's pin should now rank them; None when the pin stays as it is.

    `answered` is who gave the first byte, None when nobody did; `ejected` the ranks whose providers are ejected now.
    The pin moves when its own model, rank 0, will never answer, or was ejected and another answered in its place. A
    model that will never answer leaves the list; an ejected one stays in it, as a later choice.
    """
    if answered == 0 and not trip.made:  # as nearly always
        return None
    never = trip.hopeless
    if 0 in never or (0 in ejected and answered not in {0, None}):
        left = [rank for rank in sorted(trip.order) if rank not in never]
        return tuple(sorted(left, key=lambda rank: rank != answered)) or None
    return None

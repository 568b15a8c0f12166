"""
The last quarter of an hour: what became of lookups and requests, in steps of five seconds, and the latest decisions.

For the console and `sidecar top`, where no Prometheus is at hand. Memory is bounded by the number of steps and of
decisions, whatever clients send, and being told costs next to nothing: what is shown is worked out when somebody looks,
what sessions are called too. Of a request only texts, numbers and its session's key are kept. Kept as it is, it would
hold back all that was made for it, and the next one would find none of that memory warm.

Only requests for models count: probes of `/healthz` would drown a quiet hour.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import Factory, define

from sidecar.errors import InvalidSessionId
from sidecar.routing.decision import Lookup
from sidecar.telemetry.counts import Counts, Decided, Latest, kind_of
from sidecar.telemetry.pseudonym import Pseudonyms

STEP_S = 5
STEPS = 180
LATEST = 200

OUTCOMES = tuple(lookup.value for lookup in Lookup)
ASKED_FOR_A_PIN = frozenset(
    lookup.value for lookup in (Lookup.HIT, Lookup.MISS, Lookup.EXPIRED, Lookup.MODEL_GONE, Lookup.PREFIX_CHANGED)
)
"""What the hit rate is a rate of; the others asked for none, and so could not hit one."""

_PROBES = frozenset({"/healthz", "/api/hello"})
_CLIENT_GONE = "client_gone"


@define
class _Step:
    """Five seconds."""

    lookups: dict[str, int] = Factory(dict)
    """Outcome -> how many; what never happened is not in it."""
    requests: int = 0
    errors: int = 0
    failovers: int = 0
    moved: int = 0


class Recent:
    """
    `told` is a `sidecar.telemetry.counts.Counter`. `clock`: Unix time, seconds; `pseudonyms`: what sessions are called,
    by names of its own if there are none.
    """

    def __init__(self, clock: Callable[[], float], pseudonyms: Pseudonyms | None = None) -> None:
        self._clock = clock
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._catch_up: Callable[[], None] = _nothing
        self._steps: dict[int, _Step] = {}
        self._latest: deque[tuple[Any, ...]] = deque(maxlen=LATEST)
        """The fields of `Latest`."""
        self._totals = _Step()

    def before_read(self, catch_up: Callable[[], None]) -> None:
        """`catch_up` is called before each `snapshot`: it tells of what nobody was told yet."""
        self._catch_up = catch_up

    def told(self, counts: Counts) -> None:
        """Counts requests, in the step in which it is told of them: that in which they ended, or the next one."""
        self._latest.extend(counts.latest)
        step = None
        for kind, those in counts.alike.items():
            if kind[0] not in _PROBES:
                step = step or self._step()
                _count(step, kind, len(those))

    def _step(self) -> _Step:
        at = int(self._clock()) // STEP_S
        return self._steps.get(at) or self._begin(at)

    def snapshot(self) -> dict[str, Any]:
        """
        As JSON has it; times are Unix seconds, steps come oldest first and without gaps, decisions newest first.

            {"now", "step_seconds",
             "lookups": [{"at", "hit", "miss", …: one number for each of OUTCOMES}],
             "requests": [{"at", "count", "errors", "failovers", "moved"}],
             "decisions": [{"at", "endpoint", "model", "decided", "route", "reason", "pin", "source", "session", "ms",
                            "status", "code", "failover", "moved", "trace_id"}],
             "hits", "lookups_total", "requests_total", "errors_total", "failovers_total", "moved_total"}

        `at` of a step is its beginning, that of a decision the end of its request. The totals are those since the
        start; `lookups_total` counts what could have been a hit. `model` is the one that answered, `decided` the one
        that the decision put first; `session` is a hash.
        """
        self._catch_up()
        now = self._clock()
        last = int(now) // STEP_S
        steps = [(at * STEP_S, self._steps.get(at) or _Step()) for at in range(last - STEPS + 1, last + 1)]
        return {
            "now": now,
            "step_seconds": STEP_S,
            "lookups": [
                {"at": at, **{outcome: step.lookups.get(outcome, 0) for outcome in OUTCOMES}} for at, step in steps
            ],
            "requests": [{"at": at, **_counts(step)} for at, step in steps],
            "decisions": [self._shown(Latest(*fields)) for fields in reversed(self._latest)],
            **self._since_start(),
        }

    def _shown(self, latest: Latest) -> dict[str, Any]:
        kind, decided, session = kind_of(latest.kind), Decided(*latest.decided), latest.session
        return {
            "at": round(latest.ended_at_s, 3),
            "endpoint": kind.endpoint,
            "model": kind.model,
            "decided": decided.model,
            "route": decided.route,
            "reason": decided.reason.value,
            "pin": decided.lookup.value,
            "source": decided.source,
            "session": "" if session is None else self._pseudonyms.of(session),
            "ms": round(latest.seconds * 1000, 3),
            "status": kind.status,
            "code": kind.code,
            "failover": kind.failover,
            "moved": kind.moved,
            "trace_id": latest.trace_id,
        }

    def _begin(self, at: int) -> _Step:
        """A new step, and farewell to those that are too old; or too young, when the clock was set back."""
        for other in [other for other in self._steps if not at - STEPS < other <= at + STEPS]:
            _add(self._totals, self._steps.pop(other))
        step = self._steps[at] = _Step()
        return step

    def _since_start(self) -> dict[str, int]:
        total = _Step()
        for step in (self._totals, *self._steps.values()):
            _add(total, step)
        counts = _counts(total)
        return {
            "hits": total.lookups.get(Lookup.HIT.value, 0),
            "lookups_total": sum(n for outcome, n in total.lookups.items() if outcome in ASKED_FOR_A_PIN),
            "requests_total": counts.pop("count"),
            **{f"{name}_total": number for name, number in counts.items()},
        }


def _nothing() -> None:
    """Whoever tells, tells at once."""


def _count(step: _Step, kind: tuple[Any, ...], number: int) -> None:
    """Counts so many requests of a kind, which is left without names: they take as long as all the rest."""
    _, status, code, _, _, failover, moved, decided, _ = kind
    step.requests += number
    if decided is not None:
        _, _, _, lookup, _, _ = decided
        _look(step, lookup, number)
    if failover is not None:
        step.failovers += number
        step.moved += number * moved
    if code is not None or status >= 400:  # noqa: PLR2004 - HTTP's own boundary
        step.errors += number * (code != _CLIENT_GONE)
        if code == InvalidSessionId.code:
            _look(step, Lookup.INVALID, number)


def _look(step: _Step, outcome: str, number: int) -> None:
    step.lookups[outcome] = step.lookups.get(outcome, 0) + number


def _add(total: _Step, step: _Step) -> None:
    for outcome, number in step.lookups.items():
        total.lookups[outcome] = total.lookups.get(outcome, 0) + number
    total.requests += step.requests
    total.errors += step.errors
    total.failovers += step.failovers
    total.moved += step.moved


def _counts(step: _Step) -> dict[str, int]:
    return {"count": step.requests, "errors": step.errors, "failovers": step.failovers, "moved": step.moved}

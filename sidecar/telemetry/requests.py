"""
Requests that are over: how many, how long, how large, what was decided and which providers were asked.

Requests of one kind count in the same series, which are looked up for the first of them only: there are as many kinds
as their closed labels have combinations that occur. Of several that are told at once, those of one kind are counted in
one go, in half of the time.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from sidecar.errors import InvalidSessionId
from sidecar.routing.decision import Lookup, Reason
from sidecar.routing.session import OWN_SOURCES
from sidecar.telemetry.calls import Calls
from sidecar.telemetry.metrics import NONE, OTHER
from sidecar.telemetry.record import ANSWERED, Attempt, Record
from sidecar.telemetry.tally import Bins, Cell, Spread, Tally

_BROKEN_OFF = frozenset({"upstream_reset", "upstream_timeout"})
"""How an answer can end before its end."""

_Decided = tuple[str, str | None, str, Reason, Lookup]
"""Who named the session, the route, the model, why, and what became of the look into the pin table."""
_Kind = tuple[str, int, _Decided | None]
"""Of a request: endpoint, status class, and what was decided, if anything was."""


@frozen
class _Series:
    """What all requests of one kind count in. A cell that nobody else has is for what such a request does not count."""

    requests: Cell
    bytes_in: Cell
    bytes_out: Cell
    duration: Bins
    added: Bins
    decisions: Cell
    lookups: Cell
    saved: Cell
    saved_seconds: Cell


class Requests:
    """`models`, `routes`: those of the configuration. The others are where it counts; two of them by names of metrics."""

    def __init__(
        self,
        models: frozenset[str],
        routes: frozenset[str],
        calls: Calls,
        tallies: Mapping[str, Tally],
        spreads: Mapping[str, Spread],
    ) -> None:
        self._models = models
        self._routes = routes
        self._calls = calls
        self._tallies = tallies
        self._spreads = spreads
        self._series: dict[_Kind, _Series] = {}

    def told(self, records: Sequence[Record], verdict_s: float) -> None:
        """`verdict_s`: what a classification takes of late, which is what a pin saves."""
        alike: defaultdict[_Kind, list[Record]] = defaultdict(list)
        for record in records:
            alike[_kind(record)].append(record)
        for kind, those in alike.items():
            _count(self._series.get(kind) or self._bound(kind), those, verdict_s)
        if asked := [record for record in records if record.attempts]:
            self._asked_providers(asked)
        for record in records:
            if record.caller is not None:
                self._add("sidecar_caller_requests", record.caller.label, f"{record.status // 100}xx")
            if record.code is not None:
                self._failed(record, record.code)

    def _bound(self, kind: _Kind) -> _Series:
        """For a kind that is new, and for those with a model or a route that is not configured: all of them are one."""
        endpoint, hundreds, decided = kind
        if decided is not None:
            source, route, model, reason, lookup = decided
            route = route if route is None or route in self._routes else OTHER
            kind = (endpoint, hundreds, (source, route, model if model in self._models else OTHER, reason, lookup))
        found = self._series.get(kind)
        if found is None:
            found = self._series[kind] = self._made(*kind)
        return found

    def _made(self, endpoint: str, hundreds: int, decided: _Decided | None) -> _Series:
        status, add, spread = f"{hundreds}xx", self._tallies, self._spreads
        decisions, lookups, saved, saved_seconds = Cell(), Cell(), Cell(), Cell()
        if decided is not None:
            source, route, model, reason, lookup = decided
            decisions = add["sidecar_decisions"].cell(endpoint, NONE if route is None else route, model, reason.value)
            lookups = add["sidecar_pin_lookups"].cell(lookup.value, source)
            if reason is Reason.PINNED and self._routes:
                saved = add["sidecar_classifier_calls_saved"].cell()
                saved_seconds = add["sidecar_classifier_seconds_saved"].cell()
        return _Series(
            requests=add["sidecar_http_requests"].cell(endpoint, status),
            bytes_in=add["sidecar_http_request_bytes"].cell(endpoint),
            bytes_out=add["sidecar_http_response_bytes"].cell(endpoint),
            duration=spread["sidecar_http_request_duration_seconds"].bins(endpoint, status),
            added=spread["sidecar_added_latency_seconds"].bins(endpoint),
            decisions=decisions,
            lookups=lookups,
            saved=saved,
            saved_seconds=saved_seconds,
        )

    def _failed(self, record: Record, code: str) -> None:
        self._add("sidecar_errors", code)
        if code == InvalidSessionId.code:
            source = record.culprit if record.culprit in OWN_SOURCES else OTHER
            self._add("sidecar_pin_lookups", Lookup.INVALID.value, source)
        if record.attempts and record.attempts[-1].outcome == ANSWERED and code in _BROKEN_OFF:
            self._add("sidecar_upstream_resets", record.attempts[-1].provider, code)

    def _asked_providers(self, records: Sequence[Record]) -> None:
        asked: defaultdict[str, list[Attempt]] = defaultdict(list)
        for record in records:
            for attempt in record.attempts:
                asked[attempt.provider].append(attempt)
            if record.failover is not None:
                self._add("sidecar_failovers", record.failover, "moved" if record.moved else "kept")
        for provider, attempts in asked.items():
            duration = self._spreads["sidecar_upstream_duration_seconds"]
            duration.bins(provider).observe(*[attempt.seconds for attempt in attempts])
            if firsts := [attempt.first_byte_s for attempt in attempts if attempt.first_byte_s is not None]:
                self._spreads["sidecar_upstream_first_byte_seconds"].bins(provider).observe(*firsts)
        self._calls.told(records)

    def _add(self, name: str, *labels: str) -> None:
        self._tallies[name].add(*labels)


def _kind(record: Record) -> _Kind:
    decision, session = record.decision, record.session
    if decision is None:
        return record.endpoint, record.status // 100, None
    source = NONE if session is None else session.source
    decided = (source, decision.route, decision.candidates[0], decision.reason, decision.lookup)
    return record.endpoint, record.status // 100, decided


def _count(series: _Series, alike: Iterable[Record], verdict_s: float) -> None:
    seconds = [record.seconds for record in alike]
    number = len(seconds)
    series.requests.value += number
    series.bytes_in.value += sum([record.bytes_in for record in alike])
    series.bytes_out.value += sum([record.bytes_out for record in alike])
    series.duration.observe(*seconds)
    series.added.observe(*[record.added_s for record in alike])
    series.decisions.value += number
    series.lookups.value += number
    series.saved.value += number
    series.saved_seconds.value += number * verdict_s

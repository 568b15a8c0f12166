"""
Requests that are over: how many, how long, how large, what was decided and which providers were asked.

Requests of one kind count in the same series, which are looked up for the first of them only. There are as many kinds
as their closed labels have combinations that occur, which may be many times as many as there are series.
"""

from collections.abc import Mapping
from typing import Any

from sidecar.errors import InvalidSessionId
from sidecar.routing.decision import Lookup, Reason
from sidecar.routing.session import OWN_SOURCES
from sidecar.telemetry.calls import Calls
from sidecar.telemetry.counts import AT, Call, Counts, Decided, Kind, Unusual, kind_of
from sidecar.telemetry.metrics import NONE, OTHER
from sidecar.telemetry.record import ANSWERED
from sidecar.telemetry.tally import Cell, Spread, Tally, Targets

MOST_KINDS = 1024
"""So many are remembered, of 1 KiB each. One that is forgotten is looked up again, and counts on in the same series."""
_BROKEN_OFF = frozenset({"upstream_reset", "upstream_timeout"})
"""How an answer can end before its end."""


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
        self._targets: dict[tuple[Any, ...], _Targets] = {}
        """By kind."""

    def __len__(self) -> int:
        """How many kinds are remembered."""
        return len(self._targets)

    def told(self, counts: Counts, verdict_s: float) -> None:
        """`verdict_s`: what a classification takes of late, which is what a pin saves."""
        for kind, those in counts.alike.items():
            targets = self._targets.get(kind) or self._bound(kind_of(kind))
            targets.told(those)
            targets.saved_seconds.value += len(those) * verdict_s
        for unusual in counts.unusual:
            self._attempts(unusual)
            if unusual.code is not None:
                self._failed(unusual, unusual.code)

    def _bound(self, kind: Kind) -> "_Targets":
        """For a kind that is new, and for those with a model or a route that is not configured: all of them are one."""
        decided, model = kind.decided, kind.model
        if decided is not None:
            route = decided.route if decided.route is None or decided.route in self._routes else OTHER
            decided = decided._replace(model=decided.model if decided.model in self._models else OTHER, route=route)
        kind = kind._replace(decided=decided, model=model and self._calls.known(model))
        found = self._targets.get(kind)
        if found is None:
            if len(self._targets) >= MOST_KINDS:
                del self._targets[next(iter(self._targets))]
            found = self._targets[kind] = self._made(kind)
        return found

    def _made(self, kind: Kind) -> "_Targets":
        targets, status, add, spread = _Targets(), f"{kind.status // 100}xx", self._tallies, self._spreads
        targets.count(add["sidecar_http_requests"].cell(kind.endpoint, status))
        targets.add(AT["bytes_in"], add["sidecar_http_request_bytes"].cell(kind.endpoint))
        targets.add(AT["bytes_out"], add["sidecar_http_response_bytes"].cell(kind.endpoint))
        targets.put(AT["seconds"], spread["sidecar_http_request_duration_seconds"].bins(kind.endpoint, status))
        targets.put(AT["added_s"], spread["sidecar_added_latency_seconds"].bins(kind.endpoint))
        if kind.caller is not None:
            targets.count(add["sidecar_caller_requests"].cell(kind.caller, status))
        if kind.code is not None:
            targets.count(add["sidecar_errors"].cell(kind.code))
        if kind.decided is not None:
            self._add_decision(targets, kind.endpoint, kind.decided)
        if kind.call is not None:
            self._add_call(targets, kind, kind.call)
        return targets

    def _add_decision(self, targets: "_Targets", endpoint: str, decided: Decided) -> None:
        add, route, source = self._tallies, decided.route, decided.source
        labels = (NONE if route is None else route, decided.model, decided.reason.value)
        targets.count(add["sidecar_decisions"].cell(endpoint, *labels))
        targets.count(add["sidecar_pin_lookups"].cell(decided.lookup.value, NONE if source is None else source))
        if decided.reason is Reason.PINNED and self._routes:
            targets.count(add["sidecar_classifier_calls_saved"].cell())
            targets.saved_seconds = add["sidecar_classifier_seconds_saved"].cell()

    def _add_call(self, targets: "_Targets", kind: Kind, call: Call) -> None:
        if kind.failover is not None:
            targets.count(self._tallies["sidecar_failovers"].cell(kind.failover, "moved" if kind.moved else "kept"))
        if (provider := call.provider) is not None:
            targets.put(AT["attempt_s"], self._spreads["sidecar_upstream_duration_seconds"].bins(provider))
            targets.put(AT["first_byte_s"], self._spreads["sidecar_upstream_first_byte_seconds"].bins(provider))
        self._calls.add_to(targets, kind, call)

    def _attempts(self, unusual: Unusual) -> None:
        for attempt in unusual.attempts:
            self._spreads["sidecar_upstream_duration_seconds"].observe(attempt.seconds, attempt.provider)
            if attempt.first_byte_s is not None:
                self._spreads["sidecar_upstream_first_byte_seconds"].observe(attempt.first_byte_s, attempt.provider)

    def _failed(self, unusual: Unusual, code: str) -> None:
        if code == InvalidSessionId.code:
            source = unusual.culprit if unusual.culprit in OWN_SOURCES else OTHER
            self._tallies["sidecar_pin_lookups"].add(Lookup.INVALID.value, source)
        if unusual.attempts and unusual.attempts[-1].outcome == ANSWERED and code in _BROKEN_OFF:
            self._tallies["sidecar_upstream_resets"].add(unusual.attempts[-1].provider, code)


class _Targets(Targets):
    """What all requests of one kind count in."""

    __slots__ = ("saved_seconds",)

    def __init__(self) -> None:
        super().__init__()
        self.saved_seconds = Cell()
        """Of its own, where such a request saves nothing."""

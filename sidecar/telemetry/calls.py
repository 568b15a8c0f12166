"""
Calls to models: OpenTelemetry's metrics of them, and how much of their prompts came out of providers' caches.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, version 1.41, dots as underscores.
"""

from collections.abc import Mapping

from attrs import frozen

from sidecar.telemetry.counts import AT, Call, Kind
from sidecar.telemetry.metrics import OTHER
from sidecar.telemetry.spans import provider_name
from sidecar.telemetry.tally import Spread, Tally, Targets


@frozen
class Calls:
    """`models`, `vendors`: those of the configuration. The others are where it counts, by the names of metrics."""

    models: frozenset[str]
    vendors: frozenset[str]
    tallies: Mapping[str, Tally]
    spreads: Mapping[str, Spread]

    def known(self, model: str) -> str:
        """Models that are not configured count as their vendor's, so they stay few."""
        if model in self.models:
            return model
        vendor = model.partition("/")[0]
        return f"{vendor if vendor in self.vendors else OTHER}/*"

    def add_to(self, targets: Targets, kind: Kind, call: Call) -> None:
        """The series in which calls of a kind count, whose model is one that `known` gave."""
        if call.operation is None or kind.model is None:
            return
        known = kind.model in self.models
        labels = (call.operation, self._vendor(kind.model), kind.model if known else OTHER)
        spreads = self.spreads
        duration = spreads["gen_ai_client_operation_duration_seconds"].bins(*labels, _error_type(kind))
        targets.put(AT["call_s"], duration)
        if call.tells_usage:
            self._add_usage(targets, labels, pinned=kind.decided is not None and kind.decided.pinned)
        if call.has_first_token:
            targets.put(AT["first_token_s"], spreads["gen_ai_server_time_to_first_token_seconds"].bins(*labels))
            each = spreads["gen_ai_server_time_per_output_token_seconds"].bins(*labels)
            if call.has_pace:
                targets.put(AT["per_token_s"], each)

    def _add_usage(self, targets: Targets, labels: tuple[str, str, str], *, pinned: bool) -> None:
        tokens, whose = self.spreads["gen_ai_client_token_usage"], (labels[2], "true" if pinned else "false")
        targets.put(AT["input"], tokens.bins(*labels, "input"))
        targets.put(AT["output"], tokens.bins(*labels, "output"))
        targets.add(AT["input"], self.tallies["sidecar_prompt_tokens"].cell(*whose))
        targets.add(AT["cached"], self.tallies["sidecar_cached_prompt_tokens"].cell(*whose))

    def _vendor(self, model: str) -> str:
        return provider_name(model) if model.partition("/")[0] in self.vendors else OTHER


def _error_type(kind: Kind) -> str:
    if kind.code is not None:
        return kind.code
    return "" if kind.status < 400 else f"{kind.status // 100}xx"  # noqa: PLR2004 - a status class

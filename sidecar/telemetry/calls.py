"""
Calls to models: OpenTelemetry's metrics of them, and how much of their prompts came out of providers' caches.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/, version 1.41, dots as underscores. Calls of one kind
count in the same series, which are looked up for the first of them only.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from attrs import frozen

from sidecar.telemetry.metrics import OTHER
from sidecar.telemetry.record import Attempt, Record
from sidecar.telemetry.spans import provider_name
from sidecar.telemetry.tally import Bins, Cell, Spread, Tally

_Shape = tuple[str, bool, bool, bool]
"""What went wrong, or nothing; whether it was pinned, was streamed, told its usage."""
_Kind = tuple[str, str, _Shape]
"""Of a call: operation, model, and what came of it."""


@frozen
class _Series:
    """What all calls of one kind count in. One that nobody else has is for what such a call does not count."""

    duration: Bins
    first_token: Bins
    per_token: Bins
    input: Bins
    output: Bins
    prompt: Cell
    cached: Cell


class Calls:
    """`models`, `vendors`: those of the configuration. The others are where it counts, by the names of metrics."""

    def __init__(
        self,
        models: frozenset[str],
        vendors: frozenset[str],
        tallies: Mapping[str, Tally],
        spreads: Mapping[str, Spread],
    ) -> None:
        self._models = models
        self._vendors = vendors
        self._tallies = tallies
        self._spreads = spreads
        self._series: dict[_Kind, _Series] = {}
        """Models that are not configured count as their vendor's, so they stay few."""

    def told(self, records: Iterable[Record]) -> None:
        """Counts calls, those of one kind in one go. The answer of each, if there is one, is that of its last attempt."""
        alike: defaultdict[_Kind, list[Record]] = defaultdict(list)
        for record in records:
            if record.operation is not None and record.model is not None:
                streamed = record.streamed and record.first_byte_s is not None
                shape = (_error_type(record), record.pinned, streamed, record.usage is not None)
                alike[record.operation, record.model, shape].append(record)
        for kind, those in alike.items():
            _count(self._series.get(kind) or self._bound(*kind), those)

    def _bound(self, operation: str, model: str, shape: _Shape) -> _Series:
        vendor = model.partition("/")[0]
        name = provider_name(model) if vendor in self._vendors else OTHER
        known = model if model in self._models else f"{name}/*"
        found = self._series.get((operation, known, shape))
        if found is None:
            labels = (operation, name, model if known == model else OTHER)
            found = self._series[operation, known, shape] = self._made(labels, shape)
        return found

    def _made(self, labels: tuple[str, str, str], shape: _Shape) -> _Series:
        error, pinned, streamed, told = shape
        whose = (labels[2], "true" if pinned else "false")
        nobody, spread = Bins(()), self._spreads
        first, each = (f"gen_ai_server_time_{what}_seconds" for what in ("to_first_token", "per_output_token"))
        tokens = spread["gen_ai_client_token_usage"]
        return _Series(
            duration=spread["gen_ai_client_operation_duration_seconds"].bins(*labels, error),
            first_token=spread[first].bins(*labels) if streamed else nobody,
            per_token=spread[each].bins(*labels) if streamed else nobody,
            input=tokens.bins(*labels, "input") if told else nobody,
            output=tokens.bins(*labels, "output") if told else nobody,
            prompt=self._tallies["sidecar_prompt_tokens"].cell(*whose) if told else Cell(),
            cached=self._tallies["sidecar_cached_prompt_tokens"].cell(*whose) if told else Cell(),
        )


def _count(series: _Series, alike: Iterable[Record]) -> None:
    series.duration.observe(*[record.seconds - record.attempts[0].began_s for record in alike])
    if usages := [record.usage for record in alike if record.usage is not None]:
        asked = [usage.input for usage in usages]
        series.input.observe(*asked)
        series.output.observe(*[usage.output for usage in usages])
        series.prompt.value += sum(asked)
        series.cached.value += sum([usage.cache_read for usage in usages])
    for record in alike:
        if record.streamed and record.first_byte_s is not None:
            _streamed(series, record, record.first_byte_s, record.attempts[-1])


def _streamed(series: _Series, record: Record, first_at_s: float, answered: Attempt) -> None:
    series.first_token.observe(first_at_s - answered.began_s)
    # Of a part, what its usage counts up to is not known.
    if record.code is None and record.usage is not None and record.usage.output > 1:
        series.per_token.observe((record.seconds - first_at_s) / (record.usage.output - 1))


def _error_type(record: Record) -> str:
    if record.code is not None:
        return record.code
    return "" if record.status < 400 else f"{record.status // 100}xx"  # noqa: PLR2004 - a status class

"""
The one list of metrics: name, kind, meaning, unit, labels.

Every label is a closed set: endpoints, reasons and outcomes are enums, routes, models and providers those of the
configuration, and whatever is neither counts as `other`, so that no client can make the list grow. Never a session id,
never a prompt.

Names begin `sidecar_`; what OpenTelemetry's conventions for generative AI name keeps that name, dots as underscores,
with their buckets: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
"""

from enum import StrEnum

from attrs import frozen

OTHER = "other"
NONE = "none"


class Kind(StrEnum):
    COUNTER = "counter"
    """Goes up only; exposed with `_total` behind its name."""
    GAUGE = "gauge"
    """Asked for at each scrape."""
    HISTOGRAM = "histogram"


@frozen
class Metric:
    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Of a histogram: upper bounds, in the unit that the name ends with."""

    @property
    def exposed(self) -> str:
        """The name that queries use; a histogram's has `_bucket`, `_sum` or `_count` behind it."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


MICRO = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: from an embedded classifier's tens of microseconds to the patience of a model's."""
LONG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds: from a decision to the end of a long answer."""
LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
AGE = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0)
TURNS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0, 144.0, 233.0, 610.0)

# The buckets that OpenTelemetry's conventions ask for.
TOKENS = tuple(float(4**power) for power in range(14))
OPERATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")


def _counter(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, help_text, labels)


def _gauge(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, help_text, labels)


def _histogram(name: str, buckets: tuple[float, ...], help_text: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, help_text, labels, buckets)


PINS = (
    _counter(
        "sidecar_pin_lookups",
        "Looks into the pin table; source is who named the session, none for requests without one.",
        "outcome",
        "source",
    ),
    _counter("sidecar_pins_created", "Sessions pinned to a model.", "model"),
    _counter("sidecar_pins_moved", "Pins that went to another decision.", "reason"),
    _counter("sidecar_pins_removed", "Pins that ended.", "reason"),
    _gauge("sidecar_pins", "Live pins.", "model"),
    _gauge("sidecar_pins_limit", "How many pins may be kept: routing.session_max_entries."),
    _histogram("sidecar_pin_age_seconds", AGE, "How old pins were when they ended or moved."),
    _histogram("sidecar_pin_requests", TURNS, "How many requests sessions had made when their pins ended."),
    _gauge("sidecar_pin_flights_waiting", "Requests that wait for the classification of another of their session."),
    _counter("sidecar_store_operations", "Operations on the pin store.", "store", "operation"),
    _counter("sidecar_store_errors", "Operations on the pin store that failed.", "store", "operation"),
    _histogram(
        "sidecar_store_duration_seconds",
        MICRO,
        "How long operations on a pin store in another process took.",
        "store",
        "operation",
    ),
    _gauge("sidecar_store_up", "1 while the pin store answers; while it does not, this process serves alone.", "store"),
    _counter(
        "sidecar_store_settled",
        "Sessions served without the pin store and settled with it since: kept their model, or changed it.",
        "store",
        "outcome",
    ),
    _counter("sidecar_classifier_calls_saved", "Requests whose pin spared a classification."),
    _counter(
        "sidecar_classifier_seconds_saved",
        "What those classifications would have taken: each counts the mean duration of late.",
    ),
    _counter("sidecar_prompt_tokens", "Prompt tokens, as providers report them.", "model", "pinned"),
    _counter(
        "sidecar_cached_prompt_tokens",
        "Of those, tokens that came from the provider's prompt cache.",
        "model",
        "pinned",
    ),
)

DECISIONS = (
    _counter("sidecar_decisions", "Routing decisions.", "endpoint", "route", "model", "reason"),
    _histogram("sidecar_classifier_duration_seconds", MICRO, "How long verdicts took.", "kind"),
    _counter(
        "sidecar_classifier_verdicts",
        "What the classifier said: match, no_match, or why it said nothing.",
        "kind",
        "outcome",
    ),
    _gauge("sidecar_classifier_circuit", "1 for the state that the classifier's circuit is in.", "kind", "state"),
)

HTTP = (
    _counter("sidecar_http_requests", "Requests answered, by class of status.", "endpoint", "status"),
    _counter(
        "sidecar_caller_requests",
        "Of those, the ones of clients that showed who they are: by the name of their key, or the pattern in client_names.",
        "caller",
        "status",
    ),
    _histogram(
        "sidecar_http_request_duration_seconds",
        LONG,
        "From a request's headers to the end of its answer.",
        "endpoint",
        "status",
    ),
    _gauge("sidecar_http_requests_in_flight", "Requests under way.", "endpoint"),
    _counter("sidecar_http_request_bytes", "Bytes of request bodies, as they came.", "endpoint"),
    _counter("sidecar_http_response_bytes", "Bytes of answers' bodies.", "endpoint"),
    _gauge("sidecar_http_connections", "Open connections of clients."),
    _counter(
        "sidecar_http_limits",
        "How often clients reached a limit of the listener, by its name; answer_timeout: one that took nothing.",
        "limit",
    ),
    _counter("sidecar_errors", "Errors we answered with or were stopped by, by their stable code.", "code"),
)

UPSTREAM = (
    _counter("sidecar_upstream_attempts", "Attempts at providers, by what came of them.", "provider", "outcome"),
    _histogram(
        "sidecar_upstream_duration_seconds",
        LONG,
        "From an attempt to the end of its answer or its failure.",
        "provider",
    ),
    _histogram("sidecar_upstream_first_byte_seconds", LONG, "From an attempt to its answer's first byte.", "provider"),
    _gauge("sidecar_upstream_requests_active", "Requests that a provider is at work on.", "provider"),
    _gauge("sidecar_upstream_requests_pending", "Requests that wait for a place with a provider.", "provider"),
    _gauge("sidecar_upstream_connections", "Open connections to providers.", "state"),
    _gauge("sidecar_upstream_ejected", "1 while a provider is ejected.", "provider"),
    _counter("sidecar_upstream_ejections", "Providers ejected, and back.", "provider", "change"),
    _counter("sidecar_upstream_resets", "Answers that broke off after their first byte.", "provider", "reason"),
    _counter(
        "sidecar_failovers", "Requests whose first attempt failed, and what became of their pin.", "reason", "pin"
    ),
    _counter("sidecar_history_parts_removed", "Parts of a conversation that another provider could not read.", "kind"),
    _counter(
        "sidecar_fields_dropped", "Fields of requests that the provider's format has no place for.", "source", "target"
    ),
)

TOKENS_AND_TIMES = (
    _histogram(
        "gen_ai_client_token_usage",
        TOKENS,
        "Tokens of a request (input) and of its answer (output), as the provider reports them.",
        *GEN_AI,
        "gen_ai_token_type",
    ),
    _histogram(
        "gen_ai_client_operation_duration_seconds",
        OPERATION,
        "How long a model's whole answer took, with every attempt at it.",
        *GEN_AI,
        "error_type",
    ),
    _histogram(
        "gen_ai_server_time_to_first_token_seconds",
        FIRST_TOKEN,
        "From an attempt to the first bytes of the stream it brought.",
        *GEN_AI,
    ),
    _histogram(
        "gen_ai_server_time_per_output_token_seconds",
        PER_TOKEN,
        "Of a stream, the mean time from one token to the next, the first left out.",
        *GEN_AI,
    ),
)

ITSELF = (
    _histogram(
        "sidecar_added_latency_seconds",
        MICRO,
        "What we took ourselves: a request's time less waiting for providers and for the client.",
        "endpoint",
    ),
    _histogram("sidecar_event_loop_lag_seconds", LAG, "How late the event loop was, looked at twice a second."),
    _gauge("sidecar_build_info", "Always 1; the label says which version runs.", "version"),
    _gauge("sidecar_ready", "1 while requests are served, 0 while starting, draining or failed by an operator."),
    _gauge("sidecar_config_generation", "Which configuration is in force: 1 is the one read at the start."),
    _gauge("sidecar_config_last_reload_successful", "Whether the last configuration that was read is in force."),
    _gauge("sidecar_config_last_reload_timestamp_seconds", "When the configuration in force was read."),
    _counter("sidecar_config_reloads", "Configurations read after the first.", "outcome"),
    _counter(
        "sidecar_worker_restarts", "Workers that ended before their time, each in whose place another was started."
    ),
    _counter("sidecar_telemetry_dropped", "Lines or spans that could not be written in time.", "signal"),
)

METRICS = (*PINS, *DECISIONS, *HTTP, *UPSTREAM, *TOKENS_AND_TIMES, *ITSELF)

"""Traffic and providers: what clients ask, who answers, and what goes wrong on the way."""

from boards.board import Board, Row
from boards.panel import BAD, BUSY, GOOD, ODD, QUIET, WATCH, Query, lines, quantiles, rising, stat
from boards.promql import increase, mean, quantile, rate, series, share, total
from boards.providers import PROVIDERS

REQUESTS = "sidecar_http_requests_total"
SERVED = 'endpoint!="/healthz"'
FORWARDED = 'endpoint=~"/v1/.*"'
"""Requests that providers answer; those below /routing/v1 are answered here."""
STATUSES = {"2xx": GOOD, "3xx": BUSY, "4xx": WATCH, "5xx": BAD}

_GLANCE = Row(
    "At a glance",
    (
        stat(
            "Requests",
            "Requests of clients per second, health checks left out. Falls to nothing: see 'Ready' in 'The sidecar "
            "itself', then what is before us.",
            total(rate(REQUESTS, SERVED)),
            unit="reqps",
        ),
        stat(
            "Answered with 5xx",
            "Share of requests that ended in an error of ours or of a provider. See 'Errors by code' for whose it is.",
            share(total(rate(REQUESTS, SERVED, 'status="5xx"')), total(rate(REQUESTS, SERVED))),
            unit="percentunit",
            steps=rising(0.01, 0.05),
        ),
        stat(
            "In flight",
            "Requests that are being answered now. It grows with slow providers; see 'Active' and 'Waiting' below.",
            total(series("sidecar_http_requests_in_flight")),
            unit="short",
        ),
        stat(
            "Failovers",
            "Share of forwarded requests whose first attempt failed and that another took over. See which provider in "
            "'Failed attempts by provider'.",
            share(total(rate("sidecar_failovers_total")), total(rate(REQUESTS, FORWARDED))),
            unit="percentunit",
            steps=rising(0.02, 0.1),
        ),
        stat(
            "Providers ejected",
            "Providers that are left alone because they kept failing, in the sidecar that has most of them. `sidecar "
            "doctor` and `/clusters` say why and for how long.",
            f"max({total(series('sidecar_upstream_ejected'), 'pod', 'instance')})",
            unit="short",
            steps=((None, GOOD), (1, BAD)),
        ),
        stat(
            "Tokens",
            "Tokens in and out over the time shown, as providers reported them.",
            total(increase("gen_ai_client_token_usage_sum")),
            unit="short",
        ),
    ),
)

_CLIENTS = Row(
    "Clients",
    (
        lines(
            "Requests by endpoint",
            "What is asked. /routing/v1 is answered here, /v1 by providers; `/v1/*` is what has no name of its own.",
            Query(total(rate(REQUESTS), "endpoint"), "{{endpoint}}"),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Requests by status",
            "4xx is the client's mistake (or its hang-up, 499), 5xx ours or a provider's. Both are named in 'Errors by "
            "code'.",
            Query(total(rate(REQUESTS), "status"), "{{status}}"),
            unit="reqps",
            stacked=True,
            colours=STATUSES,
        ),
        lines(
            "Errors by code",
            "Errors that we answered with. upstream_*: a provider, see below. invalid_*: a client. overloaded: raise "
            "circuit_breakers or add replicas. client_gone: clients do not wait, see durations.",
            Query(total(rate("sidecar_errors_total"), "code"), "{{code}}"),
            unit="reqps",
            stacked=True,
        ),
        quantiles(
            "Duration",
            "From a request's headers to the end of its answer, streams included. Long is usual for models; what we "
            "add stands in 'The sidecar itself'.",
            "sidecar_http_request_duration_seconds",
        ),
        lines(
            "Duration by endpoint, p95",
            "Which kind is slow. /routing/v1: the classifier. /v1: a provider, see 'First byte by provider'.",
            Query(quantile(0.95, "sidecar_http_request_duration_seconds", "endpoint"), "{{endpoint}}"),
            unit="s",
        ),
        lines(
            "In flight by endpoint",
            "Requests that are being answered. A steady climb: providers hang, or clients forget to read.",
            Query(total(series("sidecar_http_requests_in_flight"), "endpoint"), "{{endpoint}}"),
            unit="short",
            stacked=True,
        ),
    ),
)

_MODEL = "gen_ai_request_model"
_LEGEND = "{{gen_ai_request_model}}"

_MODELS = Row(
    "Models and tokens",
    (
        lines(
            "Tokens by model",
            "What is paid for, as providers report it. A model that nobody meant to use: see 'Decisions by reason'.",
            Query(
                total(rate("gen_ai_client_token_usage_sum"), _MODEL, "gen_ai_token_type"),
                f"{_LEGEND} {{{{gen_ai_token_type}}}}",
            ),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Tokens per request",
            "The mean. Input that grows all day: conversations are never cut. Output at a round number: max_tokens "
            "ends the answers.",
            Query(mean("gen_ai_client_token_usage", "gen_ai_token_type"), "{{gen_ai_token_type}}"),
            unit="short",
            colours={"input": BUSY, "output": GOOD},
        ),
        lines(
            "Time to first token, p95",
            "What a person waits before words appear, by model. Of streams only.",
            Query(quantile(0.95, "gen_ai_server_time_to_first_token_seconds", _MODEL), _LEGEND),
            unit="s",
        ),
        lines(
            "Time per output token, p95",
            "How fast words come once they do; 0.05 s is about as fast as people read. Rising: the provider is busy.",
            Query(quantile(0.95, "gen_ai_server_time_per_output_token_seconds", _MODEL), _LEGEND),
            unit="s",
        ),
        lines(
            "Operations, p95",
            "From the call of a model to the end of its answer, by kind and model.",
            Query(
                quantile(0.95, "gen_ai_client_operation_duration_seconds", "gen_ai_operation_name", _MODEL),
                f"{{{{gen_ai_operation_name}}}} {_LEGEND}",
            ),
            unit="s",
        ),
        lines(
            "Failed operations by model",
            "Share that ended in an error, after all failovers. See 'Attempts by outcome' for what failed.",
            Query(
                share(
                    total(rate("gen_ai_client_operation_duration_seconds_count", 'error_type!=""'), _MODEL),
                    total(rate("gen_ai_client_operation_duration_seconds_count"), _MODEL),
                ),
                _LEGEND,
            ),
            unit="percentunit",
            most=1,
            limits=rising(0.01, 0.05),
        ),
        lines(
            "Decisions by route",
            "What the work was found to be; none: no route. All none: give the routes descriptions and examples.",
            Query(total(rate("sidecar_decisions_total"), "route"), "{{route}}"),
            unit="reqps",
            stacked=True,
            colours={"none": QUIET},
        ),
        lines(
            "Decisions by model",
            "Who was chosen. Compare with 'Attempts by provider': the difference is failover.",
            Query(total(rate("sidecar_decisions_total"), "model"), "{{model}}"),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Decisions by reason",
            "Why. pinned and routed are the rule. classifier_*: the classifier fails and requests go to their own "
            "model or the default. not_applied: routing.apply_to leaves the model alone.",
            Query(total(rate("sidecar_decisions_total"), "reason"), "{{reason}}"),
            unit="reqps",
            stacked=True,
            colours={
                "pinned": GOOD,
                "routed": BUSY,
                "no_match": QUIET,
                "model_gone": WATCH,
                "prefix_changed": "dark-orange",
                "failover": "orange",
                "classifier_error": BAD,
                "classifier_timeout": "dark-red",
                "classifier_open": "light-red",
                "not_applied": ODD,
            },
        ),
    ),
)

BOARD = Board(
    "llm-sidecar-traffic",
    "LLM sidecar: traffic and providers",
    "What clients ask, who answers, and what goes wrong on the way.",
    (_GLANCE, _CLIENTS, PROVIDERS, _MODELS),
)

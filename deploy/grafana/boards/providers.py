"""Providers: who is asked, who answers, who fails, and what is done about it."""

from boards.board import Row
from boards.panel import BAD, BUSY, GOOD, QUIET, WATCH, Query, heatmap, lines, rising, states
from boards.promql import quantile, rate, series, share, total

ATTEMPTS = "sidecar_upstream_attempts_total"
FAILED = 'outcome!~"answered|abandoned|refused|not_portable|overflow"'
"""abandoned is the client's doing, refused its mistake; what is not portable or over our limits was never sent."""
OUTCOMES = {"answered": GOOD, "abandoned": QUIET, "refused": BUSY, "rate_limited": WATCH, "server_error": BAD}

PROVIDERS = Row(
    "Providers",
    (
        lines(
            "Attempts by outcome",
            "What came of turning to a provider. key_refused, key_missing, quota: look at the keys. rate_limited: "
            "spread the load. connect, dns, tls: the network. timeout: slow. refused: the client's mistake.",
            Query(total(rate(ATTEMPTS), "outcome"), "{{outcome}}"),
            unit="reqps",
            stacked=True,
            colours=OUTCOMES,
        ),
        lines(
            "Attempts by provider",
            "Who is asked. A provider that is asked no more was ejected or is in no route any longer.",
            Query(total(rate(ATTEMPTS), "provider"), "{{provider}}"),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Failed attempts by provider",
            "Share of attempts that failed by the provider's fault or the network's. One provider: its status page. "
            "All at once: our network.",
            Query(share(total(rate(ATTEMPTS, FAILED), "provider"), total(rate(ATTEMPTS), "provider")), "{{provider}}"),
            unit="percentunit",
            most=1,
            limits=rising(0.05, 0.2),
        ),
        lines(
            "First byte by provider",
            "From the start of an attempt to the first byte of its answer. Rising for one provider: it is busy; "
            "change the order of the route's models if it stays so.",
            Query(quantile(0.5, "sidecar_upstream_first_byte_seconds", "provider"), "{{provider}} p50"),
            Query(quantile(0.95, "sidecar_upstream_first_byte_seconds", "provider"), "{{provider}} p95"),
            unit="s",
        ),
        lines(
            "Attempt by provider",
            "From the start of an attempt to the end of its answer, or its failure. At the height of a timeout: the "
            "provider hangs.",
            Query(quantile(0.5, "sidecar_upstream_duration_seconds", "provider"), "{{provider}} p50"),
            Query(quantile(0.95, "sidecar_upstream_duration_seconds", "provider"), "{{provider}} p95"),
            unit="s",
        ),
        heatmap(
            "First byte, spread",
            "All providers together. Two bands are two kinds of model; a band at the top is a timeout.",
            "sidecar_upstream_first_byte_seconds",
            unit="s",
            width=8,
        ),
        lines(
            "Failovers by reason",
            "Requests whose first attempt failed, by what failed. The client was answered if another candidate could.",
            Query(total(rate("sidecar_failovers_total"), "reason"), "{{reason}}"),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Failovers and pins",
            "kept: the session returns to its model with its next request. moved: it has a new one for good, because "
            "the old one failed for good or again and again.",
            Query(total(rate("sidecar_failovers_total"), "pin"), "{{pin}}"),
            unit="reqps",
            stacked=True,
            colours={"kept": GOOD, "moved": WATCH},
        ),
        lines(
            "Answers broken off",
            "Answers that a provider cut (upstream_reset) or fell silent in (upstream_timeout) after the first byte. "
            "Clients saw an error in mid-answer. One provider: report it; all: look at proxies and NAT between.",
            Query(total(rate("sidecar_upstream_resets_total"), "provider", "reason"), "{{provider}} {{reason}}"),
            unit="reqps",
            limits=((None, GOOD), (0.01, WATCH)),
        ),
        states(
            "Ejected providers",
            "Red: left alone because it kept failing. It is tried again after a while, longer each time. `/clusters` "
            "on the admin port has its last error.",
            Query(
                f"max by (provider, pod, instance) ({series('sidecar_upstream_ejected')})",
                "{{provider}} {{pod}} {{instance}}",
            ),
            {0: ("in use", GOOD), 1: ("ejected", BAD)},
        ),
        lines(
            "Ejections and returns",
            "A provider that is ejected and returns again and again is on the edge: take it out of the routes, or "
            "raise outlier_detection.consecutive_5xx if its errors do not matter.",
            Query(total(rate("sidecar_upstream_ejections_total"), "provider", "change"), "{{provider}} {{change}}"),
            unit="cps",
            width=12,
        ),
        lines(
            "Connections to providers",
            "Open connections, in use and kept for later. Active near circuit_breakers.max_connections: raise it.",
            Query(total(series("sidecar_upstream_connections"), "state"), "{{state}}"),
            unit="short",
            stacked=True,
            colours={"active": BUSY, "idle": QUIET},
        ),
        lines(
            "Active",
            "Requests under way at each provider. Near circuit_breakers.max_requests: raise it, or the next ones are "
            "answered 503 overloaded.",
            Query(total(series("sidecar_upstream_requests_active"), "provider"), "{{provider}}"),
            unit="short",
        ),
        lines(
            "Waiting",
            "Requests that wait for a connection. More than none for long: raise circuit_breakers.max_connections.",
            Query(total(series("sidecar_upstream_requests_pending"), "provider"), "{{provider}}"),
            unit="short",
            limits=((None, GOOD), (1, WATCH)),
        ),
        lines(
            "Removed from conversations",
            "Parts of a history that the answering provider could not read, such as another's thinking. Many: sessions "
            "change provider too often, see 'Moves by reason' in 'Session pins'.",
            Query(total(rate("sidecar_history_parts_removed_total"), "kind"), "{{kind}}"),
            unit="cps",
            width=12,
        ),
        lines(
            "Dropped in translation",
            "Fields of requests that the provider's format has no place for. Fields that would change the answer are "
            "refused, so these are hints only; a jump is a client that began to use a new feature.",
            Query(total(rate("sidecar_fields_dropped_total"), "source", "target"), "{{source}} to {{target}}"),
            unit="cps",
            width=12,
        ),
    ),
)

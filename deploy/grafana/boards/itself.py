"""The sidecar itself: what it adds to every request, and whether it is well."""

from boards.board import Board, Row
from boards.panel import BAD, BUSY, GOOD, WATCH, Query, heatmap, lines, quantiles, rising, stat, states, table
from boards.promql import INSTANCE, INSTANCE_LEGEND, increase, quantile, rate, series, share, total

ADDED = "sidecar_added_latency_seconds"
VERDICTS = "sidecar_classifier_verdicts_total"
FAILED_OPEN = 'outcome=~"classifier_.*"'

_GLANCE = Row(
    "At a glance",
    (
        stat(
            "Ready",
            "Sidecars that serve. Fewer than there should be: `/ready` says starting or draining; a dead one is "
            "missing here and in the panel below.",
            total(series("sidecar_ready")),
            unit="short",
            steps=((None, BAD), (1, GOOD)),
        ),
        stat(
            "Added latency, p99",
            "What the sidecar itself takes of a request: all time that is neither the provider's nor the client's. "
            "Above 50 ms: see event-loop lag, classifier and CPU below.",
            quantile(0.99, ADDED),
            unit="s",
            steps=rising(0.025, 0.1),
        ),
        stat(
            "Event-loop lag, p99",
            "How late the one loop that does all the work is. It is in every request's time: above 50 ms something "
            "blocks it, or the CPU is used up.",
            quantile(0.99, "sidecar_event_loop_lag_seconds"),
            unit="s",
            steps=rising(0.05, 0.1),
        ),
        stat(
            "Failing open",
            "Share of classifications that gave no verdict, so that the request went to its own model or the default. "
            "See 'Verdicts'.",
            share(total(rate(VERDICTS, FAILED_OPEN)), total(rate(VERDICTS))),
            unit="percentunit",
            steps=rising(0.01, 0.1),
        ),
        stat(
            "Reloads that failed",
            "Sidecars whose last reload was refused; they go on with the configuration they had. `sidecar check` on "
            "the file names every mistake.",
            f"count({series('sidecar_config_last_reload_successful')} == 0) or "
            f"0 * {total(series('sidecar_config_last_reload_successful'))}",
            unit="short",
            steps=((None, GOOD), (1, BAD)),
        ),
        stat(
            "Telemetry dropped",
            "Access-log lines and spans that were thrown away over the time shown, because their receiver was too slow "
            "or gone. Requests never wait for it. Look at the disk, or at tracing.endpoint.",
            total(increase("sidecar_telemetry_dropped_total")),
            unit="short",
            steps=((None, GOOD), (1, WATCH)),
        ),
    ),
)

_LATENCY = Row(
    "What it adds",
    (
        quantiles(
            "Added latency",
            "All requests: reading, deciding, translating, waiting for the loop. p50 up: the classifier. Only p99 up: "
            "event-loop lag, or large bodies.",
            ADDED,
        ),
        lines(
            "Added latency by endpoint, p99",
            "Which kind of request. Those below /routing/v1 have the classifier in them and little else.",
            Query(quantile(0.99, ADDED, "endpoint"), "{{endpoint}}"),
            unit="s",
        ),
        heatmap(
            "Added latency, spread",
            "Two bands: pinned requests below, classified ones above. The upper one climbs: the classifier. Both do: "
            "event-loop lag.",
            ADDED,
            unit="s",
            width=8,
        ),
        quantiles(
            "Event-loop lag",
            "How much later than asked for the loop wakes up. A sawtooth is garbage collection; a plateau is a CPU "
            "that is used up: add replicas or raise its limit.",
            "sidecar_event_loop_lag_seconds",
        ),
        lines(
            "Event-loop lag by sidecar, p99",
            "One of them only: it gets more than its share of the traffic, or its neighbours on the node are busy.",
            Query(quantile(0.99, "sidecar_event_loop_lag_seconds", *INSTANCE), INSTANCE_LEGEND),
            unit="s",
            limits=rising(0.05, 0.1),
        ),
        lines(
            "Client connections",
            "Open connections of clients. A steady climb at level traffic: clients do not reuse or do not close them.",
            Query(total(series("sidecar_http_connections"), *INSTANCE), INSTANCE_LEGEND),
            unit="short",
        ),
        lines(
            "Requests by caller",
            "Of clients that show a key or a certificate, by its name or pattern. Refused: `invalid_api_key` among the errors.",
            Query(total(rate("sidecar_caller_requests_total"), "caller"), "{{caller}}"),
            unit="reqps",
        ),
        lines(
            "Limits of the listener reached",
            "By their names under `limits`; answer_timeout: clients that take nothing. max_connections, max_requests: "
            "more replicas, or more room. The timeouts: slow clients, or somebody who means harm.",
            Query(total(rate("sidecar_http_limits_total"), "limit"), "{{limit}}"),
            unit="cps",
        ),
    ),
)

_CLASSIFIER = Row(
    "Classifier",
    (
        lines(
            "Duration by kind",
            "How long a verdict takes. embedded: well under a millisecond. llm, embeddings: their endpoint's answer; "
            "at routing.classifier.timeout it is given up.",
            Query(quantile(0.5, "sidecar_classifier_duration_seconds", "kind"), "{{kind}} p50"),
            Query(quantile(0.99, "sidecar_classifier_duration_seconds", "kind"), "{{kind}} p99"),
            unit="s",
        ),
        lines(
            "Verdicts",
            "match: a route. no_match: none fits. classifier_error, _timeout: it failed. classifier_open: it failed "
            "too often and is left alone. The log names the cause.",
            Query(total(rate(VERDICTS), "kind", "outcome"), "{{kind}} {{outcome}}"),
            unit="reqps",
            stacked=True,
        ),
        states(
            "Circuit",
            "Open: the classifier kept failing and is not asked until routing.classifier.breaker.cooldown_seconds are "
            "over. Its endpoint is down or too slow.",
            # One number for the one state of three that is true.
            Query(
                "max by (kind, pod, instance) ("
                + " or ".join(
                    f"{value} * ({series('sidecar_classifier_circuit', matcher)} == 1)"
                    for value, matcher in enumerate(('state="closed"', 'state="half_open"', 'state="open"'))
                )
                + ")",
                "{{kind}} {{pod}} {{instance}}",
            ),
            {0: ("closed", GOOD), 1: ("half open", WATCH), 2: ("open", BAD)},
            width=8,
        ),
    ),
)

_PROCESS = Row(
    "Process",
    (
        lines(
            "CPU",
            "Cores in use. One sidecar uses one core at most: near 1 it is full, add replicas.",
            Query(total(rate("process_cpu_seconds_total"), *INSTANCE), INSTANCE_LEGEND),
            unit="none",
            limits=rising(0.7, 0.9),
        ),
        lines(
            "Memory",
            "Resident memory. Grows with pins (half a kilobyte each) and large bodies under way; a climb that never "
            "ends is a leak: keep what `/memory` says and report it.",
            Query(total(series("process_resident_memory_bytes"), *INSTANCE), INSTANCE_LEGEND),
            unit="bytes",
        ),
        lines(
            "Open files",
            "File descriptors against their limit; each connection is one. Over 80 %: raise the limit (ulimit -n).",
            Query(
                f"{total(series('process_open_fds'), *INSTANCE)} / {total(series('process_max_fds'), *INSTANCE)}",
                INSTANCE_LEGEND,
            ),
            unit="percentunit",
            most=1,
            limits=rising(0.8, 0.95),
        ),
        lines(
            "Garbage collections",
            "By generation. Each of generation 2 stops the loop for a moment: more than a few a minute show in "
            "event-loop lag.",
            Query(total(rate("python_gc_collections_total"), "generation"), "generation {{generation}}"),
            unit="cps",
        ),
        lines(
            "Garbage",
            "Objects that only the collector could free. Uncollectable ones are a leak.",
            Query(total(rate("python_gc_objects_collected_total")), "collected"),
            Query(total(rate("python_gc_objects_uncollectable_total")), "uncollectable"),
            unit="cps",
            colours={"collected": BUSY, "uncollectable": BAD},
        ),
        lines(
            "Worker restarts",
            "With `workers` above 1: processes that ended before their time and were started again. Each took its "
            "connections with it. The log says how it ended; SIGKILL is mostly the memory limit.",
            Query(total(increase("sidecar_worker_restarts_total"), *INSTANCE), INSTANCE_LEGEND),
            unit="short",
            limits=((None, GOOD), (1, WATCH)),
        ),
        lines(
            "Uptime",
            "Since the process began. A line that keeps falling to zero is a crash loop: see the end of the log.",
            Query(f"time() - {series('process_start_time_seconds')}", INSTANCE_LEGEND),
            unit="s",
        ),
    ),
)

_RELOADS = Row(
    "Configuration, versions, bytes",
    (
        states(
            "Ready",
            "Green: serving. Yellow: starting or draining. A gap: not scraped, so down or not reachable.",
            Query(f"max by (pod, instance) ({series('sidecar_ready')})", INSTANCE_LEGEND),
            {0: ("not ready", WATCH), 1: ("serving", GOOD)},
            width=8,
        ),
        lines(
            "Configuration generation",
            "1 at the start, one more with each reload that worked. Replicas that run level have read the same number "
            "of files; one that stays behind refused its file, see `sidecar check`.",
            Query(f"max by (pod, instance) ({series('sidecar_config_generation')})", INSTANCE_LEGEND),
            unit="none",
        ),
        lines(
            "Reloads",
            "By outcome. failure: the file has a mistake, and the configuration before it goes on.",
            Query(total(rate("sidecar_config_reloads_total"), "outcome"), "{{outcome}}"),
            unit="cps",
            colours={"success": GOOD, "failure": BAD},
        ),
        lines(
            "Since the last reload",
            "How old the configuration in use is. Older than your last change: the reload did not happen or failed.",
            Query(
                f"time() - max by (pod, instance) ({series('sidecar_config_last_reload_timestamp_seconds')})",
                INSTANCE_LEGEND,
            ),
            unit="s",
        ),
        table(
            "Versions",
            "Which version runs where. Two for longer than a rollout takes: it is stuck.",
            f"count by (version, pod, instance) ({series('sidecar_build_info')})",
            {"version": "Version", "pod": "Pod", "instance": "Instance"},
        ),
        lines(
            "Telemetry dropped",
            "Log lines and spans thrown away, by kind. access_log: the disk is slow or full. span: the receiver at "
            "tracing.endpoint is slow or gone.",
            Query(total(rate("sidecar_telemetry_dropped_total"), "signal"), "{{signal}}"),
            unit="cps",
            limits=((None, GOOD), (0.001, WATCH)),
        ),
        lines(
            "Request bytes",
            "Bodies of clients, by endpoint. A jump: longer conversations, or images.",
            Query(total(rate("sidecar_http_request_bytes_total"), "endpoint"), "{{endpoint}}"),
            unit="Bps",
            width=12,
            stacked=True,
        ),
        lines(
            "Response bytes",
            "What clients got, by endpoint. Falls while requests do not: short errors, see 'Traffic and providers'.",
            Query(total(rate("sidecar_http_response_bytes_total"), "endpoint"), "{{endpoint}}"),
            unit="Bps",
            width=12,
            stacked=True,
        ),
    ),
)

BOARD = Board(
    "llm-sidecar-itself",
    "LLM sidecar: the sidecar itself",
    "What it adds to every request, and whether it is well.",
    (_GLANCE, _LATENCY, _CLASSIFIER, _PROCESS, _RELOADS),
)

"""The life of pins: where they are made, why they move, how they end, and how old they get."""

from boards.board import Row
from boards.panel import BAD, BUSY, GOOD, ODD, QUIET, WATCH, Query, falling, heatmap, lines, quantiles, rising
from boards.promql import INSTANCE, INSTANCE_LEGEND, mean, rate, series, total

LIFE = Row(
    "Life of pins",
    (
        lines(
            "Created, moved, removed",
            "Created and removed run level when the number of sessions does. More moves than creations: sessions are "
            "losing their model, see 'Moves by reason'.",
            Query(total(rate("sidecar_pins_created_total")), "created"),
            Query(total(rate("sidecar_pins_moved_total")), "moved"),
            Query(total(rate("sidecar_pins_removed_total")), "removed"),
            unit="cps",
            colours={"created": GOOD, "moved": WATCH, "removed": QUIET},
        ),
        lines(
            "Live pins by model",
            "Which models sessions hold on to. A model that loses all of them at once was removed from the "
            "configuration, ejected, or emptied with `sidecar pins move`.",
            Query(total(series("sidecar_pins"), "model"), "{{model}}"),
            unit="short",
            stacked=True,
        ),
        lines(
            "Table fill",
            "Live pins against routing.session_max_entries. Over 80 % for long: raise it (a pin takes less than "
            "half a kilobyte) before sessions are pushed out.",
            Query(
                f"{total(series('sidecar_pins'), *INSTANCE)} / {total(series('sidecar_pins_limit'), *INSTANCE)}",
                INSTANCE_LEGEND,
            ),
            unit="percentunit",
            most=1,
            limits=rising(0.8, 0.95),
        ),
        lines(
            "Created by model",
            "Where new sessions go. One model gets all: the classifier finds no other route, try prompts with "
            "`sidecar route`.",
            Query(total(rate("sidecar_pins_created_total"), "model"), "{{model}}"),
            unit="cps",
            stacked=True,
        ),
        lines(
            "Moves by reason",
            "Sessions that changed their model. provider_ejected, terminal_error: a provider fails, see 'Traffic and "
            "providers'. model_gone: the configuration lost a model. refresh, operator: somebody asked for it. "
            "turn: the user said something new (route_on_user_only).",
            Query(total(rate("sidecar_pins_moved_total"), "reason"), "{{reason}}"),
            unit="cps",
            stacked=True,
            colours={
                "refresh": ODD,
                "turn": "semi-dark-blue",
                "operator": BUSY,
                "model_gone": WATCH,
                "provider_ejected": BAD,
                "terminal_error": "dark-red",
            },
        ),
        lines(
            "Removals by reason",
            "expired: the session was silent for longer than session_ttl_seconds, which is how pins should end. "
            "evicted: the table was full, raise session_max_entries. deleted: somebody asked for it.",
            Query(total(rate("sidecar_pins_removed_total"), "reason"), "{{reason}}"),
            unit="cps",
            stacked=True,
            colours={"expired": GOOD, "evicted": BAD, "deleted": BUSY},
        ),
        quantiles(
            "Age at the end",
            "How old pins are when they are removed or moved. Much younger than session_ttl_seconds: they are evicted "
            "or moved, not expired; see the two panels beside.",
            "sidecar_pin_age_seconds",
        ),
        quantiles(
            "Requests per session",
            "Requests a session made until its pin ended. A median of 1: ids are not reused, so pins cannot help.",
            "sidecar_pin_requests",
            unit="short",
        ),
        lines(
            "Requests per session, mean",
            "With a mean of n, a hit rate of (n-1)/n is all there can be. Falls to 1: the client makes a new id for "
            "every request.",
            Query(mean("sidecar_pin_requests"), "mean"),
            unit="short",
            limits=falling(1.5, 2),
        ),
        heatmap(
            "Ages at the end",
            "The same ages, spread out. A band at session_ttl_seconds is what expiry looks like; one far below it is "
            "eviction or moves.",
            "sidecar_pin_age_seconds",
            unit="s",
        ),
        heatmap(
            "Requests per session, spread",
            "Two bands are two kinds of client. A band at 1 beside a healthy one: look for the client whose ids change "
            "with `sidecar pins list`.",
            "sidecar_pin_requests",
            unit="short",
        ),
    ),
)

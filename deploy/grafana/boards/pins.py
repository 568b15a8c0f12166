"""Session pins: do sessions keep their model, and if not, why not."""

from boards.board import Board, Row
from boards.life import LIFE
from boards.panel import BAD, BUSY, GOOD, ODD, QUIET, WATCH, Query, falling, lines, rising, stat
from boards.promql import INSTANCE, INSTANCE_LEGEND, increase, quantile, rate, series, share, total

LOOKUPS = "sidecar_pin_lookups_total"
HIT = 'outcome="hit"'
COUNTED = 'outcome=~"hit|miss|expired|model_gone|prefix_changed"'
"""The lookups that a pin could have answered: not those without a session or with a refused one, nor those that asked
for no pin."""

OUTCOMES = {
    "hit": GOOD,
    "miss": BUSY,
    "expired": WATCH,
    "invalid": "orange",
    "model_gone": BAD,
    "prefix_changed": "dark-orange",
    "turn": "semi-dark-blue",
    "side_call": "light-blue",
    "released": "dark-purple",
    "bypass": ODD,
    "refresh": "light-purple",
    "none": QUIET,
}

_GLANCE = Row(
    "At a glance, over the time shown",
    (
        stat(
            "Hit rate",
            "Of the lookups that a pin could have answered, the share that one did. A session of n requests can hit "
            "n-1 times: 80 % is all there is at five requests a session. Lower than usual: see which outcome grew in "
            "'Lookups by outcome', then ask `sidecar doctor`.",
            share(total(increase(LOOKUPS, HIT)), total(increase(LOOKUPS, COUNTED))),
            unit="percentunit",
            steps=falling(0.2, 0.5),
        ),
        stat(
            "Live pins",
            "Sessions that have a model now. A sudden drop is a restart (the memory store starts empty) or an import "
            "that replaced them; compare with 'Created, moved, removed'.",
            total(series("sidecar_pins")),
            unit="short",
        ),
        stat(
            "Fullest table",
            "Pins against routing.session_max_entries, in the fullest sidecar. At 100 % every new session pushes out "
            "the one that was silent longest: raise the limit, or lower session_ttl_seconds.",
            f"max({total(series('sidecar_pins'), *INSTANCE)} / {total(series('sidecar_pins_limit'), *INSTANCE)})",
            unit="percentunit",
            steps=rising(0.8, 0.95),
        ),
        stat(
            "Classifications spared",
            "Hits that needed no classifier. It follows the hit rate.",
            total(increase("sidecar_classifier_calls_saved_total")),
            unit="short",
        ),
        stat(
            "Waiting spared",
            "Seconds of classification that hits did not wait for: each counts the running mean of a classification.",
            total(increase("sidecar_classifier_seconds_saved_total")),
            unit="s",
        ),
        stat(
            "Without a session",
            "Share of lookups of requests that named no session: they are routed anew every time. Near 100 %: clients "
            "send no X-Session-Id, or a proxy before us drops it. `sidecar doctor` says who names sessions.",
            share(total(increase(LOOKUPS, 'source="none"')), total(increase(LOOKUPS))),
            unit="percentunit",
            steps=rising(0.5, 0.95),
        ),
    ),
)

_HITS = Row(
    "Hit rate",
    (
        lines(
            "Hit rate",
            "Hits among the lookups that a pin could have answered; nothing is drawn while there are none. A step down "
            "after a deployment: pins were lost with the process. A slow fall: sessions got shorter, or pins expire "
            "between requests (raise session_ttl_seconds).",
            Query(share(total(rate(LOOKUPS, HIT)), total(rate(LOOKUPS, COUNTED))), "all"),
            Query(
                share(total(rate(LOOKUPS, HIT), *INSTANCE), total(rate(LOOKUPS, COUNTED), *INSTANCE)), INSTANCE_LEGEND
            ),
            unit="percentunit",
            width=12,
            most=1,
            limits=falling(0.2, 0.5),
            colours={"all": GOOD},
        ),
        lines(
            "Hit rate by who named the session",
            "The same for each header that names sessions. One source near 0 while others are fine: that client makes "
            "a new id for every request. Look at its sessions with `sidecar pins list`.",
            Query(share(total(rate(LOOKUPS, HIT), "source"), total(rate(LOOKUPS, COUNTED), "source")), "{{source}}"),
            unit="percentunit",
            width=12,
            most=1,
            limits=falling(0.2, 0.5),
        ),
        lines(
            "Lookups by outcome",
            "Every look into the pin table. expired: the session came back too late. model_gone: its model is no "
            "longer configured. prefix_changed: a conversation that nobody named has another system prompt or tools now. "
            "invalid: the session id was refused. turn: the user said something new (route_on_user_only). side_call: a "
            "client's own call, a title say, which leaves the pin alone. bypass, refresh, released: the client asked "
            "for it. none: no session.",
            Query(total(rate(LOOKUPS), "outcome"), "{{outcome}}"),
            unit="reqps",
            width=12,
            stacked=True,
            colours=OUTCOMES,
        ),
        lines(
            "Lookups by who named the session",
            "Which header named the session; none: there was none. A source that vanishes is a client that changed, or "
            "a proxy that began to drop its header.",
            Query(total(rate(LOOKUPS), "source"), "{{source}}"),
            unit="reqps",
            width=12,
            stacked=True,
            colours={"none": QUIET},
        ),
        lines(
            "Kept when it came back",
            "Of the requests of sessions that had a pin, the share that still found it. It does not depend on how long "
            "sessions are, so it should stay near 100 %. Lower: expired or model_gone grew, see 'Lookups by outcome'.",
            Query(
                share(
                    total(rate(LOOKUPS, HIT)), total(rate(LOOKUPS, 'outcome=~"hit|expired|model_gone|prefix_changed"'))
                ),
                "kept",
            ),
            unit="percentunit",
            most=1,
            limits=falling(0.8, 0.95),
            colours={"kept": GOOD},
        ),
        lines(
            "Share without a session",
            "Requests that named no session, among all. They cost a classification each, and change models in "
            "mid-work. Rising: find the client whose header got lost.",
            Query(share(total(rate(LOOKUPS, 'source="none"')), total(rate(LOOKUPS))), "without a session"),
            unit="percentunit",
            most=1,
            limits=rising(0.5, 0.95),
            colours={"without a session": QUIET},
        ),
        lines(
            "Waiting for another's classification",
            "Requests of a new session that wait for the one that is being classified. More than a few for longer than "
            "a moment: the classifier is slow, see 'The sidecar itself'.",
            Query(total(series("sidecar_pin_flights_waiting"), *INSTANCE), INSTANCE_LEGEND),
            unit="short",
        ),
    ),
)

PROMPT, CACHED = "sidecar_prompt_tokens_total", "sidecar_cached_prompt_tokens_total"
_PINNED = {"pinned": GOOD, "not pinned": QUIET}
_KINDS = (("true", "pinned"), ("false", "not pinned"))

_SPARED = Row(
    "What pins spare",
    (
        lines(
            "Classifications spared",
            "Hits that needed no classifier, per second. It follows the hits; if it does not, the classifier is "
            "asked for pinned sessions, and that is a bug.",
            Query(total(rate("sidecar_classifier_calls_saved_total")), "spared"),
            unit="cps",
            colours={"spared": GOOD},
        ),
        lines(
            "Waiting spared",
            "Seconds of classification that hits did not wait for, in each second. Large with an `llm` classifier, "
            "next to nothing with the embedded one.",
            Query(total(rate("sidecar_classifier_seconds_saved_total")), "spared"),
            unit="s",
            colours={"spared": GOOD},
        ),
        lines(
            "Prompt cache, pinned and not",
            "Share of the prompt tokens that providers read from their cache, as they report it. Pinned should lie "
            "above: a session that stays with its model meets its own cache. If not, prompts change at their start.",
            *(
                Query(share(*(total(rate(metric, f'pinned="{value}"')) for metric in (CACHED, PROMPT))), name)
                for value, name in _KINDS
            ),
            unit="percentunit",
            most=1,
            colours=_PINNED,
        ),
        lines(
            "Prompt tokens, pinned and not",
            "Prompt tokens that providers reported. Nothing here while there is traffic: the providers report no "
            "usage, or telemetry.inject_usage is off for streams.",
            *(Query(total(rate(PROMPT, f'pinned="{value}"')), name) for value, name in _KINDS),
            unit="cps",
            width=12,
            stacked=True,
            colours=_PINNED,
        ),
        lines(
            "Cached prompt tokens by model",
            "Prompt tokens that were read from a provider's cache, which costs a fraction. A model with none: its "
            "provider does not cache, does not say so, or needs to be asked to.",
            Query(total(rate(CACHED), "model"), "{{model}}"),
            unit="cps",
            width=12,
            stacked=True,
        ),
    ),
)

_STORE = Row(
    "Store",
    (
        lines(
            "Operations",
            "What is asked of the store. It follows the lookups; claims follow new sessions.",
            Query(total(rate("sidecar_store_operations_total"), "store", "operation"), "{{store}} {{operation}}"),
            unit="ops",
        ),
        lines(
            "Errors",
            "Operations that failed. Requests are answered all the same, from the table in this process, so replicas "
            "may disagree meanwhile. Look at the log for the cause, then at the store.",
            Query(total(rate("sidecar_store_errors_total"), "store", "operation"), "{{store}} {{operation}}"),
            unit="ops",
            limits=((None, GOOD), (0.001, BAD)),
        ),
        lines(
            "Duration",
            "How long operations of a store outside this process take; the memory store is not timed. Every request "
            "waits for one: tens of milliseconds are too much, look at the network and the store's load.",
            Query(quantile(0.5, "sidecar_store_duration_seconds", "store"), "{{store}} p50"),
            Query(quantile(0.99, "sidecar_store_duration_seconds", "store"), "{{store}} p99"),
            unit="s",
            limits=rising(0.01, 0.05),
        ),
        lines(
            "Store up",
            "1 while a sidecar reaches the store. At 0 it serves what it knows itself: its sessions keep their model, "
            "but sidecars that do not reach the store may give one new session two models. All at 0: look at the "
            "store. One at 0: look at its network.",
            Query(total(series("sidecar_store_up"), *INSTANCE), INSTANCE_LEGEND),
            unit="short",
            width=12,
            most=1,
            limits=falling(0.5, 1),
        ),
        lines(
            "Settled after an outage",
            "Sessions that sidecars served without the store, once it was back. changed: another sidecar had pinned "
            "the session to another model meanwhile, and that one won. Many of those: sessions move between sidecars "
            "during outages; route a session to one sidecar where you can.",
            Query(total(increase("sidecar_store_settled_total"), "outcome"), "{{outcome}}"),
            unit="short",
            width=12,
            stacked=True,
            colours={"kept": GOOD, "changed": BAD},
        ),
    ),
)

BOARD = Board(
    "llm-sidecar-pins",
    "LLM sidecar: session pins",
    "Do sessions keep their model, and if not, why not.",
    (_GLANCE, _HITS, LIFE, _SPARED, _STORE),
)

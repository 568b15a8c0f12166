"""
The hit rate: of the requests that asked for their session's model, how many found it.

Requests without a session, and those that asked to be routed anew or without pins, did not ask for it. What `outcome`
can be: sidecar.routing.decision.Lookup.
"""

from collections.abc import Mapping

HIT = "hit"
NOT_FOUND = ("miss", "expired", "model_gone")
OUTCOMES = (HIT, *NOT_FOUND, "refresh", "bypass", "invalid", "none")


def asked(counts: Mapping[str, float]) -> float:
    """How many requests asked for a pin."""
    return counts.get(HIT, 0) + sum(counts.get(outcome, 0) for outcome in NOT_FOUND)


def hit_rate(counts: Mapping[str, float]) -> float | None:
    """0 to 1; None when nobody asked."""
    total = asked(counts)
    return counts.get(HIT, 0) / total if total else None

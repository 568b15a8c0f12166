"""
The hit rate: of the requests that asked for their session's model, how many found it.

Requests without a session did not ask for it; nor did those that asked to be routed anew, without pins or for the end
of one, the turns of users that are routed anew because of `routing.route_on_user_only`, and side calls. What `outcome`
can be: sidecar.routing.decision.Lookup.
"""

from collections.abc import Mapping

HIT = "hit"
NOT_FOUND = ("miss", "expired", "model_gone", "prefix_changed")
AS_MEANT = ("turn", "released", "side_call")
"""They did not ask for a pin, and nothing is wrong with that."""
OUTCOMES = (HIT, *NOT_FOUND, "refresh", "bypass", *AS_MEANT, "invalid", "none")


def asked(counts: Mapping[str, float]) -> float:
    """How many requests asked for a pin."""
    return counts.get(HIT, 0) + sum(counts.get(outcome, 0) for outcome in NOT_FOUND)


def hit_rate(counts: Mapping[str, float]) -> float | None:
    """0 to 1; None when nobody asked."""
    total = asked(counts)
    return counts.get(HIT, 0) / total if total else None

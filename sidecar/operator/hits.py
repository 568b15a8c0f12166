"""
Why sessions do not find their pin: the commonest reason, from what was counted since the sidecar started.

The rules stand in order; the first that applies is the answer. Each looks at one way in which pins are lost, from the
client that names no session to the sidecar that forgets too soon.
"""

from collections.abc import Callable
from typing import Any

from attrs import frozen

from sidecar.operator.facts import Facts
from sidecar.operator.finding import Finding, fine, warning
from sidecar.operator.lookups import AS_MEANT, HIT, NOT_FOUND, asked, hit_rate
from sidecar.operator.tables import number, share, span

CHECK = "hit_rate"
_FINE = 0.5
"""A session of two requests has it; those of agents are longer."""
_FEW = 5
"""With fewer lookups a rate says nothing."""


@frozen
class Counted:
    """What the rules look at."""

    outcomes: dict[str, float]
    unnamed: float
    """Requests without a session."""
    not_applied: float
    """Requests with a session whose model `routing.apply_to` leaves alone."""
    created: float
    removed: dict[str, float]
    routing: dict[str, Any]

    @classmethod
    def of(cls, facts: Facts) -> "Counted":
        samples = facts.samples
        without_lookup = samples.by("source", "sidecar_pin_lookups_total", outcome="none")
        unnamed = without_lookup.pop("none", 0.0)
        return cls(
            outcomes=samples.by("outcome", "sidecar_pin_lookups_total"),
            unnamed=unnamed,
            not_applied=sum(without_lookup.values()),
            created=samples.total("sidecar_pins_created_total"),
            removed=samples.by("reason", "sidecar_pins_removed_total"),
            routing=dict(facts.routing),
        )

    @property
    def named(self) -> float:
        """Requests of sessions."""
        return sum(self.outcomes.values()) - self.unnamed

    @property
    def not_found(self) -> float:
        return sum(self.outcomes.get(outcome, 0.0) for outcome in NOT_FOUND)

    def is_most(self, outcome: str) -> bool:
        """Whether it is at least half of all that was no hit and should have been one."""
        others = self.named - sum(self.outcomes.get(word, 0.0) for word in (HIT, *AS_MEANT))
        return others > 0 and self.outcomes.get(outcome, 0.0) * 2 >= others


def hits(facts: Facts) -> Finding:
    """The hit rate, and when it is low, why."""
    counted = Counted.of(facts)
    rate = hit_rate(counted.outcomes)
    found, total = counted.outcomes.get(HIT, 0.0), asked(counted.outcomes)
    said = f"{share(found, total)} of {number(total)} lookups found their session's model." if total else ""
    if rate is not None and rate >= _FINE:
        return fine(CHECK, said)
    for rule in _RULES:
        if told := rule(counted):
            what, advice = told
            return warning(CHECK, f"{said} {what}".strip(), advice) if advice else fine(CHECK, f"{said} {what}".strip())
    return warning(CHECK, f"{said} No single reason stands out.", "sidecar top shows what becomes of each request.")


Told = tuple[str, str] | None
"""What, and what to do: nothing when there is nothing to do."""


def _nobody_came(counted: Counted) -> Told:
    return None if counted.outcomes else ("No request asked for a model yet, so there is no hit rate.", "")


def _no_session_ids(counted: Counted) -> Told:
    if counted.named:
        return None
    return (
        f"None of {number(counted.unnamed)} requests named a session, so each one was routed by itself.",
        "Let clients send the header X-Session-Id, the same for all requests of a session.",
    )


def _not_applied(counted: Counted) -> Told:
    if counted.not_applied * 2 < counted.named:
        return None
    return (
        f"{number(counted.not_applied)} requests of sessions named a model that routing.apply_to does not list.",
        "Add the model to routing.apply_to, or let clients ask for one that is listed.",
    )


def _refused_ids(counted: Counted) -> Told:
    if not counted.is_most("invalid"):
        return None
    return (
        "Most requests named their session by something that is no session id, and were refused.",
        "A session id is 1 to 256 visible ASCII characters without spaces.",
    )


def _bypassed(counted: Counted) -> Told:
    if not counted.is_most("bypass"):
        return None
    return (
        "Most requests of sessions ask for pins to be ignored.",
        "Let clients leave out the header x-sidecar-pin: bypass.",
    )


def _refreshed(counted: Counted) -> Told:
    if not counted.is_most("refresh"):
        return None
    return (
        "Most requests of sessions ask to be routed anew.",
        "Let clients send x-sidecar-pin: refresh only when the work of a session changes.",
    )


def _by_turns(counted: Counted) -> Told:
    turns = counted.outcomes.get("turn", 0.0)
    if not turns or turns < counted.not_found:
        return None
    return (f"{number(turns)} were new turns of users, which routing.route_on_user_only routes anew.", "")


def _too_early(counted: Counted) -> Told:
    if asked(counted.outcomes) >= _FEW:
        return None
    return ("The first request of a session never can; it is too early to say more.", "")


def _model_gone(counted: Counted) -> Told:
    if not counted.is_most("model_gone"):
        return None
    return (
        "Most sessions had a model that is no longer configured.",
        "Keep a model configured until its sessions have ended, or move them first: sidecar pins move FROM TO.",
    )


def _prefix_changed(counted: Counted) -> Told:
    if not counted.is_most("prefix_changed"):
        return None
    return (
        "Most sessions that nobody named changed their system prompt or their tools in mid-work.",
        "Let clients send the header X-Session-Id: a session that is named keeps its model whatever changes.",
    )


def _expired(counted: Counted) -> Told:
    if not counted.is_most("expired"):
        return None
    ttl = counted.routing.get("session_ttl_seconds")
    kept = f" ({span(ttl)})" if isinstance(ttl, int | float) else ""
    fixed = counted.routing.get("session_ttl_policy") == "fixed"
    return (
        f"Most sessions came back after their pin had expired: they pause longer than pins live{kept}.",
        "Raise routing.session_ttl_seconds" + (", or set session_ttl_policy: sliding." if fixed else "."),
    )


def _evicted(counted: Counted) -> Told:
    evicted = counted.removed.get("evicted", 0.0)
    if not evicted or evicted * 4 < counted.created:
        return None
    return (
        f"The table of pins is too small: {number(evicted)} of {number(counted.created)} were pushed out by others.",
        "Raise routing.session_max_entries.",
    )


def _not_pinned(counted: Counted) -> Told:
    if counted.created * 2 >= counted.not_found or counted.routing.get("pin_unmatched") is not False:
        return None
    return (
        "Most sessions matched no route, and routing.pin_unmatched is false: they are not pinned.",
        "Set pin_unmatched: true, or describe routes (with examples) that fit what is asked.",
    )


def _each_a_new_id(counted: Counted) -> Told:
    if not counted.is_most("miss"):
        return None
    return (
        "Nearly every lookup was the first of its session.",
        "Let clients keep one id for a whole session; of several sidecars, let a session always reach the same one.",
    )


_RULES: tuple[Callable[[Counted], Told], ...] = (
    _nobody_came,
    _no_session_ids,
    _not_applied,
    _refused_ids,
    _bypassed,
    _refreshed,
    _by_turns,
    _too_early,
    _model_gone,
    _prefix_changed,
    _expired,
    _evicted,
    _not_pinned,
    _each_a_new_id,
)

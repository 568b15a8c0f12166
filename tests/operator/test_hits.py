"""Why sessions do not find their pin: each way in which pins are lost is told from the others."""

import re

import pytest

from sidecar.operator.facts import Facts, Samples
from sidecar.operator.finding import Level
from sidecar.operator.hits import hits

ROUTING = {"session_ttl_seconds": 600, "session_ttl_policy": "sliding", "pin_unmatched": True}


def found(lookups, created=0, removed=None, source="x-session-id", **routing):
    """`lookups`: outcome -> count; `none` is without a session unless it says otherwise."""
    lines = [
        f'sidecar_pin_lookups_total{{outcome="{outcome}",source="{"none" if outcome == "none" else source}"}} {count}'
        for outcome, count in lookups.items()
    ]
    lines.append(f'sidecar_pins_created_total{{model="a/b"}} {created}')
    lines += [f'sidecar_pins_removed_total{{reason="{why}"}} {count}' for why, count in (removed or {}).items()]
    return hits(Facts("http://x", config={"routing": ROUTING | routing}, samples=Samples.of("\n".join(lines) + "\n")))


def test_a_good_hit_rate_is_fine():
    finding = found({"hit": 90, "miss": 10, "none": 500}, 10)
    assert (finding.level, finding.what) == (Level.OK, "90.0 % of 100 lookups found their session's model.")


def test_what_is_meant_to_be_no_hit_does_not_spoil_the_rate():
    finding = found({"hit": 90, "miss": 10, "side_call": 100, "turn": 100, "released": 10}, 10)
    assert (finding.level, finding.what) == (Level.OK, "90.0 % of 100 lookups found their session's model.")


def test_sessions_whose_every_request_is_a_turn_of_their_user_are_as_meant():
    finding = found({"miss": 90, "turn": 300}, 90)
    assert (finding.level, "routing.route_on_user_only" in finding.what) == (Level.OK, True)


@pytest.mark.parametrize("lookups", [{}, {"miss": 3}])
def test_too_few_requests_are_no_reason_to_worry(lookups):
    assert found(lookups).level is Level.OK


@pytest.mark.parametrize(
    ("lookups", "more", "what", "advice"),
    [
        ({"none": 400}, {}, "None of 400 requests named a session", "header X-Session-Id"),
        ({"invalid": 40, "miss": 6}, {}, "something that is no session id", "1 to 256 visible ASCII"),
        ({"bypass": 40, "miss": 6}, {}, "ask for pins to be ignored", "x-sidecar-pin: bypass"),
        ({"refresh": 40, "miss": 6}, {}, "ask to be routed anew", "x-sidecar-pin: refresh"),
        ({"model_gone": 40, "miss": 6}, {}, "a model that is no longer configured", "sidecar pins move"),
        ({"prefix_changed": 40, "miss": 6}, {}, "their system prompt or their tools", "header X-Session-Id"),
        ({"miss": 90, "side_call": 900}, {"created": 90}, "the first of its session", "one id"),
        ({"expired": 40, "miss": 6}, {}, r"pause longer than pins live \(10 min\)", r"Raise .*ttl_seconds\.$"),
        ({"expired": 9}, {"session_ttl_policy": "fixed"}, "expired", "session_ttl_policy: sliding"),
        ({"miss": 90}, {"created": 90, "removed": {"evicted": 80}}, "table of pins is too small", "max_entries"),
        ({"miss": 90}, {"created": 1, "pin_unmatched": False}, "matched no route, and .* false", "pin_unmatched: true"),
        ({"miss": 90}, {"created": 90}, "the first of its session", "one id for a whole session"),
        ({"miss": 90, "hit": 10}, {"created": 90}, r"^10\.0 % of 100 .* the first of its session", "one id"),
        ({"miss": 90}, {"created": 90, "removed": {"evicted": 2}}, "the first of its session", "one id"),
    ],
)
def test_the_commonest_reason_is_named_with_what_to_do(lookups, more, what, advice):
    finding = found(lookups, **more)
    assert finding.level is Level.WARNING
    assert re.search(what, finding.what)
    assert re.search(advice, finding.advice)


def test_sessions_whose_model_routing_leaves_alone_are_told():
    text = 'sidecar_pin_lookups_total{outcome="none",source="session-id"} 40\n'
    finding = hits(Facts("http://x", samples=Samples.of(text)))
    assert "named a model that routing.apply_to does not list" in finding.what


def test_a_low_rate_of_many_causes_is_still_told():
    finding = found({"hit": 10, "miss": 30, "expired": 20, "model_gone": 25}, 30)
    assert (finding.level, finding.what.startswith("11.8 % of 85 lookups")) == (Level.WARNING, True)
    assert finding.advice

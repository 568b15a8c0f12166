"""One page of `sidecar top`, from what the admin port says."""

import pytest

from sidecar.operator.tables import Look
from sidecar.operator.top import digest, frame

INFO = {"version": "1.2.3", "state": "serving", "uptime_seconds": 7500.0, "config": {"source": "config.yaml"}}
NOW = 1_000_000.0
HEALTHY = {
    "name": "openai/gpt-4o", "health": "healthy", "key": "set", "active": 3, "pending": 0, "successes": 4100,
    "failures": 2, "ejected_for_seconds": 0, "last_error": None,
}  # fmt: skip
EJECTED = HEALTHY | {
    "name": "vllm/llama", "health": "ejected", "ejected_for_seconds": 25.0,
    "last_error": {"at": "2026-01-31T08:15:00Z", "cause": "server_error", "status": 503},
}  # fmt: skip
DECISION = {
    "at": NOW, "endpoint": "/v1/chat/completions", "model": "openai/gpt-4o", "route": "code_generation",
    "reason": "pinned", "pin": "hit", "source": "x-session-id", "session": "abc", "ms": 1234.5, "status": 200,
    "code": None, "failover": None, "trace_id": "0" * 32,
}  # fmt: skip


def recent(*, pins=None, decisions=(), **steps):
    """`steps`: how many steps ago -> lookups and requests in it, as s0={"hit": 1}."""
    ago = {int(name[1:]): counts for name, counts in steps.items()}
    at = [NOW - 2 - 5 * back for back in range(179, -1, -1)]
    rows = [ago.get(back, {}) for back in range(179, -1, -1)]
    return {
        "now": NOW,
        "step_seconds": 5,
        "lookups": [{"at": when, "hit": 0, "miss": 0, **row} for when, row in zip(at, rows, strict=True)],
        "requests": [{"at": when, "count": sum(row.values()), "errors": 0} for when, row in zip(at, rows, strict=True)],
        "decisions": list(decisions),
        "pins": pins or {},
    }


def seen(told=None, clusters=(HEALTHY,), **info):
    return {"admin": "http://127.0.0.1:9901", **digest(told or recent(), list(clusters), INFO | info)}


def page(told=None, clusters=(HEALTHY,), look=Look(), height=None, **info):  # noqa: B008 - frozen
    return frame(seen(told, clusters, **info), look, height, lambda _: "12:00:00")


def test_the_hit_rate_is_that_of_the_last_1_5_and_15_minutes():
    told = recent(s0={"hit": 9, "miss": 1}, s11={"hit": 10}, s12={"miss": 20}, s100={"miss": 60})
    assert seen(told)["hit_rate"] == {"1m": 0.95, "5m": 0.475, "15m": 0.19}


def test_requests_that_did_not_ask_for_a_pin_do_not_count_in_the_hit_rate():
    told = recent(s0={"hit": 1, "none": 50, "bypass": 5, "refresh": 5, "invalid": 5})
    assert seen(told)["hit_rate"]["1m"] == 1.0


def test_without_lookups_there_is_no_hit_rate():
    assert seen()["hit_rate"] == {"1m": None, "5m": None, "15m": None}
    assert page()[1] == "hit rate    1 min -   5 min -   15 min -"


def test_requests_per_second_count_the_time_that_has_passed_and_no_more():
    told = recent(s0={"none": 57})
    assert seen(told)["requests_per_second"]["1m"] == 1.0  # eleven whole steps, and two seconds of the last
    assert seen(told, uptime_seconds=10.0)["requests_per_second"]["15m"] == 5.7


def test_the_page_has_state_lookups_pins_providers_and_decisions_with_their_reasons():
    text = "\n".join(page(recent(s0={"hit": 3}, pins={"a/b": 1, "openai/gpt-4o": 3}, decisions=[DECISION])))
    assert "sidecar 1.2.3  serving  up 2 h 5 min  http://127.0.0.1:9901  config.yaml" in text
    assert "lookups     hit 3" in text
    assert "openai/gpt-4o         3  75.0 %\na/b                   1  25.0 %" in text
    assert "openai/gpt-4o  healthy  set       3        0     4,100       2" in text
    assert "12:00:00  openai/gpt-4o  code_generation  pinned  hit  x-session-id  1,234.5     200  -         -" in text


def test_a_provider_that_is_not_well_stands_first_with_its_last_error():
    lines = page(clusters=(HEALTHY, EJECTED))
    at = next(at for at, line in enumerate(lines) if line.startswith("PROVIDER"))
    assert lines[at + 1].startswith("vllm/llama")
    assert lines[at + 1].endswith("25 s  server_error (503)")


def test_what_is_not_well_is_red_where_there_is_colour():
    lines = page(clusters=(EJECTED,), look=Look(colour=True), state="draining")
    assert lines[0].startswith("\x1b[31msidecar 1.2.3  draining")
    assert any(line.startswith("\x1b[31mvllm/llama") for line in lines)


@pytest.mark.parametrize(("width", "height"), [(200, 60), (80, 24), (40, 10), (10, 3), (1, 1)])
def test_a_page_is_never_larger_than_the_terminal(width, height):
    told = recent(pins={f"p/m{n}": 1 for n in range(30)}, decisions=[DECISION] * 200)
    clusters = [HEALTHY | {"name": f"p/m{n}"} for n in range(30)]
    lines = page(told, clusters, Look(width), height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_the_rest_of_many_is_counted():
    text = "\n".join(page(recent(pins={f"p/m{n}": 1 for n in range(8)}), [HEALTHY] * 15))
    assert "2 more                2  25.0 %" in text
    assert "\n3 more\n" in text


def test_a_client_cannot_steer_the_terminal_with_a_route_of_its_own():
    assert "\x1b" not in "\n".join(page(recent(decisions=[DECISION | {"route": "\x1b[2J"}])))

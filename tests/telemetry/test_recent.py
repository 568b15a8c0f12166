"""The last quarter of an hour, told request by request with a clock that the test moves."""

import json
import tracemalloc

import pytest
from attrs import define
from records import counts

from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.session import SessionKey
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.recent import LATEST, OUTCOMES, STEP_S, STEPS, Recent
from sidecar.telemetry.record import Record
from sidecar.telemetry.trace import Trace

START = 1_800_000_000.0
NAMES = Pseudonyms("key")


@define
class Clock:
    now: float = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recent(clock):
    return Recent(clock, NAMES)


def record(lookup=Lookup.HIT, *, status=200, number=0, route="code", session="s", answered=None, **more):
    decision = None
    if lookup is not None:
        reason = Reason.PINNED if lookup is Lookup.HIT else Reason.ROUTED
        decision = Decision(("openai/gpt-4o", "openai/gpt-4o-mini"), route, reason, lookup, pinned=lookup is Lookup.HIT)
    named = {
        "endpoint": "/v1/chat/completions",
        "session": SessionKey(session),
        "model": answered,
        **more,
    }
    trace = Trace(f"{number:032x}", "request")
    return Record(method="POST", status=status, trace=trace, began_at_s=START, seconds=0.25, decision=decision, **named)


def sums(steps):
    return {name: sum(step[name] for step in steps) for name in steps[0] if name != "at"}


def test_lookups_are_counted_by_outcome(recent):
    for lookup in (Lookup.HIT, Lookup.HIT, Lookup.MISS, Lookup.EXPIRED, Lookup.MODEL_GONE, Lookup.NONE, Lookup.BYPASS):
        recent.told(counts(record(lookup)))
    counted = sums(recent.snapshot()["lookups"])
    assert set(counted) == set(OUTCOMES)
    assert {name: number for name, number in counted.items() if number} == {
        "hit": 2, "miss": 1, "expired": 1, "model_gone": 1, "none": 1, "bypass": 1,
    }  # fmt: skip


def test_the_rate_since_the_start_leaves_out_who_asked_for_no_pin(recent):
    for lookup in (Lookup.HIT, Lookup.HIT, Lookup.HIT, Lookup.MISS, *[Lookup.NONE] * 5, Lookup.BYPASS, Lookup.REFRESH):
        recent.told(counts(record(lookup)))
    for lookup in (Lookup.PREFIX_CHANGED, Lookup.SIDE_CALL, Lookup.TURN, Lookup.RELEASED):
        recent.told(counts(record(lookup)))
    seen = recent.snapshot()
    assert (seen["hits"], seen["lookups_total"], seen["requests_total"]) == (3, 5, 15)


def test_a_refused_session_id_is_an_error_and_an_invalid_lookup(recent):
    recent.told(counts(record(None, status=400, code="invalid_session_id")))
    seen = recent.snapshot()
    assert sums(seen["lookups"])["invalid"] == 1
    assert sums(seen["requests"]) == {"count": 1, "errors": 1, "failovers": 0, "moved": 0}
    assert seen["lookups_total"] == 0


@pytest.mark.parametrize(
    ("status", "code", "errors"),
    [
        (200, None, 0),
        (404, None, 1),
        (502, "upstream_unreachable", 1),
        (200, "upstream_reset", 1),
        (499, "client_gone", 0),
    ],
)
def test_a_request_that_got_no_whole_answer_is_an_error_unless_its_client_left(recent, status, code, errors):
    recent.told(counts(record(status=status, code=code)))
    assert recent.snapshot()["errors_total"] == errors


def test_failovers_and_the_pins_they_moved_are_counted(recent):
    recent.told(counts(record(failover="rate_limited")))
    recent.told(counts(record(failover="model_unknown", moved=True)))
    seen = recent.snapshot()
    assert (seen["failovers_total"], seen["moved_total"]) == (2, 1)


def test_probes_do_not_count(recent):
    recent.told(counts(record(None, endpoint="/healthz")))
    recent.told(counts(record(None, endpoint="/api/hello")))
    assert recent.snapshot()["requests_total"] == 0


def test_steps_are_fifteen_minutes_without_gaps_oldest_first(recent, clock):
    recent.told(counts(record()))
    clock.now += 7
    recent.told(counts(record()))
    clock.now += 20
    seen = recent.snapshot()
    times = [step["at"] for step in seen["lookups"]]
    assert times == [step["at"] for step in seen["requests"]]
    assert times == list(range(times[0], times[0] + 15 * 60, STEP_S))
    assert times[-1] <= seen["now"] < times[-1] + STEP_S
    assert [step["at"] for step in seen["requests"] if step["count"]] == [START, START + STEP_S]


def test_after_fifteen_minutes_only_the_totals_remember(recent, clock):
    for _ in range(3):
        recent.told(counts(record(failover="reset", moved=True)))
    clock.now += STEPS * STEP_S
    assert sums(recent.snapshot()["requests"])["count"] == 0
    recent.told(counts(record(Lookup.MISS, status=500)))
    seen = recent.snapshot()
    assert sums(seen["requests"]) == {"count": 1, "errors": 1, "failovers": 0, "moved": 0}
    totals = {name: seen[name] for name in seen if name.endswith("_total") or name == "hits"}
    assert totals == {
        "hits": 3, "lookups_total": 4, "requests_total": 4, "errors_total": 1, "failovers_total": 3, "moved_total": 3,
    }  # fmt: skip


@pytest.mark.parametrize("back_s", [1, 60, 86_400])
def test_a_clock_that_is_set_back_loses_no_count(recent, clock, back_s):
    recent.told(counts(record()))
    clock.now -= back_s
    recent.told(counts(record()))
    seen = recent.snapshot()
    assert seen["hits"] == 2
    assert sums(seen["requests"])["count"] == 1  # the time of the other has yet to come, or was a day ago


def test_the_latest_decisions_come_newest_first_and_no_more_than_two_hundred(recent):
    for number in range(LATEST + 50):
        recent.told(counts(record(number=number)))
    recent.told(counts(record(None, status=404)))
    shown = [int(decision["trace_id"], 16) for decision in recent.snapshot()["decisions"]]
    assert shown == list(range(LATEST + 49, 49, -1))


def test_a_decision_says_who_answered_what_was_decided_and_why(recent):
    recent.told(counts(record(Lookup.MISS, number=7, answered="openai/gpt-4o-mini", failover="reset")))
    (decision,) = recent.snapshot()["decisions"]
    assert decision == {
        "at": START + 0.25,
        "endpoint": "/v1/chat/completions",
        "model": "openai/gpt-4o-mini",
        "decided": "openai/gpt-4o",
        "route": "code",
        "reason": "routed",
        "pin": "miss",
        "source": "x-session-id",
        "session": NAMES.of(SessionKey("s")),
        "ms": 250.0,
        "status": 200,
        "code": None,
        "failover": "reset",
        "moved": False,
        "trace_id": f"{7:032x}",
    }


def test_a_request_without_a_session_shows_none(recent):
    decision = Decision(("m",), None, Reason.NO_ROUTES)
    recent.told(counts(Record("/v1/responses", "POST", 200, Trace("t", "r"), START, 0.1, decision=decision)))
    (decision,) = recent.snapshot()["decisions"]
    assert (decision["source"], decision["session"], decision["pin"]) == (None, "", "none")


def test_no_raw_session_id_leaves(recent):
    recent.told(counts(record(session="canary-session")))
    assert "canary" not in json.dumps(recent.snapshot())


def test_memory_does_not_grow_with_clients_or_time(recent, clock):
    def an_hour():
        for number in range(3600):
            clock.now += 1
            recent.told(counts(record(number=number, session=f"session-{number}", route=f"route-{number}")))

    an_hour()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    an_hour()
    an_hour()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    # The latest decisions and steps were there before it began to count; their successors are all that is new.
    assert grown < 600_000
    assert len(recent._steps) <= STEPS

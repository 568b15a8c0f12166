"""The metrics: closed labels, one registry a server."""

from sidecar.routing.decision import Decision, Lookup, Reason
from sidecar.routing.verdict import Failure, Verdict
from sidecar.telemetry.metrics import Metrics


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def metrics():
    return Metrics(models=["openai/gpt-4o"], routes=["code"])


def test_a_decision_is_counted_by_what_the_configuration_knows():
    seen = metrics()
    seen.decided("/x", Decision(("openai/gpt-4o",), "code", Reason.ROUTED, Lookup.MISS), "x-session-id")
    labels = {"endpoint": "/x", "route": "code", "model": "openai/gpt-4o", "reason": "routed"}
    assert value(seen, "sidecar_decisions_total", **labels) == 1
    assert value(seen, "sidecar_pin_lookups_total", outcome="miss", source="x-session-id") == 1


def test_10_000_models_routes_and_sessions_nobody_configured_are_two_series():
    seen = metrics()
    for n in range(10_000):
        seen.decided("/x", Decision((f"openai/{n}",), f"route-{n}", Reason.ROUTED), None)
    labels = {"endpoint": "/x", "route": "other", "model": "other", "reason": "routed"}
    assert value(seen, "sidecar_decisions_total", **labels) == 10_000
    series = [s for family in seen.registry.collect() for s in family.samples if s.name == "sidecar_decisions_total"]
    assert len(series) == 1


def test_verdicts_are_counted_by_outcome():
    seen = metrics()
    for verdict in (Verdict("code", 1.0), Verdict(), Verdict(failure=Failure.TIMEOUT)):
        seen.judged(verdict, 0.001)
    outcomes = ("match", "no_match", "classifier_timeout")
    assert [value(seen, "sidecar_classifier_verdicts_total", outcome=outcome) for outcome in outcomes] == [1, 1, 1]


def test_two_servers_in_one_process_do_not_share_a_number():
    one, other = metrics(), metrics()
    one.failed("invalid_json")
    assert value(other, "sidecar_errors_total", code="invalid_json") is None

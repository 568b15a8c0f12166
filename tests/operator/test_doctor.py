"""What the doctor finds, from what was fetched."""

import json

import pytest

from sidecar.config.models import Config, Provider
from sidecar.operator.calling import NoSidecar, NotASidecar, Reply, Silent
from sidecar.operator.doctor import answer, examine
from sidecar.operator.facts import Facts, File, Samples, gather
from sidecar.operator.finding import Level, told
from sidecar.operator.providers import addresses
from sidecar.operator.reach import Reached
from sidecar.operator.tables import Look

READY = Reply(200, b"[+] listener: 127.0.0.1:12000\n[-] keys: missing for a/b\nOK\n")
INFO = {"version": "1.2.3", "uptime_seconds": 90.0, "classifier": "embedded", "config": {"source": "config.yaml"}}
WELL = {
    "name": "a/b", "model": "a/b", "base_url": None, "health": "healthy", "key": "set", "missing": [],
    "successes": 7, "failures": 0, "ejected_for_seconds": 0, "last_error": None,
}  # fmt: skip
ERROR = {"at": "2026-01-31T08:15:00Z", "cause": "server_error", "status": 503}


def running(text="sidecar_pins_limit 10\n", clusters=(WELL,), ready=READY, **more):
    return Facts("http://x", ready=ready, info=INFO, clusters=clusters, samples=Samples.of(text), **more)


def found(facts, check, reached=(), where=None):
    return [each for each in examine(facts, reached, where or {}) if each.check == check]


def test_a_sidecar_that_is_well_has_no_warning():
    findings = examine(running(), [Reached("https://b", 401)], {"a/b": "https://b"})
    assert {each.level for each in findings} == {Level.OK}
    assert [each.what for each in findings][:3] == [
        "http://x serves: version 1.2.3, up 1 min 30 s.",
        "All that the provider needs is set.",
        "Answer: a/b (7).",
    ]
    assert "Reached from here, without a key: https://b." in [each.what for each in findings]


@pytest.mark.parametrize("said", ["starting", "draining", "failed by an operator", "something else"])
def test_a_sidecar_that_is_not_ready_is_a_problem_and_says_which_part(said):
    facts = running(ready=Reply(503, f"[-] listener: closed\n{said}\n".encode()))
    state, part = found(facts, "ready")
    assert (state.level, said in state.what, state.advice != "") == (Level.PROBLEM, True, True)
    assert part.what == "A part is not well: listener: closed."


def test_missing_variables_are_named_once_each_and_are_a_problem_when_requests_needed_them():
    waiting = WELL | {"key": "missing", "missing": ["A_KEY"]}
    other = waiting | {"name": "a/c"}
    (finding,) = found(running(clusters=(waiting, other)), "keys")
    assert (finding.level, finding.what) == (Level.WARNING, "A_KEY not set: a/b, a/c cannot be called.")
    needed = 'sidecar_upstream_attempts_total{provider="a/c",outcome="key_missing"} 3\n'
    (finding,) = found(running(needed, clusters=(waiting, other)), "keys")
    assert (finding.level, "requests needed it" in finding.what) == (Level.PROBLEM, True)


def test_a_refused_key_is_a_failure_although_the_provider_is_healthy():
    text = 'sidecar_upstream_attempts_total{provider="a/b",outcome="key_refused"} 7\n'
    text += 'sidecar_upstream_attempts_total{provider="a/b",outcome="abandoned"} 2\n'
    (finding,) = found(running(text, clusters=(WELL | {"last_error": ERROR},)), "providers")
    assert (finding.level, "never answered, in 7 attempts, mostly key_refused" in finding.what) == (Level.PROBLEM, True)
    assert "does not take the key" in finding.advice


def test_requests_that_a_provider_refuses_for_the_clients_sake_are_no_failure_of_its():
    text = 'sidecar_upstream_attempts_total{provider="a/b",outcome="refused"} 90\n'
    text += 'sidecar_upstream_attempts_total{provider="a/b",outcome="answered"} 2\n'
    (finding,) = found(running(text), "providers")
    assert (finding.level, finding.what) == (Level.OK, "Answer: a/b (2).")


@pytest.mark.parametrize(
    ("changes", "level", "what"),
    [
        (
            {"health": "ejected", "ejected_for_seconds": 20},
            "problem",
            "left alone for 20 s more, mostly server_error; last, at 2026",
        ),
        ({"health": "probing"}, "problem", "failed so often that it is left alone, mostly server_error; last"),
        ({"successes": 0, "failures": 4}, "problem", "has never answered, in 4 attempts, mostly server_error; last"),
        ({"successes": 30, "failures": 4}, "warning", "failed 4 times, answered 30 times, mostly server_error; last"),
        ({"successes": 300, "failures": 4}, "ok", "Answer: a/b (300)."),
        ({"successes": 0, "failures": 0}, "ok", "Not asked since the start: a/b."),
    ],
)
def test_a_provider_is_as_well_as_its_answers(changes, level, what):
    (finding,) = found(running(clusters=(WELL | {"last_error": ERROR} | changes,)), "providers")
    assert finding.level.value == level
    assert what in finding.what
    assert (level == "ok") == (finding.advice == "")


@pytest.mark.parametrize(
    ("status", "trouble", "level", "what"),
    [
        (None, "its name cannot be resolved", "warning", "https://b cannot be reached from here: its name cannot"),
        (502, "", "warning", "https://b answers with HTTP 502 (a/b)."),
        (404, "", "ok", "Reached from here, without a key: https://b."),
    ],
)
def test_what_cannot_be_reached_from_here_is_a_warning(status, trouble, level, what):
    (finding,) = found(running(), "reach", [Reached("https://b", status, trouble)], {"a/b": "https://b"})
    assert (finding.level.value, what in finding.what) == (level, True)


@pytest.mark.parametrize(
    ("lines", "check", "level", "what"),
    [
        ("sidecar_config_last_reload_successful 0", "configuration", "problem", "last reload failed"),
        ('sidecar_classifier_circuit{kind="llm",state="open"} 1', "classifier", "problem", "failed so often"),
        (
            'sidecar_classifier_verdicts_total{kind="llm",outcome="classifier_timeout"} 60\n'
            'sidecar_classifier_verdicts_total{kind="llm",outcome="match"} 40',
            "classifier", "problem", "60.0 % of 100 classifications failed (classifier_timeout 60, match 40).",
        ),
        (
            'sidecar_classifier_verdicts_total{kind="llm",outcome="classifier_error"} 10\n'
            'sidecar_classifier_verdicts_total{kind="llm",outcome="match"} 90',
            "classifier", "warning", "10.0 % of 100 classifications failed",
        ),
        (
            'sidecar_classifier_verdicts_total{kind="embedded",outcome="no_match"} 40',
            "classifier", "warning", "None of 40 classifications found a route.",
        ),
        ('sidecar_classifier_verdicts_total{kind="e",outcome="match"} 4', "classifier", "ok", "embedded (match 4)."),
        (
            'sidecar_pin_lookups_total{outcome="miss",source="session-id"} 5\n'
            'sidecar_pin_lookups_total{outcome="none",source="none"} 95',
            "sessions", "warning", "by session-id (5), but 95.0 % of 100 requests name none.",
        ),
        ('sidecar_pin_lookups_total{outcome="hit",source="x-session-id"} 5', "sessions", "ok", "by x-session-id (5)."),
        ('sidecar_pins_removed_total{reason="evicted"} 3', "table", "warning", "3 pins were pushed out"),
        ('sidecar_pins{model="a/b"} 4\nsidecar_pins_limit 10', "table", "ok", "4 live pins, of 10"),
        ('sidecar_store_errors_total{store="redis",operation="get"} 2', "store", "warning", "pin store redis failed"),
        ('sidecar_errors_total{code="internal_error"} 1', "errors", "problem", "by a mistake of the sidecar"),
        ('sidecar_telemetry_dropped_total{signal="span"} 9', "telemetry", "warning", "9 of signal span"),
    ],
)  # fmt: skip
def test_the_metrics_tell_what_is_not_well(lines, check, level, what):
    (finding,) = found(running(lines + "\n"), check)
    assert (finding.level.value, what in finding.what) == (level, True)
    assert (level == "ok") == (finding.advice == "")


def test_refused_session_ids_are_told_beside_the_good_ones():
    text = 'sidecar_pin_lookups_total{outcome="hit",source="x-session-id"} 9\n'
    text += 'sidecar_pin_lookups_total{outcome="invalid",source="x-session-id"} 2\n'
    assert [each.level.value for each in found(running(text), "sessions")] == ["ok", "warning"]


def test_clocks_that_differ_are_told():
    (finding,) = found(running(clock_ahead_s=-90), "clock")
    assert "1 min 30 s behind the one here" in finding.what
    assert not found(running(clock_ahead_s=2), "clock")


def test_without_a_sidecar_the_file_is_looked_at():
    file = File("c.yaml", Config(), warnings=())
    findings = examine(Facts("http://x", lost=NoSidecar("nothing listens"), file=file), [], {})
    assert [(each.check, each.level.value) for each in findings] == [("configuration", "ok"), ("ready", "problem")]


def test_every_mistake_of_the_file_is_a_problem_and_an_oddity_a_warning():
    mistakes = File("c.yaml", None, mistakes=("c.yaml:1: a", "c.yaml:2: b"))
    assert [each.level.value for each in found(running(file=mistakes), "configuration")] == ["problem", "problem"]
    odd = File("c.yaml", Config(), warnings=("c.yaml:1: K is not set",))
    assert [each.level.value for each in found(running(file=odd), "configuration")] == ["warning"]


@pytest.mark.parametrize(("served", "level"), [("a/b", "ok"), ("a/c", "warning")])
def test_a_file_that_is_not_what_is_served_is_told(served, level):
    file = File("c.yaml", Config(providers=(Provider("a/b", "a/b"),)))
    facts = running(file=file, config={"providers": [{"model": served}]})
    assert [each.level.value for each in found(facts, "configuration")] == [level]


def test_where_providers_are_is_asked_of_the_sidecar_and_else_of_the_file():
    def known(provider):
        return provider.base_url or "https://known"

    served = (WELL | {"base_url": "http://b:1/v1"}, WELL | {"name": "x", "base_url": "http://***@b"})
    file = File("f", Config(providers=(Provider("c/d", "c/d"), Provider("e/f", "e/f", missing=("URL",)))))
    assert addresses(running(clusters=(*served, WELL | {"name": "n"}), file=file), known) == {
        "a/b": "http://b:1/v1",
        "n": "https://known",
    }
    assert addresses(Facts("http://x", file=file), known) == {"c/d": "https://known"}
    assert addresses(running(), lambda _: None) == {}


def test_a_problem_ends_with_1_and_a_warning_does_not():
    warned = answer(found(running(clock_ahead_s=90), "clock"), "http://x", Look())
    assert (warned.code, warned.data["status"]) == (0, "warning")
    failed = answer(examine(Facts("http://x", lost=NoSidecar("no")), [], {}), "http://x", Look())
    assert (failed.code, json.loads(failed.shown(as_json=True))["status"]) == (1, "problem")
    assert failed.data["findings"][0].keys() == {"check", "level", "what", "advice"}


def test_the_page_says_what_to_do_below_what_is_wrong():
    lines = told(found(running(clock_ahead_s=90), "clock"), Look(colour=True))
    assert lines[0].startswith("\x1b[33mwarning \x1b[0m clock")
    assert lines[1].startswith(" " * 23 + "→ Synchronise")


def test_paths_that_do_not_answer_are_told_and_the_rest_is_looked_at(admin):
    admin.answers["GET", "/ready"] = (200, b"OK\n")
    refusal = {"error": {"code": "not_from_loopback", "message": "/clusters answers loopback only"}}
    admin.answers["GET", "/clusters"] = (403, refusal)
    admin.answers["GET", "/stats/prometheus"] = (200, b"sidecar_pins_limit 10\n")
    facts = gather(admin.port, None)
    assert facts.samples.first("sidecar_pins_limit") == 10
    unread = found(facts, "admin")
    assert len(unread) == 3
    assert any("loopback only" in each.what and "kubectl port-forward" in each.advice for each in unread)


def test_another_program_at_the_admin_port_is_no_sidecar(admin):
    facts = gather(admin.port, None)
    assert "not a sidecar's admin port" in str(facts.lost)
    assert examine(facts, [], {})[0].level is Level.PROBLEM


def test_metrics_that_are_none_are_told(admin):
    admin.answers["GET", "/ready"] = (200, b"OK\n")
    admin.answers["GET", "/stats/prometheus"] = (200, b"{{{ not metrics\n")
    assert any("are no metrics" in each for each in gather(admin.port, None).unread)


@pytest.mark.parametrize("said", [b"<html>It works!</html>", b"LIVE\n", b"{}", b"", b"<html>\nOK\n"])
def test_another_program_that_answers_ready_is_no_sidecar(admin, said):
    admin.answers["GET", "/ready"] = (200, said)
    facts = gather(admin.port, None)
    assert "not a sidecar's admin port" in str(facts.lost)
    assert [each.level for each in examine(facts, [], {})] == [Level.PROBLEM]


@pytest.mark.parametrize(
    ("lost", "advice"),
    [
        (NoSidecar("nothing listens at http://x"), "Start it"),
        (Silent("http://x did not answer within 5 s"), "hangs"),
        (NotASidecar("what listens at http://x does not speak HTTP"), "--admin"),
    ],
)
def test_what_to_do_depends_on_why_there_is_no_sidecar_to_look_at(lost, advice):
    (finding,) = examine(Facts("http://x", lost=lost), [], {})
    assert advice in finding.advice


def test_a_question_is_not_ended_by_a_full_stop():
    facts = running(unread=("/pins: is it another program?", "/stats: broke off"))
    assert [each.what[-2:] for each in found(facts, "admin")] == ["m?", "f."]


def test_a_classifier_of_which_only_the_metrics_tell_has_a_sentence_too():
    facts = Facts("http://x", ready=READY, samples=Samples.of("sidecar_pins_limit 10\n"))
    assert [each.what for each in found(facts, "classifier")] == ["unknown kind, not asked yet."]

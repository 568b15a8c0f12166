import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from sidecar.routing.decision import Lookup
from sidecar.telemetry.meter import Metrics
from sidecar.telemetry.metrics import METRICS, Kind
from sidecar.upstream.order import ABANDONED, ANSWERED
from sidecar.upstream.refusal import Cause

DEPLOY = Path(__file__).parents[2] / "deploy"

UNSHOWN = {}
"""Metric -> why no dashboard shows it."""

TARGET_LABELS = {"job", "instance", "namespace", "pod", "le"}
"""What Prometheus adds to every series, and the bound of a histogram's bucket."""

GRAFANAS = {"__rate_interval", "__range", "__interval"}


def test_the_dashboards_are_what_build_py_makes():
    subprocess.run([sys.executable, DEPLOY / "grafana/build.py", "--check"], check=True)  # noqa: S603


def test_there_are_three_with_names_that_do_not_change(dashboards):
    assert [board["uid"] for board in dashboards.values()] == [
        "llm-sidecar-itself",
        "llm-sidecar-pins",
        "llm-sidecar-traffic",
    ]
    assert all(board["schemaVersion"] >= 39 for board in dashboards.values())


def test_each_links_to_all_by_their_tag(dashboards):
    for board in dashboards.values():
        (link,) = board["links"]
        assert link["type"] == "dashboards"
        assert set(link["tags"]) <= set(board["tags"])


def test_panel_ids_are_unique(dashboards):
    for board in dashboards.values():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))


def test_every_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(dashboards):
    for panel in _panels(dashboards):
        assert panel["title"]
        assert len(panel["description"]) > 40, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_titles_are_unique_so_that_runbooks_can_name_them(dashboards):
    for board in dashboards.values():
        titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
        # A number of now and its curve may share a name.
        assert all(titles.count(title) <= 2 for title in titles)
        curves = [panel["title"] for panel in board["panels"] if panel["type"] not in ("row", "stat")]
        assert len(curves) == len(set(curves))


def test_no_panel_lies_on_another_or_outside(dashboards):
    for board in dashboards.values():
        places = [(panel["title"], panel["gridPos"]) for panel in board["panels"]]
        assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for _, place in places)
        for (one, here), (other, there) in itertools.combinations(places, 2):
            assert not _overlap(here, there), f"{one!r} and {other!r}"


def test_every_variable_that_is_used_is_defined_and_the_other_way_round(dashboards):
    for board in dashboards.values():
        defined = {variable["name"] for variable in board["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - GRAFANAS
        assert used == defined | {"__all"}


def test_all_pods_and_namespaces_include_series_that_have_none(dashboards):
    for board in dashboards.values():
        everything = {variable["name"]: variable.get("allValue") for variable in board["templating"]["list"]}
        assert everything == {"datasource": None, "job": None, "namespace": ".*", "pod": ".*"}


def test_every_query_is_narrowed_by_every_variable(expressions):
    for expression in expressions:
        if expression.kind in ("panel", "annotation"):
            for name in expression.metrics:
                chosen = re.findall(rf"\b{name}\b(?:{{([^}}]*)}})?", expression.text)
                narrowed = 'job=~"$job", namespace=~"$namespace", pod=~"$pod"'
                assert all(matchers.endswith(narrowed) for matchers in chosen), expression.where


def test_every_metric_that_is_named_exists(expressions, rules):
    known = _exposed() | {rule["record"] for rule in rules if "record" in rule} | {"up"}
    unknown = {(expression.where, name) for expression in expressions for name in expression.metrics - known}
    assert not unknown


def test_every_label_that_is_named_is_one_of_its_metrics(expressions, rules):
    labels = {metric.exposed: set(metric.labels) for metric in METRICS}
    for expression in expressions:
        plain = {re.sub(r"_(bucket|sum|count)$", "", name) for name in expression.metrics}
        if plain & labels.keys():
            known = set().union(*(labels.get(name, set()) for name in plain)) | TARGET_LABELS
            assert expression.labels <= known, expression.where


def test_every_outcome_that_is_named_exists(expressions):
    known = {
        "sidecar_pin_lookups_total": set(Lookup),
        "sidecar_upstream_attempts_total": {*Cause, ANSWERED, ABANDONED},
    }
    for expression in expressions:
        for metric, outcomes in known.items():
            for named in re.findall(rf'{metric}{{[^}}]*outcome[=!~]+"([^"]*)"', expression.text):
                assert set(named.split("|")) <= outcomes, expression.where


def test_every_metric_is_shown_or_has_a_reason_not_to_be(expressions):
    shown = set().union(*(expression.metrics for expression in expressions if expression.kind == "panel"))
    unshown = {metric.exposed for metric in METRICS if not _names(metric) & shown}
    assert unshown == set(UNSHOWN)


def test_every_name_is_read_as_prometheus_reads_it(expressions):
    """What the tests above rest on."""
    (spared,) = (
        expression for expression in expressions if expression.where.endswith("Prompt cache, pinned and not A")
    )
    assert spared.metrics == {"sidecar_cached_prompt_tokens_total", "sidecar_prompt_tokens_total"}
    assert spared.labels == {"pinned", "job", "namespace", "pod"}
    (slow,) = (expression for expression in expressions if expression.where.endswith("_lag_seconds:p99_5m"))
    assert slow.metrics == {"sidecar_event_loop_lag_seconds_bucket"}
    assert slow.labels == {"le", "namespace", "job", "pod", "instance"}


@pytest.mark.parametrize("service", ["prometheus", "grafana"])
def test_compose_binds_loopback_and_mounts_what_there_is_read_only(service):
    made = _read("docker-compose.yaml")["services"][service]
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", made["image"])
    assert all(port.startswith("127.0.0.1:") for port in made["ports"])
    for volume in made["volumes"]:
        source, _, how = volume.partition(":")
        assert source == "prometheus" or ((DEPLOY / source).is_dir() and how.endswith(":ro"))


def test_nobody_can_change_grafana_by_its_well_known_password():
    environment = _read("docker-compose.yaml")["services"]["grafana"]["environment"]
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"


def test_grafana_finds_prometheus_and_the_dashboards(dashboards):
    compose = _read("docker-compose.yaml")["services"]
    (source,) = _read("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (provider,) = _read("grafana/provisioning/dashboards/llm-sidecar.yaml")["providers"]
    assert source["url"].removeprefix("http://").split(":")[0] in compose
    assert source["jsonData"]["timeInterval"] == _read("prometheus/prometheus.yaml")["global"]["scrape_interval"]
    folder = provider["options"]["path"]
    assert f"./grafana/dashboards:{folder}:ro" in compose["grafana"]["volumes"]
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(f"{folder}/") in dashboards


def _panels(dashboards):
    return [panel for board in dashboards.values() for panel in board["panels"] if panel["type"] != "row"]


def _overlap(here, there):
    return (
        here["x"] < there["x"] + there["w"]
        and there["x"] < here["x"] + here["w"]
        and here["y"] < there["y"] + there["h"]
        and there["y"] < here["y"] + here["h"]
    )


def _names(metric):
    """As queries may name it."""
    if metric.kind is Kind.HISTOGRAM:
        return {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return {metric.exposed}


def _exposed():
    """Every name of the list, and those of the process and its Python."""
    text = generate_latest(Metrics(models=(), routes=()).registry).decode()
    return set().union(*(_names(metric) for metric in METRICS)) | set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def _read(path):
    return yaml.safe_load((DEPLOY / path).read_text())

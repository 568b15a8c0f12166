import re
from pathlib import Path

import pytest
import yaml

from sidecar.operator.lookups import HIT, NOT_FOUND

PROMETHEUS = Path(__file__).parents[2] / "deploy/prometheus"

WANTED = {
    "PinHitRateFalls", "PinStoreErrors", "PinStoreDown", "FailoverStorm", "ProviderEjected", "ClassifierFailingOpen", "EventLoopLag",
    "ConfigReloadFailed", "NoSessionIdsSeen", "SidecarDown", "HighErrorRate", "PinTableFull",
}  # fmt: skip


async def test_promtool_has_nothing_to_say_about_the_rules(promtool):
    code, printed = await promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
    assert code == 0, printed


async def test_promtool_takes_the_example_configuration(promtool):
    code, printed = await promtool("check", "config", "prometheus.yaml")
    assert code == 0, printed


async def test_every_alert_fires_when_it_should_and_not_when_it_should_not(promtool):
    code, printed = await promtool("test", "rules", "rules_test.yaml")
    assert code == 0, printed


def test_every_alert_has_a_story_in_which_it_fires(alerts):
    stories = (PROMETHEUS / "rules_test.yaml").read_text()
    fired = set(re.findall(r'alertname="(\w+)"', stories))
    assert fired == {alert["alert"] for alert in alerts}
    assert fired >= WANTED


def test_every_alert_says_how_bad_since_when_and_what_to_do(alerts):
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert re.fullmatch(r"\d+m", alert["for"])
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}
        assert len(alert["annotations"]["runbook"]) > 80, alert["alert"]
        assert re.search(r"\{\{ \$value|\d", alert["annotations"]["description"]), f"{alert['alert']} has no number"


def test_every_panel_that_is_named_exists(alerts, dashboards):
    """In runbooks and in descriptions, between single quotes."""
    titles = {board["title"].removeprefix("LLM sidecar: ").capitalize() for board in dashboards.values()}
    panels = [panel for board in dashboards.values() for panel in board["panels"]]
    titles |= {panel["title"] for panel in panels}
    texts = [alert["annotations"]["runbook"] for alert in alerts]
    texts += [panel["description"] for panel in panels if "description" in panel]
    named = {name for text in texts for name in re.findall(r"(?<!\w)'([^']+)'(?!\w)", text)}
    assert named
    assert named <= titles


def test_all_screens_mean_the_same_by_a_hit_rate(expressions):
    """The dashboards and the alerts as the command line does; the console's tests hold it to its own list."""
    told = {text for each in expressions for text in re.findall(r'outcome=~"(hit\|miss[^"]*)"', each.text)}
    assert [set(outcomes.split("|")) for outcomes in told] == [{HIT, *NOT_FOUND}]


async def test_what_a_person_is_told_has_its_names_and_numbers(alerts, promtool, tmp_path):
    """
    promtool prints the alerts that a story did not expect, with their texts filled in. So every story is told again,
    expecting none.
    """
    stories = yaml.safe_load((PROMETHEUS / "rules_test.yaml").read_text())
    stories["rule_files"] = [str(PROMETHEUS / "rules.yaml")]
    for story in stories["tests"]:
        fired = {
            (asked["eval_time"], name)
            for asked in story.pop("promql_expr_test")
            for sample in asked["exp_samples"]
            for name in re.findall(r'alertname="(\w+)"', sample["labels"])
        }
        story["alert_rule_test"] = [{"eval_time": time, "alertname": name} for time, name in sorted(fired)]
    last = {asked["alertname"]: story["name"] for story in stories["tests"] for asked in story["alert_rule_test"]}
    stories["tests"] = [story for story in stories["tests"] if story["name"] in last.values()]
    (tmp_path / "told.yaml").write_text(yaml.safe_dump(stories))
    _, printed = await promtool("test", "rules", tmp_path / "told.yaml")

    texts = dict(re.findall(r"alertname: (\w+), .*?(Annotations:.*?)(?=alertname: |\Z)", printed, re.DOTALL))
    assert texts.keys() == {alert["alert"] for alert in alerts}
    for name, text in texts.items():
        assert not re.search(r"<no value>|<error|NaN|\{\{|\w  \w| [.,:;]|[\d.]+m ", text), f"{name}: {text}"


@pytest.fixture
def alerts(rules):
    return [rule for rule in rules if "alert" in rule]

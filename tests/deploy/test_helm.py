import json
import re
import shutil

import pytest
import yaml
from manifests import DEPLOY, NEWEST, OLDEST, invalid, kustomized, objects_of, one

from sidecar import __version__
from sidecar.config import read_text

helm_python = pytest.importorskip("helm_python", reason="there is no Helm for this machine among the Python packages")

CHART = DEPLOY / "helm/llm-sidecar"
ALL = {"monitoring": {"enabled": True}}
PLACED = {
    "nodeSelector": {"pool": "agents"},
    "tolerations": [{"key": "agents", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "registry"}],
    "resources": {"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
}
WAYS = {"gateway": ALL, "sidecar": {"mode": "sidecar", **ALL}, "placed": PLACED, "bare": {"redis": {"enabled": False}}}


def rendered(values, chart=CHART):
    """What `helm template` gives: objects. Helm's own engine, as a library. Raises helm_python.HelmError."""
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        files = loaded.render(values, name="release", namespace="here")
    return [found for path, text in files.items() if path.endswith(".yaml") for found in objects_of(text)]


def test_helm_lints_it():
    for values in WAYS.values():
        report = helm_python.lint(CHART, values, strict=True)
        worse_than_advice = [each for each in report["messages"] if each["severity"] > 1]
        assert (worse_than_advice, report["errors"]) == ([], [])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("way", WAYS)
def test_kubernetes_takes_every_object(way, version):
    assert [wrong for each in rendered(WAYS[way]) if (wrong := invalid(each, version))] == []


@pytest.mark.parametrize(("values", "folder"), [(WAYS["gateway"], "gateway"), (WAYS["sidecar"], "base")])
def test_it_makes_what_kustomize_makes(values, folder):
    ours = _by_name(rendered(values))
    theirs = _by_name(kustomized(DEPLOY / "kubernetes" / folder))
    if folder == "base":
        del theirs["ServiceAccount", "llm-sidecar"]  # for pods, which this mode has none of
    assert set(ours) == set(theirs)
    for key, found in ours.items():
        assert found == theirs[key], key


def test_another_chart_gets_the_pod_that_kustomize_makes(tmp_path):
    (tmp_path / "charts").mkdir()
    shutil.copytree(CHART, tmp_path / "charts/llm-sidecar")
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text(
        "{apiVersion: v2, name: agent, version: 1.0.0, dependencies: [{name: llm-sidecar, version: 0.1.0, alias: sidecar}]}"
    )
    (tmp_path / "values.yaml").write_text("sidecar: {mode: sidecar}")
    (tmp_path / "templates/pod.yaml").write_text(PARENT)
    pod = one(rendered({}, tmp_path), "Pod")
    wanted = one(kustomized(DEPLOY / "kubernetes/example"), "Deployment")["spec"]["template"]
    assert pod["spec"]["initContainers"] == wanted["spec"]["initContainers"]
    assert pod["spec"]["volumes"] == wanted["spec"]["volumes"]
    assert pod["spec"]["containers"][0]["env"] == wanted["spec"]["containers"][0]["env"]
    assert pod["metadata"]["labels"].items() <= wanted["metadata"]["labels"].items()


PARENT = """
{{- $sidecar := dict "Values" .Values.sidecar "Chart" .Subcharts.sidecar.Chart }}
apiVersion: v1
kind: Pod
metadata:
  name: agent
  labels:
    {{- include "llm-sidecar.labels" $sidecar | nindent 4 }}
spec:
  initContainers:
    {{- include "llm-sidecar.initContainer" $sidecar | nindent 4 }}
  containers:
    - name: agent
      image: agent
      env:
        {{- include "llm-sidecar.env" $sidecar | nindent 8 }}
  volumes:
    {{- include "llm-sidecar.volumes" $sidecar | nindent 4 }}
"""


def test_another_name_is_everything_s_name():
    text = json.dumps(rendered({**ALL, "name": "router", "secrets": {"keys": "k", "gateway": "g"}}))
    for each in rendered({"name": "router"}):
        assert each["metadata"]["name"].startswith("router")
    assert "redis://router-redis:6379/0" in text
    assert '"app.kubernetes.io/name": "llm-sidecar' not in text


def test_a_configuration_of_one_s_own_is_taken_as_it_is():
    text = "# mine\nmodel_providers:\n  - {model: openai/gpt-4o}\n"
    found = one(rendered({"config": text}), "ConfigMap")["data"]["sidecar.yaml"]
    assert found == text


def test_its_own_configurations_are_without_mistakes():
    for way in ("gateway", "sidecar"):
        text = one(rendered(WAYS[way]), "ConfigMap")["data"]["sidecar.yaml"]
        assert read_text(text, "sidecar.yaml", {}).config.providers


def test_it_is_of_this_version():
    with helm_python.Chart.load(CHART) as chart:
        assert (chart.version, chart.metadata["appVersion"]) == (__version__, __version__)
    container = one(rendered({}), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"ghcr.io/llm-sidecar/llm-sidecar:{__version__}"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"mode": "both"}, "/mode"),
        ({"replicas": 3}, "replicas"),
        ({"image": {"tagg": "1"}}, "/image"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"config": {"version": "v0.4.0"}}, "/config"),
        ({"name": "Not A Name"}, "/name"),
        ({"autoscaling": {"targetCPU": 0}}, "/autoscaling/targetCPU"),
        ({"resources": {"limits": {"memory": "a lot"}}}, "/resources/limits/memory"),
        ({"monitoring": {"interval": "15"}}, "/monitoring/interval"),
        ({"terminationGracePeriodSeconds": "75"}, "/terminationGracePeriodSeconds"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_name(values, place):
    with pytest.raises(helm_python.HelmValuesError, match=re.escape(place)):
        rendered(values)


def test_the_schema_knows_every_value_and_a_template_uses_it():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assert set(values) == set(known) - {"global"}
    for name, value in values.items():
        whole = not isinstance(value, dict) or name in ("resources", "sidecarResources", "nodeSelector")
        for path in [name] if whole else [f"{name}.{key}" for key in value]:
            assert f".Values.{path}" in templates, path


def _by_name(objects):
    return {(each["kind"], each["metadata"]["name"]): _bare(each) for each in objects}


def _bare(found):
    """Without who manages it and which version it is, which only charts say of everything; a configuration by its content."""
    labels = dict(found["metadata"].get("labels", {}))
    for told in ("managed-by", "version"):
        labels.pop(f"app.kubernetes.io/{told}", None)
    bare = {**found, "metadata": {**found["metadata"], "labels": labels}}
    if found["kind"] == "ConfigMap":
        bare["data"] = {name: yaml.safe_load(text) for name, text in found["data"].items()}
    return bare

"""The manifests of deploy/ as tests read them: rendered by the real tools, and judged by the real schemas."""

import asyncio
import json
import os
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from referencing import Registry, Resource

DEPLOY = Path(__file__).parents[1] / "deploy"
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
"""Of Kubernetes: the first with native sidecars that need no switch, and the newest whose schemas are installed."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""That in C: a tenth of the time, and most of these tests' time is YAML."""
_SELECTOR = {"type": "object", "properties": {"matchLabels": {"type": "object"}, "matchExpressions": {"type": "array"}}}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def _strict(required, **properties):
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


CUSTOM = {
    "PodMonitor": _strict(
        ("selector", "podMetricsEndpoints"),
        selector=_SELECTOR,
        podMetricsEndpoints={
            "type": "array",
            "items": _strict(
                ("port", "path"),
                port={"type": "string"},
                path={"type": "string"},
                interval={"type": "string", "pattern": r"^\d+(ms|s|m|h)$"},
                relabelings={
                    "type": "array",
                    "items": _strict((), targetLabel={"type": "string"}, replacement={"type": "string"}),
                },
            ),
        },
    ),
    "PrometheusRule": _strict(
        ("groups",),
        groups={
            "type": "array",
            "minItems": 1,
            "items": _strict(
                ("name", "rules"),
                name={"type": "string"},
                rules={
                    "type": "array",
                    "items": {
                        **_strict(
                            ("expr",),
                            record={"type": "string"},
                            alert={"type": "string"},
                            expr={"type": "string"},
                            **{"for": {"type": "string", "pattern": r"^\d+m$"}},
                            labels=_TEXTS,
                            annotations=_TEXTS,
                        ),
                        "oneOf": [{"required": ["record"]}, {"required": ["alert"]}],
                    },
                },
            ),
        },
    ),
}
"""Kind -> what its spec may have. Not part of Kubernetes: the parts that are used here of
https://prometheus-operator.dev/docs/api-reference/api/"""


@cache
def kustomized(folder):
    """
    What `kubectl apply -k` would apply for a folder: objects.

    Rendered by kustomize itself: the program, or as a library, or in kubectl. Fails in CI when there is none of them,
    and skips elsewhere.
    """
    return objects_of(_kustomize(str(folder)))


def objects_of(text):
    """Those of a YAML stream; an empty document is none."""
    return [found for found in yaml.load_all(text, _LOADER) if found]


def _kustomize(folder):
    for command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if program := shutil.which(command[0]):
            made = subprocess.run([program, *command[1:], folder], capture_output=True, text=True, check=False)  # noqa: S603
            assert made.returncode == 0, made.stderr
            return made.stdout
    try:
        import pykustomize  # noqa: PLC0415 - where a program is installed, nothing needs it
    except ImportError:
        says = "there is no kustomize: install it, or kubectl, or what tests/run.sh installs"
        if os.environ.get("CI"):
            pytest.fail(says)
        pytest.skip(says)
    return asyncio.run(pykustomize.build(folder)).yaml


def invalid(found, version):
    """What is wrong with an object for that version of Kubernetes: a sentence, or None."""
    group, _, _ = found["apiVersion"].rpartition("/")
    if group == "monitoring.coreos.com":
        checker = jsonschema.Draft202012Validator(CUSTOM[found["kind"]])
        mistakes = [each.message for each in checker.iter_errors(found["spec"])]
    else:
        mistakes = [each.message for each in _checker(found["kind"], found["apiVersion"], version).iter_errors(found)]
    return f"{found['kind']} {found['metadata']['name']}: {mistakes[0]}" if mistakes else None


@cache
def _checker(kind, api_version, version):
    """As kubernetes_validate.validate makes one, but once: reading the definitions takes most of its time."""
    group, _, number = api_version.rpartition("/")
    short = f"{group.split('.')[0]}-{number}" if group else number
    schema = json.loads((_schemas(version) / f"{kind.lower()}-{short}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(version))


def _schemas(version):
    folder = f"kubernetes-json-schema/v{version.removesuffix('.0')}.0-local-strict"
    return Path(str(files("kubernetes_validate"))) / folder


@cache
def _definitions(version):
    definitions = json.loads((_schemas(version) / "_definitions.json").read_text())
    return (Resource.from_contents(definitions) @ Registry()).crawl()


def one(objects, kind, name=None):
    """The only one of that kind, and name."""
    (found,) = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    return found


def workloads(objects):
    """Those that make pods."""
    return [each for each in objects if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job")]


def containers(pod_spec):
    """All, init containers first."""
    return [*pod_spec.get("initContainers", ()), *pod_spec["containers"]]


def sidecar_of(workload):
    """The container llm-sidecar."""
    (found,) = [each for each in containers(workload["spec"]["template"]["spec"]) if each["name"] == "llm-sidecar"]
    return found


def selects(selector, labels):
    """Whether a selector of labels chooses something with these."""
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    return exact and all(
        {"Exists": each["key"] in labels, "In": labels.get(each["key"]) in each.get("values", ())}[each["operator"]]
        for each in selector.get("matchExpressions", ())
    )

"""deploy/kubernetes/injector, as kustomize renders it: valid for Kubernetes, and of one mind with the code."""

import argparse
import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from sidecar import __version__
from sidecar.injector import options
from sidecar.injector.app import PATH, State, Status
from sidecar.injector.serving import settings_of
from sidecar.injector.sockets import STOP_S
from sidecar.injector.tallies import Tallies
from sidecar.injector.template import built_in

DEPLOY = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUBERNETES = ("1.29", kubernetes_validate.latest_version())
SERVICE = "llm-sidecar-injector.llm-sidecar-injector.svc"
SELECTORS = {
    "In": lambda labels, key, values: labels.get(key) in values,
    "NotIn": lambda labels, key, values: labels.get(key) not in values,
}


def installed(program):
    if shutil.which(program) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return program


def run(*words, **environ):
    """What a program printed; it must end with 0."""
    done = subprocess.run(  # noqa: S603 - our own words
        [*map(str, words)], capture_output=True, text=True, check=False, env={**os.environ, **environ}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rendered():
    """`rendered(folder)`: kind → object."""

    @cache
    def render(folder="injector"):
        out = run(installed("kubectl"), "kustomize", DEPLOY / folder)
        return {each["kind"]: each for each in yaml.safe_load_all(out)}

    return render


def container_of(deployment):
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_what_kubernetes_takes(rendered, version):
    objects = rendered()
    assert len(objects) == 7
    for each in objects.values():
        kubernetes_validate.validate(each, version, strict=True)


def test_the_deployments_words_are_those_of_the_command(rendered, tmp_path):
    container = container_of(rendered()["Deployment"])
    parser = argparse.ArgumentParser()
    options.add(parser.add_subparsers(), print, int)
    asked = parser.parse_args(container["args"])
    settings = settings_of(asked)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (settings.port, settings.admin_port, asked.run) == (ports["webhook"], ports["admin"], print)
    (mount,) = container["volumeMounts"]
    assert {path.parent for path in (settings.certificate, settings.key)} == {Path(mount["mountPath"])}
    assert {settings.certificate.name, settings.key.name} == {"tls.crt", "tls.key"}


def test_a_pod_is_given_the_time_that_its_drain_takes(rendered):
    spec = rendered()["Deployment"]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > 5 + STOP_S
    assert "--drain-delay=5" in spec["containers"][0]["args"]


def test_probes_ask_for_what_there_is(rendered):
    container = container_of(rendered()["Deployment"])
    served = {route.resource.canonical for route in Status(Tallies(), State()).build().router.routes()}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in served
        assert container[probe]["httpGet"]["port"] == "admin"


def test_the_way_from_the_api_server_leads_to_the_webhook(rendered):
    objects = rendered()
    service, deployment = objects["Service"], objects["Deployment"]
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    for webhook in objects["MutatingWebhookConfiguration"]["webhooks"]:
        called = webhook["clientConfig"]["service"]
        assert (called["name"], called["namespace"]) == (service["metadata"]["name"], service["metadata"]["namespace"])
        assert (called["path"], called["port"]) == (PATH, port["port"])
    assert port["targetPort"] in {each["name"] for each in container_of(deployment)["ports"]}
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        chosen = objects[kind]["spec"].get("selector") or objects[kind]["spec"]["podSelector"]
        assert chosen["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_the_policy_leaves_the_ports_open_that_are_served(rendered):
    objects = rendered()
    spec = objects["NetworkPolicy"]["spec"]
    opened = {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
    assert opened == {port["containerPort"] for port in container_of(objects["Deployment"])["ports"]}
    assert ("Egress" in spec["policyTypes"], "egress" in spec) == (True, False)


def test_the_image_is_of_this_version_and_that_of_the_template(rendered):
    objects = rendered()
    image = container_of(objects["Deployment"])["image"]
    assert image == built_in().container["image"]
    for each in objects.values():
        assert each["metadata"]["labels"]["app.kubernetes.io/version"] == __version__ == image.rpartition(":")[2]


def asked(configuration, namespace, labels, pod_labels):
    """The webhooks whose selectors let a pod through; conditions are left to API servers."""
    found = []
    for webhook in configuration["webhooks"]:
        given = ((webhook["namespaceSelector"], {"kubernetes.io/metadata.name": namespace, **labels}),
                 (webhook.get("objectSelector", {}), pod_labels))  # fmt: skip
        rules = [(rule, has) for selector, has in given for rule in selector.get("matchExpressions", [])]
        if all(SELECTORS[rule["operator"]](has, rule["key"], rule["values"]) for rule, has in rules):
            found.append(webhook["name"].partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("namespace", "labels", "pod", "webhooks"),
    [
        ("agents", {"llm-sidecar/injection": "enabled"}, {}, ["namespaces"]),
        ("agents", {"llm-sidecar/injection": "enabled"}, {"llm-sidecar/inject": "true"}, ["namespaces"]),
        ("agents", {"llm-sidecar/injection": "enabled"}, {"llm-sidecar/inject": "false"}, []),
        ("agents", {"llm-sidecar/injection": "disabled"}, {"llm-sidecar/inject": "true"}, []),
        ("agents", {}, {}, ["pods"]),
        ("kube-system", {"llm-sidecar/injection": "enabled"}, {"llm-sidecar/inject": "true"}, []),
        ("llm-sidecar-injector", {"llm-sidecar/injection": "enabled"}, {"llm-sidecar/inject": "true"}, []),
    ],
)
def test_who_is_asked_about(rendered, namespace, labels, pod, webhooks):
    configuration = rendered()["MutatingWebhookConfiguration"]
    assert asked(configuration, namespace, labels, pod) == webhooks


def test_neither_webhook_can_hold_up_a_pod(rendered):
    for webhook in rendered()["MutatingWebhookConfiguration"]["webhooks"]:
        assert webhook["failurePolicy"] == "Ignore"
        assert (webhook["reinvocationPolicy"], webhook["sideEffects"]) == ("IfNeeded", "None")
        assert webhook["timeoutSeconds"] <= 5
        (rule,) = webhook["rules"]
        assert (rule["resources"], rule["operations"]) == (["pods"], ["CREATE"])


def test_with_cert_manager_the_names_of_the_certificate_fit(rendered):
    objects = rendered("injector/cert-manager")
    certificate, service = objects["Certificate"], objects["Service"]["metadata"]
    annotations = objects["MutatingWebhookConfiguration"]["metadata"]["annotations"]
    named = f"{certificate['metadata']['namespace']}/{certificate['metadata']['name']}"
    assert annotations == {"cert-manager.io/inject-ca-from": named}
    assert f"{service['name']}.{service['namespace']}.svc" in certificate["spec"]["dnsNames"]
    assert certificate["spec"]["issuerRef"]["name"] == objects["Issuer"]["metadata"]["name"]
    (volume,) = objects["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert certificate["spec"]["secretName"] == volume["secret"]["secretName"]


KUBECTL = """#!/usr/bin/env bash
case "$1" in
  get) cat "$FOLDER/bundle" 2>/dev/null || true;;
  patch) printf %s "${@: -1}" > "$FOLDER/patch";;
  create) while [ $# -gt 0 ]; do case "$1" in --cert) cp "$2" "$FOLDER/tls.crt";; --key) cp "$2" "$FOLDER/tls.key";; esac; shift; done;
          echo "kind: Secret";;
  apply) cat > "$FOLDER/applied";;
esac
"""


async def test_the_script_makes_a_pair_that_api_servers_trust_and_keeps_the_one_before(tmp_path, injector):
    installed("openssl")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    bundles = []
    for _ in range(2):
        run(DEPLOY / "injector" / "certificate.sh", KUBECTL=str(kubectl), FOLDER=str(tmp_path))
        first, second = json.loads((tmp_path / "patch").read_text())
        assert (first["path"], second["path"]) == tuple(f"/webhooks/{at}/clientConfig/caBundle" for at in (0, 1))
        assert first["value"] == second["value"]
        (tmp_path / "bundle").write_text(first["value"])
        bundles.append(base64.b64decode(first["value"]).decode())
    assert [bundle.count("BEGIN CERTIFICATE") for bundle in bundles] == [1, 2]
    running = await injector(tmp_path)
    trusting = ssl.create_default_context(cadata=bundles[1])
    _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=trusting, server_hostname=SERVICE)
    writer.close()
    assert (tmp_path / "applied").read_text() == "kind: Secret\n"


def test_what_is_injected_is_what_the_kustomize_component_adds():
    template = built_in()
    patch = yaml.safe_load((DEPLOY / "sidecar" / "pod.yaml").read_text())["spec"]["template"]
    (container,) = patch["spec"]["initContainers"]
    assert container == template.container
    assert patch["spec"]["volumes"] == list(template.volumes)
    assert patch["metadata"]["labels"] == template.labels
    urls = yaml.safe_load((DEPLOY / "sidecar" / "urls.yaml").read_text())["data"]
    assert urls == {each["name"]: each["value"] for each in template.env}

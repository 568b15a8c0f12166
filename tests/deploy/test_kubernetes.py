import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from manifests import DEPLOY, NEWEST, OLDEST, containers, invalid, kustomized, one, selects, sidecar_of, workloads

from sidecar import __version__
from sidecar.cli import _parser
from sidecar.config import read_text
from sidecar.config.models import Admin, Listener

KUBERNETES = DEPLOY / "kubernetes"
KEYS = "/etc/sidecar/keys"
MODES = {"example": "agent", "gateway": "llm-sidecar"}
"""Folder -> the Deployment in it whose pods have a sidecar."""


@pytest.fixture(scope="session", params=MODES)
def mode(request):
    """(objects, the workload that has the sidecar)."""
    objects = kustomized(KUBERNETES / request.param)
    return objects, one(objects, "Deployment", MODES[request.param])


@pytest.fixture
def serving(mode, tmp_path):
    """The configuration of a mode, with keys where the Secret would have them: what `sidecar.config.read_text` gives."""
    return _loaded(_config_text(mode[0]), tmp_path)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("folder", ["base", "redis", "example", "gateway"])
def test_kubernetes_takes_every_object(folder, version):
    assert [wrong for each in kustomized(KUBERNETES / folder) if (wrong := invalid(each, version))] == []


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_the_example_of_the_secrets(version):
    assert [wrong for each in _secrets() if (wrong := invalid(each, version))] == []


def test_a_mistake_in_an_object_would_be_found():
    """What judges the others, judged."""
    pod = one(kustomized(KUBERNETES / "gateway"), "Deployment")
    monitor = one(kustomized(KUBERNETES / "base"), "PodMonitor")
    assert "'replica' was unexpected" in invalid({**pod, "spec": {**pod["spec"], "replica": 2}}, OLDEST)
    assert "'selector' is a required" in invalid({**monitor, "spec": {"podMetricsEndpoints": []}}, OLDEST)


def test_no_secret_is_ever_applied():
    for folder in ("base", *MODES):
        assert not [each for each in kustomized(KUBERNETES / folder) if each["kind"] == "Secret"]


def test_the_sidecar_is_a_native_one_and_starts_first():
    pod = _pod("example")
    first = pod["initContainers"][0]
    assert (first["name"], first["restartPolicy"]) == ("llm-sidecar", "Always")
    assert first["startupProbe"]["httpGet"]["path"] == "/ready"


def test_the_injector_adds_the_same():
    template = yaml.safe_load((DEPLOY.parent / "sidecar/injector/template.yaml").read_text())
    found = one(kustomized(KUBERNETES / "example"), "Deployment")["spec"]["template"]
    assert found["spec"]["initContainers"] == [template["container"]]
    assert found["spec"]["volumes"] == template["volumes"]
    assert found["spec"]["containers"][0]["env"] == template["env"]
    assert found["metadata"]["labels"].items() >= template["labels"].items()


def test_every_kind_of_agent_gets_it_and_keeps_what_it_has(tmp_path):
    """In `tmp_path` a copy of the component: kustomize takes no folder from elsewhere by an absolute path."""
    found = one(_patched(tmp_path, _agent("StatefulSet", label="true")), "StatefulSet")
    pod = found["spec"]["template"]["spec"]
    assert [each["name"] for each in containers(pod)] == ["llm-sidecar", "before", "mine", "beside"]
    assert pod["containers"][0]["env"] == [
        {"name": "MINE", "value": "1"},
        {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:12000/v1"},
        {"name": "ANTHROPIC_BASE_URL", "value": "http://127.0.0.1:12000"},
    ]
    assert "env" not in pod["containers"][1]
    assert {each["name"] for each in pod["volumes"]} > {"mine", "llm-sidecar-config"}
    assert pod["terminationGracePeriodSeconds"] == 120


def test_what_has_no_label_is_left_alone(tmp_path):
    agent = _agent("Deployment", label="false")
    assert one(_patched(tmp_path, agent), "Deployment") == agent


def test_the_agent_asks_the_port_that_the_sidecar_listens_on():
    listener = _loaded(_config_text(kustomized(KUBERNETES / "example"))).config.listener
    (agent,) = _pod("example")["containers"]
    urls = {each["name"]: each["value"] for each in agent["env"]}
    assert listener.address == Listener().address
    assert urls == {
        "OPENAI_BASE_URL": f"http://{listener.address}:{listener.port}/v1",
        "ANTHROPIC_BASE_URL": f"http://{listener.address}:{listener.port}",
    }


def test_ports_are_the_programs_own(mode, serving):
    ports = {each["name"]: each["containerPort"] for each in sidecar_of(mode[1])["ports"]}
    assert ports == {"llm-model": Listener().port, "llm-admin": Admin().port}
    assert ports == {"llm-model": serving.config.listener.port, "llm-admin": serving.config.admin.port}


def test_the_configuration_has_no_mistakes_and_nothing_to_warn_of_but_plain_text(serving):
    assert [each for each in serving.warnings if "travel in plain text" not in each] == []


def test_what_it_is_started_with_is_a_command_and_its_file_is_there(mode):
    objects, workload = mode
    container = sidecar_of(workload)
    asked = _parser().parse_args(container["args"])
    folder, file = asked.config.rsplit("/", 1)
    mount = next(each for each in container["volumeMounts"] if each["mountPath"] == folder)
    volume = next(each for each in workload["spec"]["template"]["spec"]["volumes"] if each["name"] == mount["name"])
    assert asked.run.__name__ == "_up"
    assert file in one(objects, "ConfigMap", volume["configMap"]["name"])["data"]


def test_every_key_and_variable_of_the_configuration_comes_from_a_secret_of_the_example(mode):
    objects, workload = mode
    text, container, pod = _config_text(objects), sidecar_of(workload), workload["spec"]["template"]["spec"]
    secrets = {each["metadata"]["name"]: set(each["stringData"]) for each in _secrets()}
    assert set(re.findall(rf"{KEYS}/([\w-]+)", text)) <= _key_files(pod, secrets)
    taken = {each["name"]: each.get("valueFrom", {}).get("secretKeyRef") for each in container.get("env", ())}
    for variable in re.findall(r"\$(\w+)", text):
        assert taken[variable]["key"] in secrets[taken[variable]["name"]]


def test_what_is_written_is_written_to_a_volume(mode, serving):
    mounts = {each["mountPath"] for each in sidecar_of(mode[1])["volumeMounts"] if not each.get("readOnly")}
    snapshot = serving.config.routing.session_cache.snapshot
    assert mounts == {"/var/lib/sidecar"}
    assert snapshot is None or str(Path(snapshot).parent) in mounts


def test_mounts_name_volumes_that_are_there():
    for folder in MODES:
        for workload in workloads(kustomized(KUBERNETES / folder)):
            pod = workload["spec"]["template"]["spec"]
            claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())]
            there = {*claims, *(each["name"] for each in pod.get("volumes", ()))}
            assert {each["name"] for one in containers(pod) for each in one.get("volumeMounts", ())} <= there


def test_there_is_more_time_to_end_than_a_drain_takes(mode, serving):
    drain = serving.config.drain
    of_kubernetes = 30
    given = mode[1]["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", of_kubernetes)
    assert given > drain.delay_s + drain.timeout_s


def test_who_can_be_asked_from_elsewhere_wants_to_know_by_whom():
    """And gives load balancers the time to look elsewhere."""
    config = _loaded(_config_text(kustomized(KUBERNETES / "gateway"))).config
    assert config.listener.address == "0.0.0.0"
    assert [key.name for key in config.listener.auth.keys] == ["agents"]
    assert config.drain.delay_s >= 5
    assert config.routing.session_cache.type == "redis"


@pytest.mark.parametrize("folder", MODES)
def test_our_containers_may_do_nothing_but_their_work(folder):
    ours = [
        each
        for workload in workloads(kustomized(KUBERNETES / folder))
        for each in containers(workload["spec"]["template"]["spec"])
        if each["name"] in ("llm-sidecar", "redis")
    ]
    assert ours
    for container in ours:
        may = dict(container["securityContext"])
        assert may.pop("runAsUser") == may.pop("runAsGroup") > 0
        assert may == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["resources"]["limits"]["memory"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}


def test_no_pod_of_ours_has_a_token_of_the_cluster():
    objects = kustomized(KUBERNETES / "gateway")
    assert one(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    for workload in workloads(objects):
        assert workload["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


async def test_probes_and_prometheus_ask_for_what_is_there(mode, start):
    objects, workload = mode
    running = await start()
    container, monitor = sidecar_of(workload), one(objects, "PodMonitor")
    (scraped,) = monitor["spec"]["podMetricsEndpoints"]
    asked = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    for path in {*asked, scraped["path"]}:
        async with running.client.get(running.admin + path) as answer:
            assert answer.status == 200, path
    assert asked == {"/ready", "/live"}
    assert scraped["port"] in {each["name"] for each in container["ports"]}
    assert selects(monitor["spec"]["selector"], workload["spec"]["template"]["metadata"]["labels"])


async def test_the_hook_before_the_end_says_not_ready_and_still_serves(start, run_command):
    running = await start()
    hook = sidecar_of(one(kustomized(KUBERNETES / "example"), "Deployment"))["lifecycle"]["preStop"]["exec"]["command"]
    assert await run_command(hook, running.admin) == 0
    async with running.client.get(f"{running.admin}/ready") as answer:
        assert answer.status == 503
    status, _, _ = await running.decide()
    assert status == 200


def test_the_admin_port_is_for_prometheus_only():
    for folder, name in (("example", "llm-sidecar"), ("gateway", "llm-sidecar-gateway")):
        objects = kustomized(KUBERNETES / folder)
        policy = one(objects, "NetworkPolicy", name)["spec"]
        labels = one(objects, "Deployment", MODES[folder])["spec"]["template"]["metadata"]["labels"]
        assert selects(policy["podSelector"], labels)
        admitted = [rule.get("from", "anybody") for rule in policy["ingress"] if _allows(rule, Admin().port)]
        assert admitted == [[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]]


def test_everything_else_of_an_agent_is_as_reachable_as_before():
    rules = one(kustomized(KUBERNETES / "base"), "NetworkPolicy")["spec"]["ingress"]
    anybody = [rule for rule in rules if "from" not in rule]
    edges = (1, 9900, 9901, 9902, 12000, 65535)
    assert [port for port in edges if not any(_allows(rule, port) for rule in anybody)] == [Admin().port]


def test_the_policy_for_agents_does_not_open_the_gateway():
    labels = one(kustomized(KUBERNETES / "gateway"), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not selects(one(kustomized(KUBERNETES / "base"), "NetworkPolicy")["spec"]["podSelector"], labels)


def test_what_the_gateway_is_made_of_finds_each_other():
    objects = kustomized(KUBERNETES / "gateway")
    deployment, service = one(objects, "Deployment"), one(objects, "Service", "llm-sidecar")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert selects(deployment["spec"]["selector"], labels)
    assert service["spec"]["selector"].items() <= labels.items()
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (Listener().port, "llm-model")
    assert selects(one(objects, "PodDisruptionBudget")["spec"]["selector"], labels)
    target = one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    assert account == one(objects, "ServiceAccount")["metadata"]["name"]


def test_the_gateway_finds_its_redis_and_may_call_it():
    objects = kustomized(KUBERNETES / "gateway")
    redis, service = one(objects, "StatefulSet"), one(objects, "Service", "llm-sidecar-redis")
    labels = redis["spec"]["template"]["metadata"]["labels"]
    url = yaml.safe_load(_config_text(objects))["routing"]["session_cache"]["url"]
    assert url == f"redis://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/0"
    assert service["spec"]["selector"].items() <= labels.items()
    egress = one(objects, "NetworkPolicy", "llm-sidecar-gateway")["spec"]["egress"]
    assert any(_allows(rule, 6379) and selects(rule["to"][0].get("podSelector", {}), labels) for rule in egress[1:])
    ingress = one(objects, "NetworkPolicy", "llm-sidecar-redis")["spec"]["ingress"]
    gateway = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert [selects(each["podSelector"], gateway) for rule in ingress for each in rule["from"]] == [True]


def test_what_is_said_twice_is_what_build_py_makes():
    subprocess.run([sys.executable, DEPLOY / "build.py", "--check"], check=True)  # noqa: S603


def test_the_rules_are_those_of_prometheus():
    written = yaml.safe_load((DEPLOY / "prometheus/rules.yaml").read_text())
    assert one(kustomized(KUBERNETES / "base"), "PrometheusRule")["spec"] == written


def test_everything_is_of_this_version():
    for folder in MODES:
        objects = kustomized(KUBERNETES / folder)
        image = sidecar_of(one(objects, "Deployment", MODES[folder]))["image"]
        assert image == f"ghcr.io/llm-sidecar/llm-sidecar:{__version__}"
        told = {each["metadata"].get("labels", {}).get("app.kubernetes.io/version", __version__) for each in objects}
        assert told == {__version__}


def _pod(folder):
    return one(kustomized(KUBERNETES / folder), "Deployment", MODES[folder])["spec"]["template"]["spec"]


def _config_text(objects):
    return one(objects, "ConfigMap", "llm-sidecar")["data"]["sidecar.yaml"]


def _loaded(text, keys=None):
    """With a file for each key in the folder `keys`, when it is given."""
    if keys is not None:
        for name in re.findall(rf"{KEYS}/([\w-]+)", text):
            (keys / name).write_text("a-key-of-some-length\n")
        text = text.replace(KEYS, str(keys))
    return read_text(text, "sidecar.yaml", dict.fromkeys(re.findall(r"\$(\w+)", text), "a-secret-of-some-length"))


def _secrets():
    return list(yaml.safe_load_all((KUBERNETES / "base/secret.example.yaml").read_text()))


def _key_files(pod, secrets):
    """The names of the files in /etc/sidecar/keys, if the Secrets are as in the example."""
    (volume,) = [each for each in pod["volumes"] if each["name"] == "llm-sidecar-keys"]
    if "secret" in volume:
        return secrets[volume["secret"]["secretName"]]
    found = set()
    for source in (each["secret"] for each in volume["projected"]["sources"]):
        assert {item["key"] for item in source.get("items", ())} <= secrets[source["name"]]
        found |= {item["path"] for item in source["items"]} if "items" in source else secrets[source["name"]]
    return found


def _allows(rule, port):
    return any(
        each["protocol"] == "TCP" and each["port"] <= port <= each.get("endPort", each["port"])
        for each in rule.get("ports", ())
    )


def _agent(kind, label):
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "mine", "labels": {"llm-sidecar/inject": label}},
        "spec": {
            "template": {
                "spec": {
                    "initContainers": [{"name": "before", "image": "i"}],
                    "containers": [
                        {"name": "mine", "image": "i", "env": [{"name": "MINE", "value": "1"}]},
                        {"name": "beside", "image": "i"},
                    ],
                    "volumes": [{"name": "mine", "emptyDir": {}}],
                    "terminationGracePeriodSeconds": 120,
                }
            }
        },
    }


def _patched(folder, agent):
    """The agent after the component."""
    component = folder / "sidecar"
    component.mkdir()
    for path in (KUBERNETES / "sidecar").iterdir():
        (component / path.name).write_text(path.read_text())
    (folder / "agent.yaml").write_text(yaml.safe_dump(agent))
    (folder / "kustomization.yaml").write_text("resources: [agent.yaml]\ncomponents: [sidecar]\n")
    return kustomized(folder)

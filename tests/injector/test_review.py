"""Reviews as an API server sends them: what becomes of the pod, and what is said of those that stay as they are."""

import json
from contextlib import suppress

import kubernetes_validate
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from sidecar.injector.review import NoReview, answer_to, judged, review_of
from sidecar.injector.template import built_in

TEMPLATE = built_in()
KUBERNETES = ("1.29", kubernetes_validate.latest_version())
NAMES = ("bare", "deployment", "cronjob", "meshed")


@pytest.fixture(scope="module")
def ask(answer_of):
    """`ask(review)`: the answer of the built-in template."""

    def asked(review, template=TEMPLATE):
        read = review_of(json.dumps(review).encode())
        return answer_of(json.loads(answer_to(read, judged(read, template)))["response"])

    return asked


def names(items):
    return [item["name"] for item in items]


def env_of(container):
    return {each["name"]: each.get("value") for each in container.get("env", [])}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_what_becomes_of_a_pod_is_a_pod(ask, pod, review, name, version):
    kubernetes_validate.validate(ask(review(pod(name))).applied(pod(name)), version, strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_asked_a_second_time_nothing_is_changed(ask, pod, review, name):
    injected = ask(review(pod(name))).applied(pod(name))
    again = ask(review(injected))
    assert (again.operations, again.warning) == ([], None)


@pytest.mark.parametrize("name", NAMES)
def test_the_sidecar_is_the_first_init_container_and_the_others_stay_as_they_were(ask, pod, review, name):
    before, after = pod(name), ask(review(pod(name))).applied(pod(name))
    assert after["spec"]["initContainers"][0] == TEMPLATE.container
    assert after["spec"]["initContainers"][1:] == before["spec"].get("initContainers", [])


@pytest.mark.parametrize("name", NAMES)
def test_all_that_the_pod_said_is_still_there(ask, pod, review, name):
    before, after = pod(name), ask(review(pod(name))).applied(pod(name))
    assert before["metadata"].get("labels", {}).items() <= after["metadata"]["labels"].items()
    volumes = before["spec"].get("volumes", [])
    assert after["spec"]["volumes"][: len(volumes)] == volumes
    assert names(after["spec"]["volumes"][len(volumes) :]) == names(TEMPLATE.volumes)
    for was, now in zip(before["spec"]["containers"], after["spec"]["containers"], strict=True):
        env = was.get("env", [])
        assert now["env"][: len(env)] == env
        assert {**now, "env": None} == {**was, "env": None}


def test_base_urls_are_set_where_they_are_not_set_yet(ask, pod, review):
    agent, tools = ask(review(pod("deployment"))).applied(pod("deployment"))["spec"]["containers"]
    assert env_of(agent)["OPENAI_BASE_URL"] == "http://other.example/v1"
    assert env_of(agent)["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:12000"
    assert env_of(tools) == {each["name"]: each["value"] for each in TEMPLATE.env}


def test_an_annotation_names_the_containers_that_get_them_init_containers_too(ask, pod, review):
    given = pod("cronjob", {"llm-sidecar/containers": "summarise, report"})
    spec = ask(review(given)).applied(given)["spec"]
    found = {each["name"]: "OPENAI_BASE_URL" in env_of(each) for each in (*spec["initContainers"], *spec["containers"])}
    assert found == {"llm-sidecar": False, "fetch": False, "summarise": True, "report": True}


def test_an_empty_list_of_containers_means_none(ask, pod, review):
    given = pod("deployment", {"llm-sidecar/containers": ""})
    after = ask(review(given)).applied(given)
    assert after["spec"]["containers"] == given["spec"]["containers"]
    assert names(after["spec"]["initContainers"]) == ["llm-sidecar"]


def test_annotations_say_which_configuration_keys_image_level_and_resources(ask, pod, review):
    wishes = {
        "config": "team-a",
        "keys-secret": "team-a-keys",
        "image": "registry.example:5000/llm-sidecar:2@sha256:" + "a" * 64,
        "log-level": "debug",
        "cpu-request": "200m",
        "cpu-limit": "1.5",
        "memory-request": "256Mi",
        "memory-limit": "1Gi",
    }
    given = pod("deployment", {f"llm-sidecar/{key}": value for key, value in wishes.items()})
    after = ask(review(given)).applied(given)
    container, volumes = after["spec"]["initContainers"][0], after["spec"]["volumes"]
    assert volumes[0]["configMap"]["name"] == "team-a"
    assert volumes[1]["secret"] == {"secretName": "team-a-keys", "optional": True}
    assert container["image"] == wishes["image"]
    assert container["args"] == [*TEMPLATE.container["args"], "--log-level", "debug"]
    assert container["resources"] == {
        "requests": {"cpu": "200m", "memory": "256Mi"},
        "limits": {"cpu": "1.5", "memory": "1Gi"},
    }
    for version in KUBERNETES:
        kubernetes_validate.validate(after, version, strict=True)
    assert ask(review(pod("deployment"))).operations[-1]["value"] == [TEMPLATE.container], "the template was changed"


@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_a_pod_that_says_no_is_left_alone_without_a_word(ask, pod, review, place):
    answer = ask(review(pod("bare", **{place: {"llm-sidecar/inject": "false"}})))
    assert answer.response.keys() == {"uid", "allowed"}


def test_a_pod_that_says_yes_gets_it(ask, pod, review):
    assert ask(review(pod("bare", {"llm-sidecar/inject": "true"}))).operations


def test_a_no_counts_more_than_a_yes(ask, pod, review):
    said = pod("bare", {"llm-sidecar/inject": "true"}, {"llm-sidecar/inject": "false"})
    assert ask(review(said)).operations == []


def test_the_mirror_of_a_static_pod_is_left_alone_without_a_word(ask, pod, review):
    answer = ask(review(pod("bare", {"kubernetes.io/config.mirror": "9f0c"})))
    assert (answer.operations, answer.warning) == ([], None)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"hostNetwork": True}, "on the host's network"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "Windows"),
        ({"os": {"name": "windows"}}, "Windows"),
        ({"resources": {"requests": {"memory": "64Mi"}}}, "spec.resources"),
        ({"containers": []}, "no containers"),
        ({"containers": [{"name": "envoy", "ports": [{"containerPort": 9901}]}]}, "envoy has port 9901"),
        ({"volumes": [{"name": "llm-sidecar-state", "emptyDir": {}}]}, "a volume named llm-sidecar-state"),
    ],
)
def test_a_pod_that_could_not_run_with_it_is_left_alone_and_told_why(ask, pod, review, spec, words):
    answer = ask(review(pod("deployment", **spec)))
    assert answer.operations == []
    assert words in answer.warning


def test_a_selector_of_linux_is_no_obstacle(ask, pod, review):
    given = pod("deployment", nodeSelector={"kubernetes.io/os": "linux"}, os={"name": "linux"}, hostNetwork=False)
    assert ask(review(given)).operations


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("inject", "yes", '"true" or "false", got \'yes\''),
        ("config", "Team_A", "the name of a ConfigMap"),
        ("config", "a" * 254, "the name of a ConfigMap"),
        ("keys-secret", "../etc", "the name of a Secret"),
        ("image", "an image", "must be an image"),
        ("image", "", "must be an image"),
        ("log-level", "loud", "one of debug, info, warning, error"),
        ("memory-limit", "lots", "a quantity"),
        ("cpu-request", "-1", "a quantity"),
        ("cpu-request", "0", "a quantity"),
        ("containers", "agent,nobody", "'nobody', which the pod does not have"),
        ("confg", "team-a", "did you mean llm-sidecar/config?"),
        ("something-else", "1", "no annotation of the sidecar"),
    ],
)
def test_an_annotation_that_cannot_be_used_leaves_the_pod_and_says_which(ask, pod, review, key, value, words):
    answer = ask(review(pod("deployment", {f"llm-sidecar/{key}": value})))
    assert answer.operations == []
    assert words in answer.warning
    assert f"llm-sidecar/{key}" in answer.warning
    assert len(answer.warning) <= 256


def test_a_request_over_its_limit_leaves_the_pod(ask, pod, review):
    given = pod("deployment", {"llm-sidecar/memory-request": "2Gi", "llm-sidecar/memory-limit": "1Gi"})
    assert "memory-request is over llm-sidecar/memory-limit" in ask(review(given)).warning


@pytest.mark.parametrize(
    ("key", "value", "memory"),
    [("memory-request", "2Gi", ("2Gi", "2Gi")), ("memory-limit", "64Mi", ("64Mi", "64Mi"))],
)
def test_what_a_pod_asks_for_moves_the_default_that_is_in_its_way(ask, pod, review, key, value, memory):
    given = pod("deployment", {f"llm-sidecar/{key}": value})
    found = ask(review(given)).applied(given)["spec"]["initContainers"][0]["resources"]
    assert (found["requests"]["memory"], found["limits"]["memory"]) == memory
    assert found["requests"]["cpu"] == "50m"


def test_a_wish_that_the_template_has_no_place_for_leaves_the_pod(ask, pod, review):
    bare = evolve(TEMPLATE, volumes=())
    answer = ask(review(pod("deployment", {"llm-sidecar/config": "team-a"})), bare)
    assert answer.operations == []
    assert "has no configMap" in answer.warning


def test_null_counts_as_missing(ask, pod, review):
    given = pod("bare", initContainers=None, volumes=None)
    given["metadata"] |= {"labels": None, "annotations": None}
    given["spec"]["containers"][0]["env"] = None
    after = ask(review(given)).applied(given)
    assert names(after["spec"]["initContainers"]) == ["llm-sidecar"]
    assert names(after["spec"]["volumes"]) == names(TEMPLATE.volumes)
    assert names(after["spec"]["containers"][0]["env"]) == names(TEMPLATE.env)
    assert after["metadata"]["labels"] == TEMPLATE.labels


def test_a_label_that_is_there_stays(ask, pod, review):
    given = pod("deployment", labels={"llm-sidecar/present": "mine"})
    assert ask(review(given)).applied(given)["metadata"]["labels"]["llm-sidecar/present"] == "mine"


def test_a_template_without_extras_adds_its_container_only(ask, pod, review):
    bare = evolve(TEMPLATE, volumes=(), env=(), labels={})
    for name in NAMES:
        (operation,) = ask(review(pod(name)), bare).operations
        assert operation["path"].startswith("/spec/initContainers")


EPHEMERAL = {"subResource": "ephemeralcontainers", "operation": "UPDATE"}
DEPLOYMENT = {
    "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
    "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
}


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (EPHEMERAL, "no pod"),
        (DEPLOYMENT, "no pod"),
        ({"kind": None}, "no pod"),
        ({"resource": {"group": "", "version": "v2", "resource": "pods"}}, "no pod"),
        ({"subResource": "binding"}, "no pod"),
        ({"operation": "UPDATE"}, "operation 'UPDATE' is not CREATE"),
        ({"operation": "DELETE", "object": None}, "operation 'DELETE' is not CREATE"),
        ({"operation": ["CREATE"]}, "is not CREATE"),
        ({"object": None}, "metadata is missing"),
        ({"object": []}, "object is no object"),
        ({"object": {"metadata": {}}}, "spec is missing"),
        ({"object": {"metadata": {}, "spec": 1}}, "spec is no object"),
        ({"object": {"metadata": {"annotations": []}, "spec": {}}}, "metadata.annotations is no object"),
        ({"object": {"metadata": {}, "spec": {"containers": {}}}}, "spec.containers is no list"),
        ({"object": {"metadata": {}, "spec": {"containers": [{}]}}}, "spec.containers[0].name is no text"),
        ({"object": {"metadata": {}, "spec": {"containers": [{"name": "a", "env": 1}]}}}, "env is no list"),
        ({"object": {"metadata": {}, "spec": {"volumes": [[]]}}}, "spec.volumes is no object"),
    ],
)
def test_what_is_not_understood_is_allowed_as_it_is_and_told(ask, pod, review, request_, words):
    answer = ask(review(pod("bare"), **request_))
    assert answer.operations == []
    assert words in answer.warning


def test_another_version_of_the_review_is_answered_in_that_version_and_changes_nothing(pod, review):
    old = {**review(pod("bare")), "apiVersion": "admission.k8s.io/v1beta1"}
    read = review_of(json.dumps(old).encode())
    answer = json.loads(answer_to(read, judged(read, TEMPLATE)))
    assert answer["apiVersion"] == "admission.k8s.io/v1beta1"
    assert "v1beta1 is not" in answer["response"]["warnings"][0]


def test_a_mistake_of_ours_stops_no_pod_and_its_cause_is_logged(ask, pod, review, caplog):
    answer = ask(review(pod("bare")), evolve(TEMPLATE, env=({},)))  # no template that was read is like this
    assert (answer.operations, "the injector failed" in answer.warning) == ([], True)
    assert caplog.records[0].exc_info[0] is KeyError


def test_a_dry_run_has_the_same_answer(ask, pod, review):
    assert ask(review(pod("bare"), dryRun=True)).response == ask(review(pod("bare"))).response


def test_a_warning_is_one_short_line_whatever_it_quotes(ask, pod, review):
    answer = ask(review(pod("bare", {"llm-sidecar/log-level": "\x1b[2J\n" + "é" * 5000})))
    assert len(answer.warning) <= 256
    assert answer.warning.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"kind":"AdmissionReview"}',
        b'{"kind":"Pod","apiVersion":"v1"}',
        b'{"kind":"AdmissionReview","apiVersion":"v1","request":{"uid":"1"}}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":""}}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":7}}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"1"}}',
    ],
)
def test_what_is_no_review_is_refused(body):
    with pytest.raises(NoReview) as caught:
        review_of(body)
    assert caught.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES = (
    (),
    ("metadata",),
    ("metadata", "annotations"),
    ("metadata", "annotations", "llm-sidecar/inject"),
    ("metadata", "annotations", "llm-sidecar/memory-limit"),
    ("metadata", "annotations", "llm-sidecar/containers"),
    ("metadata", "labels"),
    ("metadata", "generateName"),
    ("spec",),
    ("spec", "os"),
    ("spec", "nodeSelector"),
    ("spec", "hostNetwork"),
    ("spec", "volumes"),
    ("spec", "volumes", 0),
    ("spec", "initContainers"),
    ("spec", "initContainers", 0, "ports"),
    ("spec", "containers", 0),
    ("spec", "containers", 0, "name"),
    ("spec", "containers", 0, "env"),
    ("spec", "containers", 0, "ports"),
)


def replaced(value, path, by):
    """A copy of `value` with `by` at `path`."""
    if not path:
        return by
    step, *rest = path
    copied = list(value) if isinstance(value, list) else dict(value)
    inner = copied[step] if isinstance(step, int) or step in copied else {}
    copied[step] = replaced(inner, rest, by)
    return copied


@given(st.sampled_from(PLACES), JSON)
def test_a_pod_with_anything_anywhere_is_allowed_and_no_mistake_of_ours(ask, pod, review, place, value):
    given_ = replaced(pod("cronjob"), place, value)
    answer = ask(review(given_))
    assert answer.warning is None or "the injector failed" not in answer.warning
    if answer.operations:
        assert ask(review(answer.applied(given_))).operations == []


@given(
    st.binary(max_size=64) | JSON.map(lambda value: json.dumps({"kind": "AdmissionReview", "request": value}).encode())
)
def test_any_bytes_are_a_review_or_refused(body):
    with suppress(NoReview):
        assert review_of(body).uid

"""The template of the package, and those that a cluster brings."""

import pytest

from sidecar import __version__
from sidecar.config import builtin
from sidecar.errors import ConfigError
from sidecar.injector.template import built_in, parsed, read

LEAST = "container: {name: llm-sidecar, image: i, restartPolicy: Always}"


def test_the_built_in_template_is_of_this_version_and_its_ports_are_the_defaults():
    template, config = built_in(), builtin({})
    assert template.container["image"].rpartition(":")[2] == __version__
    assert template.ports == {config.listener.port, config.admin.port}
    assert {each["value"].removesuffix("/v1") for each in template.env} == {f"http://127.0.0.1:{config.listener.port}"}


def test_the_built_in_template_mounts_every_volume_that_it_brings():
    template = built_in()
    mounted = {mount["name"] for mount in template.container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in template.volumes}


def test_a_template_needs_no_more_than_a_container():
    template = parsed(LEAST, "t.yaml")
    assert (template.name, template.ports, template.volumes, template.env) == ("llm-sidecar", frozenset(), (), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the template must be a mapping"),
        ("[]", "the template must be a mapping"),
        ("a: [", "t.yaml:1: is not YAML"),
        ("{1: 2}", "the template must be a mapping"),
        ("volumes: []", "container must be a mapping"),
        (f"{LEAST}\nenvs: []", "envs is no key of a template"),
        ("container: {image: i, restartPolicy: Always}", "container.name must be a text"),
        ("container: {name: a, restartPolicy: Always}", "container.image must be a text"),
        ("container: {name: a, image: i}", "container.restartPolicy must be Always"),
        ("container: {name: a, image: i, restartPolicy: Always, args: [1]}", "container.args[0] must be a text"),
        ("container: {name: a, image: i, restartPolicy: Always, ports: [{}]}", "containerPort must be a number"),
        (
            "container: {name: a, image: i, restartPolicy: Always, resources: {limits: {memory: much}}}",
            "container.resources.limits.memory must be a quantity",
        ),
        (f"{LEAST}\nvolumes: [{{}}]", "volumes[0].name must be a text"),
        (f"{LEAST}\nenv: {{}}", "env must be a list"),
        (f"{LEAST}\nlabels: {{a: true}}", "labels.a must be a text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, words):
    with pytest.raises(ConfigError) as caught:
        parsed(text, "t.yaml")
    assert str(caught.value).startswith("t.yaml")
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "nowhere.yaml")


def test_a_file_is_read(tmp_path):
    (tmp_path / "t.yaml").write_text(LEAST)
    assert read(tmp_path / "t.yaml").container["image"] == "i"

"""config/reference.yaml and config/sidecar.yaml say what is true."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from attrs import evolve
from certificates import write_pair

from sidecar.config import builtin, read, read_text
from sidecar.config.keys import FILE
from sidecar.config.table import walk

FOLDER = Path(__file__).parents[2] / "config"
REFERENCE = (FOLDER / "reference.yaml").read_text()
ENVIRON = {"OPENAI_API_KEY": "sk-test", "ANTHROPIC_API_KEY": "sk-test"}

EXAMPLES = {
    "model_providers",  # there is no model by default
    "model_providers.0.model",
    "model_providers.0.access_key",
    "model_aliases",
    "model_aliases.fast",
    "model_aliases.fast.target",
    "routing_preferences",
    "routing_preferences.0.name",
    "routing_preferences.0.description",
    "routing_preferences.0.models",
    "routing_preferences.0.selection_policy.prefer",  # needed once there is a policy
}


def with_commented_keys():
    # `#key:`, or deeper under one; a sentence has one space.
    return re.sub(r"^( *)#(?=\S|(?:  ){1,3}\S)", r"\1", REFERENCE, flags=re.MULTILINE)


def key_lines(text):
    return [(number, line) for number, line in enumerate(text.splitlines()) if re.match(r"^ *#?(- )?\w+:( |$)", line)]


def written_paths(value, path=""):
    """`routing.classifier.type`, `model_providers[].model`, `model_aliases.<alias>.target`."""
    if isinstance(value, list):
        for item in value:
            yield from written_paths(item, path + "[]")
    if isinstance(value, dict):
        for key, inner in value.items():
            step = "<alias>" if path == "model_aliases" else key
            yield (inside := f"{path}.{step}" if path else step)
            yield from written_paths(inner, inside)


def active_keys(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(value, dict):
            yield (*path, key)
        yield from active_keys(inner, (*path, key))


def without(tree, path):
    rest = copy.deepcopy(tree)
    inner = rest
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return rest


def test_the_reference_loads_without_a_warning():
    assert read_text(REFERENCE, "reference.yaml", ENVIRON).warnings == ()


def test_the_reference_has_every_key_that_is_read():
    written = set(written_paths(yaml.safe_load(with_commented_keys())))
    known = {path for path, key in walk(FILE) if not key.other_way}
    other = {path for path, key in walk(FILE) if key.other_way}
    missing = {path for path in known - written if not any(path.startswith((way + ".", way + "[")) for way in other)}
    assert not missing


def test_the_reference_mentions_every_other_way_to_say_something():
    ways = {path.rpartition(".")[2] for path, key in walk(FILE) if key.other_way}
    assert {way for way in ways if not re.search(rf"\b{way}\b", REFERENCE)} == set()


def test_the_reference_loads_with_its_commented_keys_too(tmp_path):
    # A key is given once: in the file or in one beside it.
    text = with_commented_keys().replace("    access_key: $OPENAI_API_KEY\n", "")
    (tmp_path / "reference.yaml").write_text(text)
    (tmp_path / "prompt.txt").write_text("Which route?")
    (tmp_path / "keys").mkdir()
    write_pair(tmp_path)
    for name in ("keys/openai", "keys/reviewer"):
        (tmp_path / name).write_text(f"a key for {name}\n")
    config = read(tmp_path / "reference.yaml", ENVIRON).config
    assert config.routing.classifier.template == "Which route?"
    assert config.providers[0].access_key.reveal() == "a key for keys/openai"
    assert [key.name for key in config.listener.auth.keys] == ["planner", "reviewer"]


def defaults():
    return [path for path in active_keys(yaml.safe_load(REFERENCE)) if ".".join(map(str, path)) not in EXAMPLES]


@pytest.mark.parametrize("path", defaults(), ids=str)
def test_leaving_out_a_key_changes_nothing(path):
    tree = yaml.safe_load(REFERENCE)
    whole = read_text(yaml.safe_dump(tree), "reference.yaml", ENVIRON).config
    assert read_text(yaml.safe_dump(without(tree, path)), "reference.yaml", ENVIRON).config == whole


def test_every_key_of_the_reference_has_its_sentence_above_it():
    lines = REFERENCE.splitlines()
    bare = [line for number, line in key_lines(REFERENCE) if not re.match(r" *# \S", lines[number - 1])]
    assert bare == []


def test_sidecar_yaml_says_what_is_served_without_a_file():
    assert evolve(read(FOLDER / "sidecar.yaml", ENVIRON).config, source="built-in") == builtin(ENVIRON)

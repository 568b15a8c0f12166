import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import builtin, read, read_text
from sidecar.config.keys import FILE
from sidecar.config.models import Config
from sidecar.config.refused import TOP
from sidecar.config.table import walk
from sidecar.errors import ConfigError

CANARY = "canary-7f3a"


def told(path):
    with pytest.raises(ConfigError) as caught:
        read(path, {})
    return str(caught.value)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"version: \xe9\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    assert told(tmp_path / "none.yaml") == f"{tmp_path}/none.yaml cannot be read: No such file or directory"
    assert told(tmp_path) == f"{tmp_path} cannot be read: Is a directory"
    assert told(tmp_path / "latin.yaml").endswith("latin.yaml is not UTF-8 text: byte 9 does not belong there")
    assert told(tmp_path / "large.yaml").endswith("large.yaml is too large: it may have 1048576 bytes at most")
    assert told("/dev/zero") == "/dev/zero is too large: it may have 1048576 bytes at most"
    assert told("a\0b").endswith("cannot be read: that is no path")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path):
    (tmp_path / "secret.yaml").touch(mode=0)
    assert told(tmp_path / "secret.yaml").endswith("cannot be read: Permission denied")


def test_a_file_with_a_byte_order_mark_and_carriage_returns_is_read(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbfversion: v0.3.0\r\nadmin:\r\n  port: 1\r\n")
    config = read(str(tmp_path / "config.yaml"), {}).config
    assert (config.version, config.admin.port, config.source) == ("v0.3.0", 1, str(tmp_path / "config.yaml"))


def test_a_template_is_read_beside_the_file(tmp_path):
    endpoint = "type: llm, model: m, base_url: 'http://h/v1'"
    (tmp_path / "config.yaml").write_text(f"routing: {{classifier: {{{endpoint}, template: prompts/a.txt}}}}")
    (tmp_path / "prompts").mkdir()
    assert "names the file 'prompts/a.txt', which cannot be read: No such file" in told(tmp_path / "config.yaml")
    (tmp_path / "prompts/a.txt").write_text("Choose a route.")
    assert read(tmp_path / "config.yaml", {}).config.routing.classifier.template == "Choose a route."
    (tmp_path / "prompts/a.txt").write_text(" \n")
    assert "which is empty" in told(tmp_path / "config.yaml")


def test_a_file_without_models_loads_and_says_so():
    loaded = read_text("", "config.yaml", {})
    assert loaded.config == Config(source="config.yaml")
    assert loaded.warnings == (
        "config.yaml:1: the file has no model_providers, so there is no model that could answer",
    )


def test_without_a_file_two_routes_are_served():
    config = builtin({"OPENAI_API_KEY": "sk-1"})
    assert [(route.name, route.models[0]) for route in config.routes] == [
        ("code_generation", "anthropic/claude-sonnet-4-20250514"),
        ("complex_reasoning", "openai/gpt-4o"),
    ]
    assert [provider.missing for provider in config.providers] == [(), (), ("ANTHROPIC_API_KEY",)]
    assert config.source == "built-in"


def test_a_configuration_never_shows_its_keys():
    assert CANARY not in repr(builtin({"OPENAI_API_KEY": CANARY}))


def outcome(text):
    """What a person would see: the configuration, or the mistakes."""
    try:
        return repr(read_text(text, "config.yaml", {"KEY": CANARY})).split("\n")
    except ConfigError as exc:
        return str(exc).split("\n")


def loads_or_says_why(text):
    lines = outcome(text)
    assert [line for line in lines if CANARY in line] == []
    assert lines[0].startswith("Loaded(") or all(line.startswith("config.yaml:") for line in lines)


KEYS = sorted({path.rpartition(".")[2].strip("[]") for path, _ in walk(FILE)} | set(TOP))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["openai/gpt-4o", "openai/*", "gpt-4o", "$KEY", "llm", "embedded", "model", "30s", "http://h", "auto", "v0.4.0"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5) | st.integers(), inner, max_size=6)
    ),
    max_leaves=12,
)
SECRETS = st.sampled_from(
    [{"access_key": CANARY}, {"headers": {"X": CANARY}}, {"headers": [CANARY]}, {"base_url": CANARY}]
)


@st.composite
def files(draw):
    """Values in the places where they are looked for, with a secret where secrets are."""
    tree = draw(st.dictionaries(st.sampled_from(sorted(FILE.keys)), VALUES, max_size=6))
    for name in draw(st.sets(st.sampled_from(["routing", "overrides", "tracing", "listener"]))):
        nested = FILE.key(name).read
        table = getattr(nested, "table", nested)
        keys = sorted(getattr(table, "keys", {})) or KEYS
        tree[name] = draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=4))
    provider = draw(st.dictionaries(st.sampled_from(["model", "name", "default", "routing_preferences"]), VALUES))
    tree["model_providers"] = [provider | draw(SECRETS)]
    return yaml.dump(tree, Dumper=yaml.CSafeDumper, allow_unicode=draw(st.booleans()))


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_any_text_loads_or_is_a_config_error(text):
    loads_or_says_why(text)


@settings(max_examples=150, deadline=None)
@given(files())
def test_any_yaml_loads_or_is_a_config_error_and_no_secret_is_told(text):
    loads_or_says_why(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t$<0x1.", max_size=60))
def test_any_scribble_in_yamls_own_letters_loads_or_is_a_config_error(text):
    loads_or_says_why(text)

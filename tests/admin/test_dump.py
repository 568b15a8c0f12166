"""The configuration as operators may see it."""

import json

import pytest
from attrs import evolve, frozen

from sidecar.admin.dump import ConfigDump, InForce, redacted, without_secrets
from sidecar.config import read_text
from sidecar.config.models import Config, Secret

CANARY = "canary-7f3a"
SECRETS = f"""
model_providers:
  - model: openai/gpt-4o
    access_key: $KEY
    default: true
    base_url: https://gateway.example/v1
    headers: {{x-team: "team-{CANARY}"}}
  - {{model: anthropic/claude-sonnet, access_key: $UNSET}}
  - {{model: mistral/large, access_key: sk-{CANARY}}}
routing:
  classifier: {{type: llm, base_url: http://localhost/v1, model: small, access_key: "{CANARY}"}}
"""


def loaded():
    config = read_text(SECRETS, "test.yaml", {"KEY": f"sk-{CANARY}"}).config
    # A file may hold no password in a URL; what makes a configuration in another way might.
    url = f"https://user-{CANARY}:pw-{CANARY}@gateway.example/v1?key={CANARY}"
    first, *others = config.providers
    return evolve(config, providers=(evolve(first, base_url=url), *others))


async def test_the_whole_configuration_is_shown_with_its_defaults_and_without_its_secrets(port):
    client = await port(ConfigDump(lambda: InForce(loaded())))
    async with client.get("/config_dump") as answer:
        text = await answer.text()
    assert CANARY not in text
    found = json.loads(text)
    assert found["listener"]["port"] == 12000
    assert found["routing"]["session_ttl_policy"] == "sliding"
    first, second, third = found["providers"]
    assert (first["access_key"], second["access_key"], third["access_key"]) == ("***", None, "***")
    assert first["headers"] == {"x-team": "***"}
    assert first["base_url"] == "https://***@gateway.example/v1?key=***"
    assert second["missing"] == ["UNSET"]
    assert found["routing"]["classifier"]["access_key"] == "***"


def test_nothing_of_a_configuration_is_left_out():
    assert set(redacted(Config())) == {field.name for field in Config.__attrs_attrs__}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://me:pw@host:8080/v1", "https://***@host:8080/v1"),
        ("https://token@host", "https://***@host"),
        ("https://a@b:c@host/x", "https://***@host/x"),
        ("https://host/v1?key=a&b=c;d=e#f", "https://host/v1?key=***&b=***;d=***#***"),
        ("https://host/v1?bare", "https://host/v1?***"),
        ("https://host/v1?key=a?b=c", "https://host/v1?key=***"),
        ("https://host/v1?a=b/c@d", "https://host/v1?a=***"),
        ("https://host/v1?", "https://host/v1?"),
        ("https://host/v1#key=a", "https://host/v1#key=***"),
        ("https://me:p/w@host/v1", "https://***@host/v1"),
        ("ask https://me:pw@host and mail me@home?", "ask https://***@host and mail me@home?"),
        ("is that so? who=me", "is that so? who=me"),
    ],
)
def test_a_password_or_a_key_in_a_url_is_hidden(text, shown):
    assert without_secrets(text) == shown


def test_what_is_not_known_to_be_harmless_is_not_shown():
    @frozen
    class Odd:
        thing: object

    with pytest.raises(TypeError):
        redacted(Odd(object()))
    assert redacted(Odd({"a": (Secret("x"), Secret(None, "X"))})) == {"thing": {"a": ["***", None]}}

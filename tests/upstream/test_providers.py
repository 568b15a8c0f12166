"""The table, row by row, against the URLs that the providers document."""

import pytest

from sidecar.config.models import Provider
from sidecar.upstream.providers import GENERIC, TABLE, Auth, flaw, row_of
from sidecar.wire.formats import Format


def provider(model, **settings):
    return Provider(model, model, **settings)


@pytest.mark.parametrize("name", TABLE)
def test_every_row_is_a_whole_place(name):
    row = TABLE[name]
    assert row.origin is None or row.origin.startswith(("https://", "http://localhost:"))
    assert row.origin is None or row.origin.count("/") == 2
    assert row.prefix.startswith("/")
    assert not row.prefix.endswith("/")
    assert row.speaks
    assert len(set(row.speaks)) == len(row.speaks)


@pytest.mark.parametrize(
    "name",
    [
        "openai",
        "anthropic",
        "azure_openai",
        "gemini",
        "mistral",
        "groq",
        "deepseek",
        "xai",
        "together_ai",
        "openrouter",
        "moonshotai",
        "zhipu",
        "qwen",
        "vercel",
        "digitalocean",
        "xiaomi",
        "ollama",
        "vllm",
        "plano",
    ],
)
def test_every_name_of_planos_that_is_promised_is_known(name):
    assert flaw(provider(f"{name}/m", base_url="https://somewhere.example")) is None


@pytest.mark.parametrize(
    ("settings", "speaks", "auth"),
    [
        ({"model": "openai/m"}, (Format.CHAT, Format.RESPONSES), Auth.BEARER),
        ({"model": "anthropic/m"}, (Format.MESSAGES,), Auth.X_API_KEY),
        ({"model": "azure_openai/m"}, (Format.CHAT, Format.RESPONSES), Auth.API_KEY),
        ({"model": "ours/m", "interface": "openai"}, (Format.CHAT,), Auth.BEARER),
        ({"model": "ours/m", "interface": "responses"}, (Format.CHAT, Format.RESPONSES), Auth.BEARER),
        ({"model": "ours/m", "interface": "anthropic"}, (Format.MESSAGES,), Auth.X_API_KEY),
        ({"model": "ours/m", "interface": "groq"}, (Format.CHAT,), Auth.BEARER),
        ({"model": "ours/m"}, (Format.CHAT,), Auth.BEARER),
        ({"model": "openai/m", "interface": "openai"}, (Format.CHAT, Format.RESPONSES), Auth.BEARER),
        ({"model": "deepseek/m", "interface": "anthropic"}, (Format.MESSAGES,), Auth.X_API_KEY),
    ],
)
def test_an_interface_in_the_file_says_more_than_the_name(settings, speaks, auth):
    row = row_of(provider(base_url="https://somewhere.example", **settings))
    assert (row.speaks, row.auth) == (speaks, auth)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"model": "ours/m"}, "is of no provider known here: it needs base_url and provider_interface"),
        ({"model": "ours/m", "interface": "openai"}, "needs base_url"),
        ({"model": "azure_openai/m"}, "needs base_url"),
        ({"model": "qwen/m"}, "needs base_url"),
        ({"model": "deepseek/m", "interface": "anthropic"}, "needs base_url"),
        ({"model": "amazon_bedrock/m"}, "is of no provider known here"),
        ({"model": "ours/m", "interface": "amazon_bedrock", "base_url": "https://x.example"}, "amazon_bedrock"),
    ],
)
def test_an_entry_that_can_never_be_called_says_why(settings, expected):
    assert expected in flaw(provider(**settings))


def test_a_base_url_that_waits_for_a_variable_is_no_flaw_of_the_entry():
    assert flaw(provider("azure_openai/m", missing=("AZURE_URL",))) is None


def test_nobody_is_asked_what_he_refuses_to_be_asked():
    rows = [*TABLE.values(), *GENERIC.values()]
    assert not any(row.asks_usage and row.refuses_usage for row in rows)
    assert any(row.refuses_usage for row in rows)


def test_the_generic_rows_have_no_place_of_their_own():
    assert {row.origin for row in GENERIC.values()} == {None}

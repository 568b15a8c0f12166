import pytest

from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider

TEXT = """
model_providers:
  - model: openai/gpt-4o
    name: big
  - model: azure/gpt-4o
    default: true
  - model: azure/gpt-4o-mini
  - model: openrouter/meta-llama/llama-3
  - model: plano/hf.co/x/y:Q4
  - model: openai/*
    name: everything
  - model: openai/gpt-5
model_aliases:
  fast: {target: gpt-4o-mini}
  faster: fast
  fastest: faster
  clever: {target: openai/o3}
  gpt-5: azure/gpt-4o
"""


@pytest.fixture
def catalog(config):
    return Catalog.of(config(TEXT))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),  # an id
        ("big", "openai/gpt-4o"),  # an entry's name
        ("fast", "azure/gpt-4o-mini"),  # an alias of a bare name
        ("fastest", "azure/gpt-4o-mini"),  # an alias of an alias of an alias
        ("clever", "openai/o3"),  # an alias of what a wildcard covers
        ("gpt-5", "azure/gpt-4o"),  # an alias comes before a bare name
        ("gpt-4o-mini", "azure/gpt-4o-mini"),  # a bare name
        ("gpt-4o", "openai/gpt-4o"),  # a bare name that two declare: the first
        ("meta-llama/llama-3", "openrouter/meta-llama/llama-3"),  # a bare name with a slash
        ("openrouter/meta-llama/llama-3", "openrouter/meta-llama/llama-3"),
        ("plano/hf.co/x/y:Q4", "plano/hf.co/x/y:Q4"),
        ("openai/anything", "openai/anything"),  # a wildcard
        ("openai/any/thing", "openai/any/thing"),
    ],
)
def test_a_name_resolves_to_the_model_it_means(catalog, name, model):
    assert catalog.resolve(name) == model


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing",
        "openai/*",
        "everything",
        "*",
        "openai/",
        "/",
        "openai",
        "azure/o3",
        "llama-3",
        "openai/a b",
        "openai/a\r\nx-evil: 1",
        "openai/*x",
        "openai/é",
        "openai/" + "x" * 300,
        "GPT-4o",
    ],
)
def test_a_name_that_means_no_model_resolves_to_nothing(catalog, name):
    assert catalog.resolve(name) is None


def test_the_models_are_the_concrete_ids_in_the_order_of_the_file(catalog):
    assert catalog.models == (
        "openai/gpt-4o",
        "azure/gpt-4o",
        "azure/gpt-4o-mini",
        "openrouter/meta-llama/llama-3",
        "plano/hf.co/x/y:Q4",
        "openai/gpt-5",
    )
    assert catalog.default == "azure/gpt-4o"


def test_an_exact_entry_serves_its_model_and_the_wildcard_the_rest(catalog):
    assert catalog.provider_of("openai/gpt-5").model == "openai/gpt-5"
    assert catalog.provider_of("openai/o3").model == "openai/*"
    assert catalog.provider_of("mistral/x") is None


def test_without_models_there_is_nothing_and_no_default():
    empty = Catalog.of(Config())
    assert (empty.models, empty.default, empty.resolve("auto")) == ((), None, None)


def test_names_that_clients_invent_are_not_remembered(catalog):
    before = catalog.names()
    for number in range(1000):
        catalog.resolve(f"openai/model-{number}")
    assert catalog.names() == before


def test_aliases_that_go_round_in_a_circle_resolve_to_nothing():
    provider = Provider(model="a/b", name="a/b")
    catalog = Catalog.of(Config(providers=(provider,), aliases={"x": "y", "y": "z", "z": "x", "w": "x", "s": "s"}))
    assert [catalog.resolve(name) for name in "xyzws"] == [None] * 5

import pytest

from sidecar.config.catalog import Catalog
from sidecar.config.models import Route
from sidecar.config.routes import read_preferences
from sidecar.errors import RequestError

TEXT = """
model_providers:
  - model: openai/gpt-4o
  - model: openai/gpt-4o-mini
  - model: anthropic/*
model_aliases: {fast: gpt-4o-mini}
"""


@pytest.fixture
def catalog(config):
    return Catalog.of(config(TEXT))


@pytest.fixture
def refused(catalog):
    def read(raw):
        with pytest.raises(RequestError) as caught:
            read_preferences(raw, catalog)
        return caught.value

    return read


def preference(**keys):
    return {"name": "code", "description": "writing code", "models": ["fast"]} | keys


def routes(text):
    return TEXT + "routing_preferences:\n" + text


def test_candidates_are_kept_as_the_ids_they_mean(config):
    text = "  - {name: code, description: writing code, models: [fast, gpt-4o, anthropic/claude], examples: [fix this]}"
    assert config(routes(text)).routes == (
        Route("code", "writing code", ("openai/gpt-4o-mini", "openai/gpt-4o", "anthropic/claude"), ("fix this",)),
    )


def test_every_mistake_in_a_route_is_told(mistakes):
    text = """\
  - name: code
    description: writing code
    models: [gpt-4p, 'anthropic/*', gpt-4o, openai/gpt-4o, 5]
  - name: code
    models: []
    descriptoin: x
  - description: ''
    models: fast
"""
    assert mistakes(routes(text)) == [
        "config.yaml:10: routing_preferences[0].models[4] must be text, got 5: put it in quotes",
        "config.yaml:10: routing_preferences[0].models[0] must be a model or alias of the configuration, got 'gpt-4p';"
        " did you mean 'gpt-4o'?",
        "config.yaml:10: routing_preferences[0].models[1] must be one model, not a pattern, got 'anthropic/*'",
        "config.yaml:10: routing_preferences[0].models[3] is a model that the route has already, in line 10: openai/gpt-4o",
        "config.yaml:11: routing_preferences[1] needs the key 'description'",
        "config.yaml:11: routing_preferences[1].name must be unique, got 'code' as in line 8",
        "config.yaml:12: routing_preferences[1].models must name at least one model",
        "config.yaml:13: routing_preferences[1].descriptoin is no known key; did you mean 'description'?",
        "config.yaml:14: routing_preferences[2] needs the key 'name'",
        "config.yaml:14: routing_preferences[2].description must not be empty",
        "config.yaml:15: routing_preferences[2].models must be a list, got text",
    ]


def test_a_wish_for_the_cheapest_is_read_and_told_to_be_unused(load, mistakes):
    text = "  - {name: a, description: b, models: [fast], selection_policy: {prefer: %s}}"
    assert load(routes(text % "none")).warnings == ()
    assert "tried in the order of the file, not cheapest first" in load(routes(text % "cheapest")).warnings[0]
    assert "must be none, cheapest or fastest, got 'best'" in mistakes(routes(text % "best"))[0]


INLINE = """
version: v0.3.0
model_providers:
  - model: openai/gpt-4o
    routing_preferences:
      - {name: code, description: writing code}
      - {name: talk, description: small talk}
  - model: openai/gpt-4o-mini
    routing_preferences:
      - {name: code, description: other words}
      - {name: plan, description: not this}
routing_preferences:
  - {name: plan, description: planning, models: [gpt-4o]}
"""


def test_routes_under_providers_become_routes_over_those_providers(load):
    loaded = load(INLINE)
    assert [(route.name, route.description, route.models) for route in loaded.config.routes] == [
        ("plan", "planning", ("openai/gpt-4o",)),
        ("code", "writing code", ("openai/gpt-4o", "openai/gpt-4o-mini")),
        ("talk", "small talk", ("openai/gpt-4o",)),
    ]
    assert loaded.warnings == (
        "config.yaml:10: model_providers[1].routing_preferences[0].description is not used: the route has the"
        " description in line 6",
    )


def test_they_do_whatever_the_version(config):
    assert config(INLINE).routes == config(INLINE.replace("v0.3.0", "v0.4.0")).routes


def test_a_pattern_is_nothing_to_route_to(mistakes):
    text = "llm_providers: [{model: openai/*, routing_preferences: [{name: a, description: b}]}]"
    assert mistakes(text) == [
        "config.yaml:1: llm_providers[0].routing_preferences needs one model to route to, and openai/* is a pattern"
    ]


@pytest.mark.parametrize("raw", [None, [], ()])
def test_no_preferences_are_no_routes(catalog, raw):
    assert read_preferences(raw, catalog) == ()


def test_a_requests_preferences_are_read_like_the_files(catalog):
    assert read_preferences([preference(models=["gpt-4o", "anthropic/x"], examples=["a"])], catalog) == (
        Route("code", "writing code", ("openai/gpt-4o", "anthropic/x"), ("a",)),
    )


@pytest.mark.parametrize(
    ("raw", "param", "said"),
    [
        ({}, "routing_preferences", "must be a list, got a mapping"),
        ("code", "routing_preferences", "must be a list, got text"),
        ([preference()] * 65, "routing_preferences", "must have at most 64 entries, got 65"),
        ([5], "routing_preferences[0]", "must be a mapping of keys, got a number"),
        ([preference(), preference()], "routing_preferences[1].name", "must be unique, got 'code'"),
        ([preference(), preference(name="b", models=["nope"])], "routing_preferences[1].models[0]", "got 'nope'"),
        ([preference(models=[])], "routing_preferences[0].models", "must name at least one model"),
        ([preference(models=["anthropic/*"])], "routing_preferences[0].models[0]", "not a pattern"),
        ([preference(name=None)], "routing_preferences[0]", "needs the key 'name'"),
        ([preference(name=5)], "routing_preferences[0].name", "must be text, got 5"),
        ([preference(name="\ud800")], "routing_preferences[0].name", "half a character"),
        ([preference(description=True)], "routing_preferences[0].description", "must be text, got true"),
        ([preference(exmples=[])], "routing_preferences[0].exmples", "did you mean 'examples'?"),
        ([preference(examples=10**5000)], "routing_preferences[0].examples", "must be a list, got a number"),
        ([preference(name=10**5000)], "routing_preferences[0].name", "got a very large number"),
    ],
)
def test_a_mistake_in_a_request_is_told_with_its_path(refused, raw, param, said):
    error = refused(raw)
    assert (error.status, error.code, error.param) == (400, "invalid_request", param)
    assert error.message.startswith(param)
    assert said in error.message


def test_the_first_ten_mistakes_are_told_and_the_first_one_is_the_param(refused):
    error = refused([preference(name=f"r{number}", models=["nope"], x=1) for number in range(10)])
    assert error.message.count(";") >= 10
    assert error.message.endswith("; and 10 more")
    assert error.param == "routing_preferences[0].models[0]"


def test_a_request_nested_without_end_is_refused(refused):
    raw = []
    for _ in range(900):
        raw = [raw]
    assert refused([preference(examples=raw)]).status == 400

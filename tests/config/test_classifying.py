import pytest

from sidecar.config.models import Breaker, Classifier, ClassifierKind

PROVIDERS = """
model_providers:
  - {model: plano/hf.co/x/Router:Q4, base_url: "http://localhost:11434", access_key: $OPENAI_API_KEY, name: router}
  - {model: openai/gpt-4o}
  - {model: vllm/*, base_url: "http://vllm/api"}
  - {model: far/away, base_url: "http://$NOWHERE"}
"""


def test_a_classifier_may_be_only_a_word(config, mistakes):
    assert config("routing: {classifier: embedded}").routing.classifier == Classifier()
    assert (
        "routing.classifier must be embedded, llm or embeddings, got 'arch'"
        in mistakes("routing: {classifier: arch}")[0]
    )


def test_a_classifier_is_read_whole(config):
    text = """\
    routing:
      classifier:
        type: llm
        timeout: 500ms
        base_url: http://$HOST/v1
        model: router
        access_key: $KEY
        breaker: {failures: 2, cooldown_seconds: 1.5}
    """
    classifier = config(text, HOST="h", KEY="k").routing.classifier
    assert (classifier.type, classifier.timeout_s, classifier.model) == (ClassifierKind.LLM, 0.5, "router")
    assert (classifier.base_url, classifier.access_key.reveal()) == ("http://h/v1", "k")
    assert classifier.breaker == Breaker(2, 1.5)


@pytest.mark.parametrize("value", ["{type: llm}", "llm", "{type: embeddings}", "embeddings"])
def test_an_endpoint_needs_its_address_and_its_model(mistakes, value):
    found = mistakes(f"routing: {{classifier: {value}}}")
    assert [line.partition(" when")[0] for line in found] == [
        "config.yaml:1: routing.classifier needs the key 'base_url'",
        "config.yaml:1: routing.classifier needs the key 'model'",
    ]


def test_an_endpoint_whose_address_is_not_known_is_a_mistake(mistakes):
    text = "routing: {classifier: {type: llm, model: x, base_url: 'http://$HOST'}}"
    assert mistakes(text) == [
        "config.yaml:1: routing.classifier.base_url needs the environment variable HOST, which is not set"
    ]


def test_a_key_of_its_own_that_is_missing_is_told(warnings):
    text = "model_providers: [{model: a/b}]\n"
    text += "routing: {classifier: {type: llm, model: x, base_url: 'http://h/v1', access_key: $LATER}}"
    assert warnings(text) == [
        "config.yaml:2: routing.classifier.access_key needs the environment variable LATER, which is not set"
    ]


def test_the_timeout_is_said_once(config, mistakes):
    assert config("routing: {classifier: {timeout_seconds: 0.25}}").routing.classifier.timeout_s == 0.25
    text = "routing: {classifier: {timeout: 1s, timeout_seconds: 1}}"
    assert "says the same as routing.classifier.timeout in line 1" in mistakes(text)[0]


@pytest.mark.parametrize("value", ["-0.1", "1.1", ".nan", "high"])
def test_a_threshold_is_a_fraction(mistakes, value):
    assert "threshold must be a number of at" in mistakes(f"routing: {{classifier: {{threshold: {value}}}}}")[0]


def test_what_another_classifier_would_use_is_told(warnings):
    assert (
        "base_url is not used by the classifier 'embedded'"
        in warnings("model_providers: [{model: a/b}]\nrouting: {classifier: {type: embedded, base_url: 'http://h'}}")[0]
    )


@pytest.mark.parametrize("name", ["plano/hf.co/x/Router:Q4", "router", "hf.co/x/Router:Q4"])
@pytest.mark.parametrize(
    "way", ["overrides: {llm_routing_model: %s}", "routing: {llm_provider: %s}", "routing: {model: %s}"]
)
def test_a_routing_model_is_asked_at_its_providers_endpoint(config, way, name):
    classifier = config(PROVIDERS + way % name).routing.classifier
    assert classifier.type is ClassifierKind.LLM
    assert (classifier.base_url, classifier.model) == ("http://localhost:11434/v1", "hf.co/x/Router:Q4")
    assert classifier.access_key.reveal() == "sk-open"


def test_an_endpoint_with_a_path_keeps_it(config):
    classifier = config(PROVIDERS + "overrides: {llm_routing_model: vllm/arch}").routing.classifier
    assert (classifier.base_url, classifier.model) == ("http://vllm/api", "arch")


def test_a_routing_model_takes_the_rest_from_the_classifier(config):
    text = PROVIDERS + "overrides: {llm_routing_model: router}\nrouting: {classifier: {timeout: 9s}}"
    assert config(text).routing.classifier.timeout_s == 9


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ruoter", "must name an entry of model_providers, got 'ruoter'; did you mean 'router'?"),
        ("Plano-Orchestrator", "got 'Plano-Orchestrator'; add it, or set routing.classifier"),
        ("gpt-4o", "names openai/gpt-4o, which has no base_url: add it; or set routing.classifier"),
        ("far/away", "whose base_url is not known until NOWHERE is set"),
    ],
)
def test_a_routing_model_needs_an_entry_with_an_address(mistakes, name, said):
    (line,) = mistakes(PROVIDERS + f"overrides: {{llm_routing_model: {name}}}")
    assert said in line


def test_a_classifier_of_its_own_comes_first(load):
    loaded = load(PROVIDERS + "overrides: {llm_routing_model: gpt-4o}\nrouting: {classifier: embedded}")
    assert loaded.config.routing.classifier.type is ClassifierKind.EMBEDDED
    assert any("llm_routing_model is not used" in line for line in loaded.warnings)

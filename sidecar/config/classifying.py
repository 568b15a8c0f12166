"""
Which classifier a file asks for: `routing.classifier`, or one of Plano's ways to name a routing model.

Plano names an entry of `model_providers`; here that entry becomes the endpoint of the `llm` classifier.
"""

from urllib.parse import urlsplit

from attrs import evolve

from sidecar.config.catalog import Catalog
from sidecar.config.document import Node
from sidecar.config.drafts import Draft
from sidecar.config.models import Classifier, ClassifierKind, Provider
from sidecar.config.reading import Reading

_ENDPOINT = (ClassifierKind.LLM, ClassifierKind.EMBEDDINGS)
_NEEDED = ("base_url", "model")
_USED_BY = {
    "base_url": _ENDPOINT,
    "model": _ENDPOINT,
    "access_key": _ENDPOINT,
    "template": (ClassifierKind.LLM,),
    "threshold": (ClassifierKind.EMBEDDED, ClassifierKind.EMBEDDINGS),
}
_ADVICE = "; add it, or set routing.classifier"
_ROUTING_MODEL = (("overrides", "llm_routing_model"), ("routing", "llm_provider"), ("routing", "model"))


def settle(draft: Draft, catalog: Catalog, reading: Reading) -> Classifier:
    """The classifier as it will be built."""
    classifier = draft.routing.classifier
    node = draft.node.find("routing", "classifier")
    routing_model = _routing_model(draft.node)
    if node is not None and (isinstance(node.value, str) or node.find("type")):
        if routing_model is not None:
            reading.warn(routing_model, "is not used: routing.classifier says what classifies")
    elif routing_model is not None:
        return _borrowed(routing_model, classifier, catalog, reading)
    if node is not None:
        _check(node, classifier, reading)
    return classifier


def _routing_model(root: Node) -> Node | None:
    named = (root.find(*path) for path in _ROUTING_MODEL)
    return next((node for node in named if node is not None and isinstance(node.value, str)), None)


def _borrowed(node: Node, classifier: Classifier, catalog: Catalog, reading: Reading) -> Classifier:
    model = catalog.resolve(str(node.value))
    provider = catalog.provider_of(model) if model else None
    if model is None or provider is None:
        hint = reading.hint(str(node.value), catalog.names())
        reading.mistake(node, f"must name an entry of model_providers, got {node.shown}{hint or _ADVICE}")
    elif provider.base_url is None:
        reading.mistake(node, f"names {model}, {_no_url(provider)}; or set routing.classifier")
    else:
        return evolve(
            classifier,
            type=ClassifierKind.LLM,
            base_url=_with_path(provider.base_url),
            model=model.partition("/")[2],
            access_key=provider.access_key,
        )
    return classifier


def _no_url(provider: Provider) -> str:
    if provider.missing:
        return f"whose base_url is not known until {', '.join(provider.missing)} is set"
    return "which has no base_url: add it"


def _with_path(url: str) -> str:
    return url if urlsplit(url).path.strip("/") else f"{url}/v1"


def _check(node: Node, classifier: Classifier, reading: Reading) -> None:
    for key in _NEEDED:
        if classifier.type in _USED_BY[key] and node.find(key) is None:
            reading.mistake(node, f"needs the key '{key}' when its type is '{classifier.type}'")
    for key, kinds in _USED_BY.items():
        if classifier.type not in kinds and (extra := node.find(key)):
            reading.warn(extra, f"is not used by the classifier '{classifier.type}'")
    if classifier.access_key is not None and classifier.access_key.value is None:
        key_node = node.at("access_key")
        reading.warn(key_node, f"needs the environment variable {classifier.access_key.variable}, which is not set")

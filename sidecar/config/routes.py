"""
From what is written under `routing_preferences` to routes whose models exist: in the file, and in a request's body.

Both go through the same table and the same checks; only where their mistakes go differs.
"""

from collections.abc import Iterable

from attrs import evolve, frozen

from sidecar.config.catalog import Catalog
from sidecar.config.document import Node, from_json
from sidecar.config.drafts import Placed, ProviderDraft, RouteDraft
from sidecar.config.keys import ROUTE
from sidecar.config.models import Route
from sidecar.config.reading import Reading, in_order
from sidecar.config.values import ListOf
from sidecar.errors import RequestError

MAX_INLINE_ROUTES = 64
MAX_TOLD = 10
PARAM = "routing_preferences"


def read_preferences(raw: object, catalog: Catalog) -> tuple[Route, ...]:
    """The routes of a request's own `routing_preferences`, given as decoded JSON. None of them is ().

    Raises RequestError: `param` is the path of the first mistake, the message tells the first ten.
    """
    if raw is None or raw == []:
        return ()
    reading = Reading(source="")
    node = from_json(raw, PARAM)
    drafts = reading.attempt(ListOf(ROUTE, at_most=MAX_INLINE_ROUTES), node) or ()
    routes = build(drafts, Names(catalog), reading)
    if reading.mistakes:
        raise _request_error(reading)
    return routes


def _request_error(reading: Reading) -> RequestError:
    mistakes = in_order(reading.mistakes)
    told = "; ".join(map(str, mistakes[:MAX_TOLD]))
    more = f"; and {len(mistakes) - MAX_TOLD} more" if len(mistakes) > MAX_TOLD else ""
    return RequestError(told + more, param=mistakes[0].path)


@frozen
class Names:
    """Which model a name means. A name is not blamed for what could not be read elsewhere in the file."""

    catalog: Catalog
    complete: bool = True
    """Whether every provider could be read; if not, any unknown name may be one of the others."""
    broken: frozenset[str] = frozenset()
    """Aliases that are written, and lead nowhere."""

    def resolve(self, node: Node, name: str, reading: Reading) -> str | None:
        """The id; None, with the mistake written down, when no model goes by that name."""
        model = self.catalog.resolve(name)
        if model is not None:
            return model
        if "*" in name:
            reading.mistake(node, f"must be one model, not a pattern, got {node.shown}")
        elif self.complete and name not in self.broken:
            hint = reading.hint(name, self.catalog.names())
            reading.mistake(node, f"must be a model or alias of the configuration, got {name!r}{hint}")
        return None


def build(drafts: Iterable[RouteDraft], names: Names, reading: Reading) -> tuple[Route, ...]:
    """The routes that are whole, with their models as ids. Mistakes are written down."""
    first: dict[str, RouteDraft] = {}
    routes = []
    for draft in drafts:
        if draft.name is not None and (twin := first.setdefault(draft.name, draft)) is not draft:
            place = reading.place(twin.node.at("name"))
            reading.mistake(draft.node.at("name"), f"must be unique, got {draft.name!r} as in {place}")
        models = _models(draft, names, reading)
        if draft.name and draft.description and models:
            routes.append(Route(draft.name, draft.description, models, draft.examples))
    return tuple(routes)


def _models(draft: RouteDraft, names: Names, reading: Reading) -> tuple[str, ...]:
    written = draft.node.at("models")
    if written.value == ():
        reading.mistake(written, "must name at least one model")
    found: dict[str, Node] = {}
    for model in draft.models:
        resolved = names.resolve(model.node, model.value, reading)
        if resolved is not None and (twin := found.setdefault(resolved, model.node)) is not model.node:
            reading.mistake(model.node, f"is a model that the route has already, in {reading.place(twin)}: {resolved}")
    return tuple(found)


def lift(
    providers: Iterable[ProviderDraft], routes: tuple[RouteDraft, ...], reading: Reading
) -> tuple[RouteDraft, ...]:
    """Plano's older way, routes under a provider, as routes of their own after the others.

    A name that several providers share is one route over all of them, in the order of the file. A route of that name
    at the top level wins.
    """
    lifted: dict[str, RouteDraft] = {}
    for provider in providers:
        for draft in _inline(provider, reading):
            first = lifted.setdefault(draft.name or draft.node.path, evolve(draft, models=()))
            lifted[draft.name or draft.node.path] = _merge(first, draft, provider, reading)
    top = {route.name for route in routes}
    return routes + tuple(draft for name, draft in lifted.items() if name not in top)


def _inline(provider: ProviderDraft, reading: Reading) -> tuple[RouteDraft, ...]:
    if provider.routes and provider.model and "*" in provider.model:
        node = provider.node.at("routing_preferences")
        reading.mistake(node, f"needs one model to route to, and {provider.model} is a pattern")
        return ()
    return provider.routes


def _merge(first: RouteDraft, draft: RouteDraft, provider: ProviderDraft, reading: Reading) -> RouteDraft:
    if draft.description and first.description and draft.description != first.description:
        kept = reading.place(first.node.at("description"))
        reading.warn(draft.node.at("description"), f"is not used: the route has the description in {kept}")
    known = [model.value for model in first.models]
    if provider.model is None or provider.model in known:
        return first
    return evolve(first, models=(*first.models, Placed(provider.model, provider.node.at("model"))))

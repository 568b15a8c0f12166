"""
The catalog: from any name a client or a file may use to the one model that is meant.

Every name that is known beforehand is worked out once, into one dict, so the request path pays a lookup or two.
Names that only a wildcard covers are never remembered: clients choose them, and a memory of them would grow for ever.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from attrs import field, frozen

from sidecar.config.models import Config, Provider

_MODEL = re.compile(r"[!-)+-~]{1,256}")
"""Visible ASCII but for `*`: what a wildcard may cover. The id ends up in headers and logs, so nothing else gets through."""


@frozen
class Catalog:
    """All models of one configuration, by every name they go by."""

    models: tuple[str, ...]
    """The declared concrete ids, `provider/name`, in the order of the file."""
    default: str | None
    """The id of the model that answers when nothing else decides."""
    _ids: Mapping[str, str] = field(repr=False, hash=False)
    _exact: Mapping[str, Provider] = field(repr=False, hash=False)
    _wildcards: Mapping[str, Provider] = field(repr=False, hash=False)

    @classmethod
    def of(cls, config: Config) -> "Catalog":
        exact, wildcards = _by_model(config.providers)
        return cls(
            models=tuple(exact),
            default=next((provider.model for provider in exact.values() if provider.default), None),
            ids=MappingProxyType(_ids(exact, wildcards, config.aliases)),
            exact=MappingProxyType(exact),
            wildcards=MappingProxyType(wildcards),
        )

    def resolve(self, name: str) -> str | None:
        """The concrete id that `name` stands for; None when nothing here goes by it, or it is a pattern itself."""
        known = self._ids.get(name)
        if known is not None:
            return known
        return name if _covered(name, self._wildcards) else None

    def provider_of(self, model_id: str) -> Provider | None:
        """Who serves a concrete id: the entry that declares it, else the wildcard that covers it."""
        return self._exact.get(model_id) or _covered(model_id, self._wildcards)

    def names(self) -> tuple[str, ...]:
        """Every name that is known beforehand, for suggestions."""
        return tuple(self._ids)


def _by_model(providers: tuple[Provider, ...]) -> tuple[dict[str, Provider], dict[str, Provider]]:
    """The entries by concrete id, and the wildcards by the provider they stand for. The first declared wins."""
    exact: dict[str, Provider] = {}
    wildcards: dict[str, Provider] = {}
    for provider in providers:
        if provider.is_wildcard:
            wildcards.setdefault(provider.model.removesuffix("/*"), provider)
        else:
            exact.setdefault(provider.model, provider)
    return exact, wildcards


def _ids(
    exact: Mapping[str, Provider], wildcards: Mapping[str, Provider], aliases: Mapping[str, str]
) -> dict[str, str]:
    """Name -> id. The kinds of names in order of precedence; of two of a kind, the first declared wins."""
    ids = {model: model for model in exact}
    for model, provider in exact.items():
        if "*" not in provider.name:
            ids.setdefault(provider.name, model)
    bare = {_bare(model): model for model in reversed(tuple(exact))}
    targets = bare | ids
    behind: dict[str, str] = {}
    for alias in aliases:
        target = _last(alias, aliases, ids)
        if target in targets:
            behind[alias] = targets[target]
        elif target is not None and _covered(target, wildcards):
            behind[alias] = target
    return bare | behind | ids


def _last(alias: str, aliases: Mapping[str, str], ids: Mapping[str, str]) -> str | None:
    """Where a chain of aliases ends; None when it goes round in a circle."""
    for step in chain(alias, aliases):
        if step not in aliases or (step in ids and step != alias):
            return step
    return None


def chain(alias: str, aliases: Mapping[str, str]) -> Iterator[str]:
    """The alias, what it points to, what that points to …, each once."""
    seen: dict[str, None] = {}
    step: str | None = alias
    while step is not None and step not in seen:
        seen[step] = None
        yield step
        step = aliases.get(step)


def _bare(model: str) -> str:
    return model.partition("/")[2]


def _covered(name: str, wildcards: Mapping[str, Provider]) -> Provider | None:
    prefix, slash, rest = name.partition("/")
    provider = wildcards.get(prefix) if slash and rest else None
    return provider if provider and _MODEL.fullmatch(name) else None

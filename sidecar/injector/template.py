"""
What is injected, as a file says it: a container, its volumes, what the app's containers get in their environment, and
labels. The one in the package is the same as `deploy/kubernetes/sidecar/`; a cluster may bring its own.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from sidecar.config.files import read_bounded
from sidecar.config.reading import Wrong
from sidecar.errors import ConfigError
from sidecar.injector.quantity import amount

Object = Mapping[str, Any]
"""A JSON object of Kubernetes."""

BUILT_IN = "the built-in template"
_KEYS = ("container", "volumes", "env", "labels")


@frozen
class Template:
    """Checked only for what is relied on here: what else it says is for the API server to judge."""

    container: Object
    volumes: tuple[Object, ...] = ()
    env: tuple[Object, ...] = ()
    labels: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """Of the container: a pod that has one so called has the sidecar."""
        return str(self.container["name"])

    @property
    def ports(self) -> frozenset[int]:
        """Those it listens on, which nobody else in the pod can have."""
        return frozenset(port["containerPort"] for port in self.container.get("ports", ()))


def built_in() -> Template:
    return parsed(resources.files("sidecar.injector").joinpath("template.yaml").read_text("utf-8"), BUILT_IN)


def read(path: Path) -> Template:
    """Raises ConfigError."""
    try:
        text = read_bounded(path)
    except Wrong as wrong:
        raise ConfigError(f"{path}: {wrong}") from wrong
    return parsed(text, str(path))


def parsed(text: str, source: str) -> Template:
    """`source`: what to call the text in messages. Raises ConfigError with the first mistake."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:  # ValueError: a date that is none
        mark = getattr(exc, "problem_mark", None)
        at = f"{source}:{mark.line + 1}" if mark is not None else source
        raise ConfigError(f"{at}: is not YAML") from exc
    try:
        return _template(found)
    except Wrong as wrong:
        raise ConfigError(f"{source}: {wrong}") from wrong


def _template(found: Any) -> Template:
    given = _object(found, "the template")
    if unknown := sorted(str(key) for key in given.keys() - set(_KEYS)):
        raise Wrong(f"{unknown[0]} is no key of a template: it may have {', '.join(_KEYS)}")
    return Template(
        _container(given.get("container"), "container"),
        _named(given.get("volumes", []), "volumes"),
        _named(given.get("env", []), "env"),
        _labels(given.get("labels", {}), "labels"),
    )


def _container(value: Any, path: str) -> Object:
    container = _object(value, path)
    for key in ("name", "image"):
        _text(container.get(key), f"{path}.{key}")
    if container.get("restartPolicy") != "Always":
        raise Wrong(
            f"{path}.restartPolicy must be Always: any other init container holds the pod up until it has ended"
        )
    for key in ("args", "command"):
        for at, word in enumerate(_list(container.get(key, []), f"{path}.{key}")):
            _text(word, f"{path}.{key}[{at}]")
    for at, port in enumerate(_list(container.get("ports", []), f"{path}.ports")):
        if type(_object(port, f"{path}.ports[{at}]").get("containerPort")) is not int:
            raise Wrong(f"{path}.ports[{at}].containerPort must be a number")
    resources_ = _object(container.get("resources", {}), f"{path}.resources")
    for kind in ("requests", "limits"):
        _amounts(resources_.get(kind, {}), f"{path}.resources.{kind}")
    return container


def _amounts(value: Any, path: str) -> None:
    """Those that an annotation is compared with."""
    for name, text in _object(value, path).items():
        try:
            if name in ("cpu", "memory"):
                amount(str(text))
        except ValueError as exc:
            raise Wrong(f"{path}.{name} must be a quantity above zero, got {text!r}") from exc


def _named(value: Any, path: str) -> tuple[Object, ...]:
    found = tuple(_object(each, f"{path}[{at}]") for at, each in enumerate(_list(value, path)))
    for at, each in enumerate(found):
        _text(each.get("name"), f"{path}[{at}].name")
    return found


def _labels(value: Any, path: str) -> Mapping[str, str]:
    return {key: _text(text, f"{path}.{key}") for key, text in _object(value, path).items()}


def _object(value: Any, path: str) -> Object:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Wrong(f"{path} must be a mapping")
    return value


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Wrong(f"{path} must be a list")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong(f"{path} must be a text")
    return value

"""The template, fitted to what a pod wants: the container and the volumes that go into it."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from sidecar.injector.pod import PREFIX, Left
from sidecar.injector.quantity import amount
from sidecar.injector.template import Object, Template
from sidecar.injector.wishes import RESOURCES, Wishes

Resources = dict[str, dict[str, Any]]


@frozen
class Shaped:
    container: Object
    volumes: tuple[Object, ...]


def shaped(template: Template, wishes: Wishes) -> Shaped:
    """Raises Left when the template has nothing that a wish could change, or two wishes contradict each other."""
    container = {**template.container}
    if wishes.image is not None:
        container["image"] = wishes.image
    if wishes.log_level is not None:
        container["args"] = [*container.get("args", ()), "--log-level", wishes.log_level]
    if wishes.resources:
        container["resources"] = _resources(container.get("resources", {}), wishes.resources)
    volumes = _renamed(template.volumes, "configMap", "name", wishes.config)
    return Shaped(container, _renamed(volumes, "secret", "secretName", wishes.keys_secret))


def _renamed(volumes: tuple[Object, ...], kind: str, key: str, name: str | None) -> tuple[Object, ...]:
    """The first volume of that kind names another object."""
    if name is None:
        return volumes
    for at, volume in enumerate(volumes):
        if isinstance(volume.get(kind), dict):
            changed = {**volume, kind: {**volume[kind], key: name}}
            return (*volumes[:at], changed, *volumes[at + 1 :])
    raise Left("wrong_annotation", f"the injector's template has no {kind} that {name!r} could take the place of")


def _resources(given: Object, wanted: Mapping[tuple[str, str], str]) -> Resources:
    """A request over its limit would be refused. Of the two, the one that the pod asked for stands."""
    made: Resources = {kind: dict(given.get(kind, {})) for kind in ("requests", "limits")}
    for (kind, resource), text in wanted.items():
        made[kind][resource] = text
    for resource in ("cpu", "memory"):
        request, limit = made["requests"].get(resource), made["limits"].get(resource)
        if request is None or limit is None or amount(str(request)) <= amount(str(limit)):
            continue
        if ("requests", resource) not in wanted:
            made["requests"][resource] = limit
        elif ("limits", resource) not in wanted:
            made["limits"][resource] = request
        else:
            raise Left("wrong_annotation", f"{_key('requests', resource)} is over {_key('limits', resource)}")
    return {kind: amounts for kind, amounts in made.items() if amounts}


def _key(kind: str, resource: str) -> str:
    return PREFIX + next(key for key, place in RESOURCES.items() if place == (kind, resource))

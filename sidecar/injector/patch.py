"""
What is to be done to a pod, as a JSON Patch (RFC 6902). It only ever adds: nothing that the pod says is replaced.

A list or object that the pod does not have is added whole; a null counts as one it does not have, and `add` puts its
value in the null's place. The base URLs go in before the sidecar does: afterwards every init container is one further.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sidecar.injector.pod import Container, Pod
from sidecar.injector.shaping import Shaped
from sidecar.injector.template import Object, Template
from sidecar.injector.wishes import Wishes

Operation = dict[str, Any]


def patch_of(pod: Pod, template: Template, wishes: Wishes, made: Shaped) -> list[Operation]:
    """Operations in the order in which they must be applied."""
    return [
        *_labels(pod, template.labels),
        *(step for container in _clients(pod, wishes) for step in _env(container, template.env)),
        *_appended(("spec", "volumes"), made.volumes, missing=pod.volumes is None),
        _sidecar(pod, made.container),
    ]


def _clients(pod: Pod, wishes: Wishes) -> Iterator[Container]:
    """Who is to send its requests through the sidecar."""
    if wishes.containers is None:
        yield from pod.containers
    else:
        yield from (container for container in pod.everyone if container.name in wishes.containers)


def _labels(pod: Pod, labels: Mapping[str, str]) -> Iterator[Operation]:
    if pod.labels is None:
        if labels:
            yield _add(("metadata", "labels"), dict(labels))
        return
    for key, value in labels.items():
        if key not in pod.labels:
            yield _add(("metadata", "labels", key), value)


def _env(container: Container, env: tuple[Object, ...]) -> Iterator[Operation]:
    lacking = tuple(each for each in env if each["name"] not in (container.env or ()))
    return _appended((*container.path, "env"), lacking, missing=container.env is None)


def _appended(path: tuple[str | int, ...], items: tuple[Object, ...], *, missing: bool) -> Iterator[Operation]:
    if missing:
        if items:
            yield _add(path, list(items))
        return
    for item in items:
        yield _add((*path, "-"), item)


def _sidecar(pod: Pod, container: Object) -> Operation:
    """First: init containers run in their order, and those of the app may want to ask a model too."""
    if pod.init_containers is None:
        return _add(("spec", "initContainers"), [container])
    return _add(("spec", "initContainers", 0), container)


def _add(path: tuple[str | int, ...], value: Any) -> Operation:
    return {"op": "add", "path": pointer(path), "value": value}


def pointer(path: tuple[str | int, ...]) -> str:
    """RFC 6901: `("metadata", "labels", "a/b")` → `/metadata/labels/a~1b`."""
    return "".join(f"/{step}" for step in (str(each).replace("~", "~0").replace("/", "~1") for each in path))

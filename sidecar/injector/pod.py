"""
The pod of a request: read as far as it is looked at, and whether the sidecar may go into it.

The API server has decoded and checked a pod before it sends it. Nothing is taken for granted all the same: an object
that is not what it should be is left alone, never an error.
"""

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from sidecar.injector.template import Object, Template

PREFIX = "llm-sidecar/"
INJECT = f"{PREFIX}inject"
"""Annotation or label of a pod: `"true"` or `"false"`. That it is `"true"` is the webhook configuration's to see."""
MIRROR = "kubernetes.io/config.mirror"
"""Annotation of what a kubelet shows of a static pod: it runs whatever we say."""


class Left(Exception):
    """The pod stays as it is. `warning`: what is said of it to whoever makes the pod, None when all is as it should be."""

    def __init__(self, outcome: str, warning: str | None = None) -> None:
        super().__init__(warning or outcome)
        self.outcome = outcome
        """One of `tallies.OUTCOMES`."""
        self.warning = warning


@frozen
class Container:
    """One of the app's."""

    path: tuple[str | int, ...]
    """Where it stands in the pod: `("spec", "containers", 0)`."""
    name: str
    env: frozenset[str] | None
    """Names that are set; None when it has no list of them."""
    ports: frozenset[int]


@frozen
class Pod:
    annotations: Object
    labels: Object | None
    """None: the pod has no such object yet. Likewise with the lists below."""
    spec: Object
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] | None
    volumes: tuple[str, ...] | None
    """Their names."""

    @property
    def everyone(self) -> tuple[Container, ...]:
        return (*(self.init_containers or ()), *self.containers)


def pod_of(found: Any) -> Pod:
    """Raises Left when `found` is no pod."""
    pod = _object(found, "object") or {}
    metadata, spec = (_object(pod.get(key), key) for key in ("metadata", "spec"))
    if metadata is None or spec is None:
        raise _broken("metadata" if metadata is None else "spec", "missing")
    return Pod(
        annotations=_object(metadata.get("annotations"), "metadata.annotations") or {},
        labels=_object(metadata.get("labels"), "metadata.labels"),
        spec=spec,
        containers=_containers(spec, "containers") or (),
        init_containers=_containers(spec, "initContainers"),
        volumes=_volumes(spec),
    )


def check_wanted(pod: Pod, template: Template) -> None:
    """Raises Left, without a warning, when there is nothing to do: the pod says no, has the sidecar, or is a mirror."""
    said = (pod.annotations.get(INJECT), (pod.labels or {}).get(INJECT))
    if "false" in said:
        raise Left("opted_out")
    if any(container.name == template.name for container in pod.everyone):
        raise Left("present")
    if MIRROR in pod.annotations:
        raise Left("mirror")
    for value in said:
        if value not in (None, "true"):
            raise Left("wrong_annotation", f'{INJECT} must be "true" or "false", got {value!r}')


def check_suitable(pod: Pod, template: Template) -> None:
    """Raises Left, with a warning, when the pod would be refused with the sidecar, or could not run with it."""
    for reason in _obstacles(pod, template):
        raise Left("unsuitable", reason)


def _obstacles(pod: Pod, template: Template) -> Iterator[str]:
    if pod.spec.get("hostNetwork"):
        yield "it is on the host's network, where the ports of the sidecar would be every pod's"
    if _is_windows(pod.spec):
        yield "it is a Windows pod"
    if not pod.containers:
        yield "it has no containers"
    if pod.spec.get("resources"):
        yield "it has resources for the pod as a whole (spec.resources), which the sidecar's may exceed"
    for container in pod.everyone:
        for port in sorted(container.ports & template.ports):
            yield f"its container {container.name} has port {port}, which is the sidecar's"
    for name in pod.volumes or ():
        if any(name == volume["name"] for volume in template.volumes):
            yield f"it has a volume named {name} already"


def _is_windows(spec: Object) -> bool:
    system, selector = spec.get("os"), spec.get("nodeSelector")
    named = system.get("name") if isinstance(system, dict) else None
    selected = selector.get("kubernetes.io/os") if isinstance(selector, dict) else None
    return "windows" in (named, selected)


def _containers(spec: Object, key: str) -> tuple[Container, ...] | None:
    found = _list(spec.get(key), f"spec.{key}")
    return None if found is None else tuple(_container(each, ("spec", key, at)) for at, each in enumerate(found))


def _container(found: Any, at: tuple[str, str, int]) -> Container:
    path = f"{at[0]}.{at[1]}[{at[2]}]"
    container = _object(found, path) or {}
    env = _list(container.get("env"), f"{path}.env")
    ports = _list(container.get("ports"), f"{path}.ports") or []
    return Container(
        at,
        _name(container, path),
        None if env is None else frozenset(_name(each, f"{path}.env") for each in env),
        frozenset(number for number in map(_number, ports) if number is not None),
    )


def _number(port: Any) -> int | None:
    number = port.get("containerPort") if isinstance(port, dict) else None
    return number if isinstance(number, int) else None


def _volumes(spec: Object) -> tuple[str, ...] | None:
    found = _list(spec.get("volumes"), "spec.volumes")
    return None if found is None else tuple(_name(each, "spec.volumes") for each in found)


def _name(found: Any, path: str) -> str:
    name = (_object(found, path) or {}).get("name")
    if not isinstance(name, str):
        raise _broken(f"{path}.name", "no text")
    return name


def _object(found: Any, path: str) -> Object | None:
    """None for what is missing, or null: Go writes the one as the other."""
    if found is not None and not isinstance(found, dict):
        raise _broken(path, "no object")
    return found


def _list(found: Any, path: str) -> list[Any] | None:
    if found is not None and not isinstance(found, list):
        raise _broken(path, "no list")
    return found


def _broken(path: str, why: str) -> Left:
    return Left("not_understood", f"{path} is {why}")

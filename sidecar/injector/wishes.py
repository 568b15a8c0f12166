"""
What a pod wants of its sidecar, by annotations. A value that cannot be used, or a name that is none of these, leaves
the pod as it is: a sidecar with another configuration than was meant is worse than none.

    llm-sidecar/inject          "false": no sidecar             llm-sidecar/log-level       debug, info, warning, error
    llm-sidecar/config          name of a ConfigMap             llm-sidecar/cpu-request     250m
    llm-sidecar/keys-secret     name of a Secret                llm-sidecar/cpu-limit       1
    llm-sidecar/image           instead of the template's       llm-sidecar/memory-request  128Mi
    llm-sidecar/containers      who gets the base URLs: names   llm-sidecar/memory-limit    1Gi
                                with commas between, empty for none; without it all of spec.containers
"""

import difflib
import re
from collections.abc import Callable, Mapping

from attrs import field, frozen

from sidecar.config.models import LogLevel
from sidecar.injector.pod import INJECT, PREFIX, Left, Pod
from sidecar.injector.quantity import amount

MOST_NAME_CHARS = 253
MOST_IMAGE_CHARS = 1024
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
"""A DNS subdomain, RFC 1123: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"""
_IMAGE = re.compile(r"[A-Za-z0-9][\w.:/-]*(@[a-z0-9]+:[0-9a-f]{32,})?", re.ASCII)


@frozen
class Wishes:
    """None: as the template has it."""

    config: str | None = None
    keys_secret: str | None = None
    image: str | None = None
    log_level: str | None = None
    containers: frozenset[str] | None = None
    resources: Mapping[tuple[str, str], str] = field(factory=dict)
    """`("requests", "cpu")` → `250m`."""


def wishes_of(pod: Pod) -> Wishes:
    """Raises Left with what is wrong first."""
    said = {key: value for key, value in pod.annotations.items() if key.startswith(PREFIX) and key != INJECT}
    for key, value in said.items():
        if key not in _CHECKS:
            raise _wrong(f"{key} is no annotation of the sidecar{_hint(key)}")
        if not isinstance(value, str) or not _CHECKS[key][0](value):
            raise _wrong(f"{key} must be {_CHECKS[key][1]}, got {value!r}")
    found = {key.removeprefix(PREFIX): value.strip() for key, value in said.items()}
    return Wishes(
        config=found.get("config"),
        keys_secret=found.get("keys-secret"),
        image=found.get("image"),
        log_level=found.get("log-level"),
        containers=_named(found.get("containers"), pod),
        resources={place: found[key] for key, place in RESOURCES.items() if key in found},
    )


RESOURCES = {
    "cpu-request": ("requests", "cpu"),
    "cpu-limit": ("limits", "cpu"),
    "memory-request": ("requests", "memory"),
    "memory-limit": ("limits", "memory"),
}


def _is_name(text: str) -> bool:
    return len(text) <= MOST_NAME_CHARS and _NAME.fullmatch(text) is not None


def _is_image(text: str) -> bool:
    return len(text) <= MOST_IMAGE_CHARS and _IMAGE.fullmatch(text) is not None


def _is_quantity(text: str) -> bool:
    try:
        amount(text)
    except ValueError:
        return False
    return True


_LEVELS = tuple(level.value for level in LogLevel)
_CHECKS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    f"{PREFIX}config": (_is_name, "the name of a ConfigMap"),
    f"{PREFIX}keys-secret": (_is_name, "the name of a Secret"),
    f"{PREFIX}image": (_is_image, "an image"),
    f"{PREFIX}log-level": (_LEVELS.__contains__, f"one of {', '.join(_LEVELS)}"),
    f"{PREFIX}containers": (lambda _: True, "names of containers"),
    **{f"{PREFIX}{key}": (_is_quantity, "a quantity above zero") for key in RESOURCES},
}


def _named(text: str | None, pod: Pod) -> frozenset[str] | None:
    if text is None:
        return None
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if missing := sorted(names - {container.name for container in pod.everyone}):
        raise _wrong(f"{PREFIX}containers names {missing[0]!r}, which the pod does not have")
    return names


def _hint(key: str) -> str:
    close = difflib.get_close_matches(key, [*_CHECKS, INJECT], n=1)
    return f": did you mean {close[0]}?" if close else ""


def _wrong(sentence: str) -> Left:
    return Left("wrong_annotation", sentence)

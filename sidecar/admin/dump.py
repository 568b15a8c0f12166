"""
`/config_dump`: the configuration in force, defaults included, without its secrets.

Which values are secret the configuration knows itself: they are `Secret`, headers included, and show as `"***"`, or
null where the variable is not set. URLs are the exception that is looked for: a password before the host or a key in
the query is hidden wherever a text holds a URL.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import attrs
from aiohttp import web
from attrs import frozen

from sidecar.admin.answers import json_answer
from sidecar.config.models import Config, Secret

HIDDEN = "***"

_USER = re.compile(r"(?<=://)\S*@")
_VALUE = re.compile(r"(?<=[?#&;])([^=&;#]*=)?[^&;#]+")
_URL = re.compile(r"(?P<place>[A-Za-z][A-Za-z0-9+.-]*://[^?#\s]*)(?P<rest>\S*)")


@frozen
class InForce:
    """The configuration that requests are answered with now."""

    config: Config
    generation: int = 1
    """1 at the start; each reload that succeeds makes it one more."""
    loaded_at_unix_s: float = 0.0


class ConfigDump:
    def __init__(self, in_force: Callable[[], InForce]) -> None:
        self._in_force = in_force

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/config_dump", self.dump)]

    async def dump(self, _request: web.Request) -> web.Response:
        """The whole configuration with its defaults, secrets hidden."""
        return json_answer(redacted(self._in_force().config))


def redacted(value: Any) -> Any:
    """
    Attrs classes, mappings and tuples as JSON. Raises TypeError for anything it does not know: what is not known to be
    harmless is not shown.
    """
    if isinstance(value, Secret):
        return None if value.reveal() is None else HIDDEN
    if isinstance(value, str):
        return without_secrets(value.value if isinstance(value, Enum) else value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): redacted(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [redacted(item) for item in value]
    if attrs.has(type(value)):
        return {field.name: redacted(getattr(value, field.name)) for field in attrs.fields(type(value))}
    raise TypeError(f"{type(value).__name__} in a configuration: how is it shown?")


def without_secrets(text: str) -> str:
    """`https://me:pw@host/v1?key=abc` → `https://***@host/v1?key=***`, wherever in the text it stands."""
    return _URL.sub(lambda found: _hidden(found["place"]) + _VALUE.sub(_named, found["rest"]), text)


def _hidden(place: str) -> str:
    return _USER.sub(f"{HIDDEN}@", place)


def _named(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{HIDDEN}"

"""
What one value at a time could be read from the file, before it is known whether the whole of it fits together.

A draft keeps its node, so that a check that looks further can still name the place. What was wrong is missing.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from attrs import field, frozen

from sidecar.config.document import Node
from sidecar.config.models import (
    Admin,
    CircuitBreakers,
    Drain,
    OutlierDetection,
    ResponsesState,
    Routing,
    Secret,
    Telemetry,
    Timeouts,
    Tracing,
)
from sidecar.config.reading import Reader, Reading
from sidecar.config.variables import Url

T = TypeVar("T")


@frozen
class Placed(Generic[T]):
    """A value and where it stands."""

    value: T
    node: Node = field(repr=False)


def placed(reader: Reader[T]) -> Reader[Placed[T]]:
    def read(node: Node, reading: Reading) -> Placed[T]:
        return Placed(reader(node, reading), node)

    return read


@frozen
class RouteDraft:
    """An entry of `routing_preferences`, with its models as they are called in the file."""

    node: Node
    name: str | None = None
    description: str | None = None
    models: tuple[Placed[str], ...] = ()
    examples: tuple[str, ...] = ()
    selection_policy: object = None


@frozen
class ProviderDraft:
    """An entry of `model_providers`."""

    node: Node
    model: str | None = None
    name: str | None = None
    access_key: Secret | None = None
    key_from_file: Secret | None = None
    default: bool = False
    base_url: Url = field(factory=lambda: Url(None))
    http_host: str | None = None
    interface: str | None = None
    passthrough_auth: bool = False
    headers: Mapping[str, Secret] = field(factory=dict)
    api_version: str | None = None
    timeouts: Timeouts = field(factory=Timeouts)
    tls_ca_file: str | None = None
    routes: tuple[RouteDraft, ...] = ()


@frozen
class ClientKeyDraft:
    """An entry of `auth.keys`."""

    node: Node
    name: str | None = None
    key: Secret | None = None
    key_file: Secret | None = None


@frozen
class AuthDraft:
    """`auth`, as a mapping or as the word `none`."""

    node: Node
    keys: tuple[ClientKeyDraft, ...] = ()
    client_certificates: bool = False


@frozen
class Draft:
    """A whole file."""

    node: Node
    version: str = "v0.4.0"
    listeners: Placed[Mapping[str, Any]] | None = None
    listener: Placed[Mapping[str, Any]] | None = None
    admin: Admin = field(factory=Admin)
    providers: tuple[ProviderDraft, ...] = ()
    aliases: Mapping[str, str] = field(factory=dict)
    routes: tuple[RouteDraft, ...] = ()
    routing: Routing = field(factory=Routing)
    outlier_detection: OutlierDetection = field(factory=OutlierDetection)
    circuit_breakers: CircuitBreakers = field(factory=CircuitBreakers)
    workers: int = 1
    responses_state: ResponsesState | None = None
    telemetry: Telemetry = field(factory=Telemetry)
    tracing: Tracing = field(factory=Tracing)
    drain: Drain = field(factory=Drain)
    watch_config: bool = True
    overrides: object = None
    mode: object = None

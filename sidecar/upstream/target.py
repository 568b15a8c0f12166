"""
Where one request goes: the model's entry in the file and the row of the table, made into a place, a path and a key.

    Provider (file) ─┐
    Row (table)     ─┼─▶ Target ──▶ url_for(target, the client's request target) ──▶ path and query for the provider
    Format (client) ─┘

A `base_url` with a path replaces the row's prefix, as it does in every SDK; with none, the prefix stands. Paths and
queries are never decoded: what the client escaped stays escaped the way it did it.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from attrs import evolve, field, frozen

from sidecar.config.models import Provider, Secret, Timeouts
from sidecar.errors import NotFound, RequestError, UpstreamError
from sidecar.upstream.providers import Auth, Row, flaw, row_of
from sidecar.wire.formats import Format

AZURE_API_VERSION = "2024-10-21"
"""The last dated version of Azure's interface that is no preview; asked for when the path names a deployment."""

_AZURE_TAKES_USAGE = "2024-09"
"""Versions before this refuse a stream that is asked for its usage. Their names are dates, or words that come later:
https://github.com/Azure/azure-rest-api-specs/issues/29157"""

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_VISIBLE = re.compile(r"[!-~]*")
_VERSION_AT_END = re.compile(r"/v\d[^/]*$")
_SLASH = r"(?:/|\\|%2f|%5c)"
_DOTS = re.compile(rf"{_SLASH}(?:\.|%2e){{1,2}}(?={_SLASH}|$)", re.IGNORECASE)
_DEPLOYMENT = re.compile(r"/deployments(?:/[^/]+)?$")
_DEFAULT_PORTS = {"http": 80, "https": 443}

_OF_NO_DEPLOYMENT = frozenset({"files", "batches", "models", "fine_tuning", "assistants", "threads", "vector_stores"})
"""What belongs to an Azure resource and not to one of its deployments."""


class ProviderUnknown(UpstreamError):
    """The entry names no place that could be called."""

    code = "provider_unknown"


class ProviderKeyMissing(UpstreamError):
    """A key, header or URL of the entry waits for an environment variable that is not set, or a file that is not there."""

    code = "provider_key_missing"


class Place(NamedTuple):
    """A base URL, taken apart."""

    scheme: str
    host: str
    """Without the brackets of an IPv6 address."""
    port: int
    path: str
    """As written, without a slash at its end."""


@frozen
class Target:
    """One provider, asked for one model, by a client that speaks one format."""

    provider: str
    """The entry's name: the label in metrics, the key of its health. Two ports of one host are two entries."""
    upstream_model: str
    """The model as the provider calls it; Azure's deployment."""
    place: Place
    """`path` is the prefix that stands in the place of a client's `/v1`."""
    interface: Format
    """What is spoken: the client's own format where the provider speaks it, else the provider's preferred one."""
    speaks: tuple[Format, ...]
    client_format: Format | None
    """None for the endpoints that are forwarded and never translated."""
    auth: Auth
    access_key: Secret | None = None
    headers: Mapping[str, Secret] = field(factory=dict, repr=False, hash=False)
    """Sent with every request, instead of what anybody else says under these names."""
    http_host: str | None = None
    passthrough_auth: bool = False
    api_version: str | None = None
    """Azure's dated interface: the version that goes into the query."""
    asks_usage: bool = False
    """Whether a stream of chat completions may be asked to end with its usage; see `Row`."""
    refuses_usage: bool = False
    """Whether not even a translated stream may be; see `Row`."""
    timeouts: Timeouts = field(factory=Timeouts)
    tls_ca_file: str | None = None
    """Whose certificates are trusted there; None: the system's."""
    translated: bool = field(init=False)
    """Whether what the client sends is not what the provider gets."""

    @translated.default
    def _is_translated(self) -> bool:
        return self.client_format is not None and self.client_format is not self.interface

    @property
    def origin(self) -> str:
        """Such as `https://api.openai.com` or `http://[::1]:8000`."""
        return f"{self.place.scheme}://{self.authority}"

    @property
    def account(self) -> tuple[str, str | None]:
        """Where and for whom a provider keeps things: signatures, responses and files are good for one account."""
        return self.origin, self.access_key.reveal() if self.access_key and not self.passthrough_auth else None

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port."""
        host = f"[{self.place.host}]" if ":" in self.place.host else self.place.host
        return host if self.place.port == _DEFAULT_PORTS[self.place.scheme] else f"{host}:{self.place.port}"


def target_of(provider: Provider, model_id: str, client_format: Format | None) -> Target:
    """
    Where a request for `model_id` goes. `client_format` is None for an endpoint that is forwarded as it is.

    Raises `ProviderUnknown` and `ProviderKeyMissing`, which name variables and never values, nor where files are.
    """
    row = row_of(provider)
    if row is None or flaw(provider):
        raise ProviderUnknown(f"{provider.name} {flaw(provider)}")
    _check_variables(provider)
    place = _place(provider.base_url or row.origin or "", row)
    target = Target(
        provider=provider.name,
        upstream_model=model_id.partition("/")[2],
        place=place,
        interface=client_format if client_format is not None and client_format in row.speaks else row.speaks[0],
        speaks=row.speaks,
        client_format=client_format,
        auth=row.auth,
        access_key=provider.access_key,
        headers=provider.headers,
        http_host=provider.http_host,
        passthrough_auth=provider.passthrough_auth,
        asks_usage=row.asks_usage,
        refuses_usage=row.refuses_usage,
        timeouts=provider.timeouts,
        tls_ca_file=provider.tls_ca_file,
    )
    has_path = bool(urlsplit(provider.base_url or "").path)
    return _deployed(target, has_path, provider.api_version) if row.deployments else target


def _check_variables(provider: Provider) -> None:
    key = provider.access_key
    unused = key.awaited if key is not None and provider.passthrough_auth else None
    missing = [awaited for awaited in provider.missing if awaited != unused]
    from_file = key is not None and key.file is not None and key.awaited in missing
    variables = [name for name in missing if not (from_file and key is not None and name == key.awaited)]
    needs = (
        [f"the environment variable{'s' * (len(variables) > 1)} {', '.join(variables)}, not set"] if variables else []
    )
    if from_file:  # its path is the operator's to know, who is told at the start
        needs.append("its access_key_file, which cannot be read")
    if needs:
        raise ProviderKeyMissing(f"{provider.name} cannot be called: it needs {' and '.join(needs)}")


def _place(base_url: str, row: Row) -> Place:
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/") or row.prefix
    if row.speaks[0] is Format.MESSAGES and not _VERSION_AT_END.search(path):
        # Anthropic's SDKs are given the URL before /v1, as in https://api.deepseek.com/anthropic.
        path += "/v1"
    return Place(parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme], path)


def _deployed(target: Target, has_path: bool, api_version: str | None) -> Target:  # noqa: FBT001 - private
    """Azure: the undated interface, unless a version is asked for or the base URL's path names deployments."""
    path = target.place.path
    if path.endswith("/openai"):
        path += "/v1"
    if api_version and not has_path:
        path = "/openai/deployments"
    if not _DEPLOYMENT.search(path):
        return evolve(target, place=target.place._replace(path=path))
    if path.endswith("/deployments"):
        path += f"/{quote(target.upstream_model, safe='')}"
    version = api_version or AZURE_API_VERSION
    return evolve(
        target,
        place=target.place._replace(path=path),
        # Its Responses API is not below a deployment, and differs from version to version.
        speaks=(Format.CHAT,),
        interface=Format.CHAT,
        api_version=version,
        asks_usage=False,  # on one's own data the question is refused by every version
        refuses_usage=version < _AZURE_TAKES_USAGE,
    )


def url_for(target: Target, request_target: str) -> str:
    """
    The provider's path and query for a client's raw request target, such as `/v1/messages?beta=true`.

    Everything below `/v1` and the query stay as they came; a translated request goes to the interface's own path, and
    the query, which belongs to the other interface, ends here. Raises `RequestError` for what is no target below
    `/v1` or could climb out of it.
    """
    path, mark, query = _taken_apart(request_target)
    below = path.removeprefix("/v1")
    if target.translated and below == f"/{target.client_format}":
        below, mark, query = f"/{target.interface}", "", ""
    return _prefix(target, below) + below + mark + _with_version(query, mark, target.api_version)


def _taken_apart(request_target: str) -> tuple[str, str, str]:
    if not _VISIBLE.fullmatch(request_target):
        raise RequestError("the request target must be of visible ASCII characters")
    absolute = _AUTHORITY.match(request_target)
    relative = request_target[absolute.end() :] if absolute else request_target
    path, mark, query = relative.partition("#")[0].partition("?")
    if path != "/v1" and not path.startswith("/v1/"):
        raise NotFound("no such path")
    if _DOTS.search(path):
        # Some servers resolve these, and the provider's key would go wherever they lead.
        raise RequestError("the path must not hold '.' or '..' segments")
    return path, mark, query


def _prefix(target: Target, below: str) -> str:
    prefix = target.place.path
    if target.api_version and below.removeprefix("/").partition("/")[0] in _OF_NO_DEPLOYMENT:
        return _DEPLOYMENT.sub("", prefix)
    return prefix


def _with_version(query: str, mark: str, api_version: str | None) -> str:
    if api_version is None or any(pair.startswith("api-version=") for pair in query.split("&")):
        return query
    joint = "&" if query else "" if mark else "?"
    return f"{query}{joint}api-version={api_version}"

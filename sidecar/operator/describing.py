"""
What a configuration comes to, in lines: at the start of a sidecar, and for `sidecar check`.
"""

from sidecar import __version__
from sidecar.config.catalog import Catalog
from sidecar.config.models import Config, Provider

Place = tuple[str, int]
"""An address and a port."""


def announced(settings: Config, listener: Place, admin: Place) -> list[str]:
    """What a sidecar says when it begins to serve; `listener` and `admin` are the ports it really took."""
    models = len(Catalog.of(settings).models)
    wildcards = sum(provider.is_wildcard for provider in settings.providers)
    missing = sorted({name for provider in settings.providers for name in provider.missing})
    keys = f"{', '.join(missing)} not set: decisions only for models that need them" if missing else "all set"
    data, operators = ("http" if tls is None else "https" for tls in (settings.listener.tls, settings.admin.tls))
    return [
        f"sidecar {__version__}, configuration: {settings.source}",
        f"answers    {data}://{_place(listener)}/v1 (OPENAI_BASE_URL; ANTHROPIC_BASE_URL is without /v1)",
        f"decisions  {data}://{_place(listener)}/routing/v1/{{chat/completions,messages,responses}}",
        f"admin      {operators}://{_place(admin)}/ (a console; sidecar top, pins and doctor ask it)",
        f"routes     {', '.join(route.name for route in settings.routes) or 'none: every request gets its own model'}",
        f"models     {models}{f' and {wildcards} wildcards' if wildcards else ''}",
        f"keys       {keys}",
        f"classifier {settings.routing.classifier.type}",
        f"sessions   {_sessions(settings)}",
    ]


def _place(where: Place) -> str:
    address, port = where
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _sessions(settings: Config) -> str:
    policy = settings.routing
    return f"{policy.session_ttl_seconds} s {policy.session_ttl_policy}, at most {policy.session_max_entries}"


def summed_up(settings: Config) -> list[str]:
    """Providers, routes, aliases and how sessions are kept, as they were understood."""
    lines = [f"{settings.source}: fine ({settings.version})", "providers"]
    lines += [f"  {provider.model}{_remarks(provider)}" for provider in settings.providers]
    lines.append("routes")
    for route in settings.routes:
        examples = f", {len(route.examples)} examples" if route.examples else ""
        lines += [f"  {route.name}: {route.description}{examples}", f"    → {', '.join(route.models)}"]
    if settings.aliases:
        catalog = Catalog.of(settings)
        lines += ["aliases", *(f"  {alias} → {catalog.resolve(alias)}" for alias in settings.aliases)]
    return [*lines, "classifier", f"  {settings.routing.classifier.type}", "sessions", f"  {_sessions(settings)}"]


def _remarks(provider: Provider) -> str:
    remarks = [
        remark
        for remark, holds in (
            ("default", provider.default),
            (f"named {provider.name}", provider.name != provider.model),
            (f"at {provider.base_url}", provider.base_url is not None),
            ("no key", provider.access_key is None or provider.access_key.reveal() is None),
        )
        if holds
    ]
    return f" ({', '.join(remarks)})" if remarks else ""

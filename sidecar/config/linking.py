"""
The whole file at once: what no single value can tell. Names that must exist, be unique or not be patterns, and ports
that must differ. Makes the Config.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve

from sidecar.config.admitting import admitted, check_listener, one_secret
from sidecar.config.catalog import Catalog, chain
from sidecar.config.classifying import settle
from sidecar.config.document import Node
from sidecar.config.drafts import Draft, Placed, ProviderDraft
from sidecar.config.models import Admin, CacheKind, Config, Listener, Provider, SessionScope
from sidecar.config.reading import Reading
from sidecar.config.routes import Names, build, lift

AUTO = "auto"
"""The name clients send to say: choose for me. It is no model, and need not be one."""

_LISTENER_FIELDS = (
    "address",
    "port",
    "timeout_s",
    "max_body_bytes",
    "cors_origins",
    "sse_keepalive_s",
    "fast_path",
    "limits",
    "tls",
)


def link(draft: Draft, reading: Reading) -> Config:
    """The configuration that the drafts make up, with every mistake between them written down."""
    providers = _providers(draft.providers, reading)
    catalog = Catalog.of(Config(providers=providers, aliases=draft.aliases))
    names = _names(draft, catalog)
    _check_aliases(draft, names, reading)
    _check_apply_to(draft, catalog, reading)
    listener = _listener(draft, reading)
    _check_ports(draft, listener, reading)
    _check_cache(draft, reading)
    _check_hashes(draft, reading)
    return Config(
        version=draft.version,
        listener=listener,
        admin=draft.admin,
        providers=providers,
        aliases=draft.aliases,
        routes=build(lift(draft.providers, draft.routes, reading), names, reading),
        routing=evolve(draft.routing, classifier=settle(draft, catalog, reading)),
        outlier_detection=draft.outlier_detection,
        circuit_breakers=draft.circuit_breakers,
        workers=draft.workers,
        responses_state=draft.responses_state,
        telemetry=draft.telemetry,
        tracing=draft.tracing,
        drain=draft.drain,
        watch_config=draft.watch_config,
        files=tuple(dict.fromkeys(reading.files)),
        source=reading.source,
    )


def _names(draft: Draft, catalog: Catalog) -> Names:
    written = draft.node.find("model_providers") or draft.node.find("llm_providers")
    items = len(written.value) if written and isinstance(written.value, tuple) else int(written is not None)
    read = [provider for provider in draft.providers if provider.model]
    aliases = draft.node.find("model_aliases")
    broken = {alias for alias in aliases.keys if catalog.resolve(alias) is None} if aliases else set()
    return Names(catalog, complete=len(read) == items, broken=frozenset(broken))


def _providers(drafts: Iterable[ProviderDraft], reading: Reading) -> tuple[Provider, ...]:
    drafts = tuple(drafts)
    _check_models(drafts, reading)
    _check_names(drafts, reading)
    _check_defaults(drafts, reading)
    return tuple(_provider(draft, draft.model, reading) for draft in drafts if draft.model)


def _provider(draft: ProviderDraft, model: str, reading: Reading) -> Provider:
    key = one_secret(draft.access_key, draft.key_from_file, draft.node, ("access_key", "access_key_file"), reading)
    missing = _missing(draft)
    if missing:
        needs = f"needs {', '.join(missing)} from the environment, where it is not set"
        reading.warn(draft.node, f"({model}) {needs}: it cannot be called until it is")
    if key is not None and key.file is not None and key.value is None:
        reading.warn(draft.node, f"({model}) needs {key.awaited}: it cannot be called until it is there")
        missing = (*missing, f"the file {key.file}")
    if draft.passthrough_auth and key:
        reading.warn(
            draft.node.at("access_key" if draft.access_key else "access_key_file"),
            "is not used: passthrough_auth sends the client's own key",
        )
    return Provider(
        model=model,
        name=draft.name or model,
        access_key=key,
        default=draft.default,
        base_url=draft.base_url.value,
        http_host=draft.http_host,
        interface=draft.interface,
        passthrough_auth=draft.passthrough_auth,
        headers=draft.headers,
        api_version=draft.api_version,
        timeouts=draft.timeouts,
        tls_ca_file=draft.tls_ca_file,
        missing=missing,
    )


def _missing(draft: ProviderDraft) -> tuple[str, ...]:
    values = [draft.access_key, draft.base_url, *draft.headers.values()]
    return tuple(dict.fromkeys(value.variable for value in values if value and value.variable and value.value is None))


def _check_models(drafts: Iterable[ProviderDraft], reading: Reading) -> None:
    first: dict[str, Node] = {}
    for draft in drafts:
        node = draft.node.at("model")
        if draft.model and "*" not in draft.model and (twin := first.setdefault(draft.model, node)) is not node:
            reading.mistake(node, f"must be unique, got {draft.model!r} as in {reading.place(twin)}")


def _check_names(drafts: Iterable[ProviderDraft], reading: Reading) -> None:
    ids = {draft.model: draft for draft in reversed(tuple(drafts)) if draft.model}
    first: dict[str, Node] = {}
    for draft in drafts:
        node = draft.node.at("name")
        if not draft.name:
            continue
        if (twin := first.setdefault(draft.name, node)) is not node:
            reading.mistake(node, f"must be unique, got {draft.name!r} as in {reading.place(twin)}")
        elif (other := ids.get(draft.name, draft)) is not draft and draft.name != draft.model:
            place = reading.place(other.node)
            reading.mistake(node, f"is the id of another entry's model, got {draft.name!r} as in {place}")


def _check_defaults(drafts: Iterable[ProviderDraft], reading: Reading) -> None:
    defaults = [draft for draft in drafts if draft.default]
    for draft in defaults[1:]:
        first = reading.place(defaults[0].node.at("default"))
        reading.mistake(draft.node.at("default"), f"may be true once, and is in {first} already")
    for draft in defaults:
        if draft.model and "*" in draft.model:
            reading.mistake(draft.node.at("default"), f"must be one model, and {draft.model} is a pattern")


def _check_aliases(draft: Draft, names: Names, reading: Reading) -> None:
    taken = {provider.model for provider in draft.providers} | {provider.name for provider in draft.providers}
    for alias, target in draft.aliases.items():
        node = draft.node.at("model_aliases", alias)
        steps = list(chain(alias, draft.aliases))
        if alias in taken:
            reading.mistake(node, "is the name of a model or provider entry already")
        elif names.catalog.resolve(alias) is None and steps[-1] in draft.aliases:
            circle = " → ".join([*steps[:5], draft.aliases[steps[-1]]])
            reading.mistake(node, f"leads round in a circle: {circle}")
        elif names.catalog.resolve(alias) is None:
            names.resolve(node.at("target"), target, reading)


def _check_apply_to(draft: Draft, catalog: Catalog, reading: Reading) -> None:
    for index, name in enumerate(draft.routing.apply_to or ()):
        if name != AUTO and catalog.resolve(name) is None:
            node = draft.node.at("routing", "apply_to", index)
            reading.warn(node, f"is no model or alias here: only a request for a model called {name!r} is meant")


def _listener(draft: Draft, reading: Reading) -> Listener:
    """The listener, from either place it may be described in; what both say is a mistake."""
    written = [place for place in (draft.listeners, draft.listener) if place is not None]
    if draft.listeners and draft.listener:
        _check_once(draft.listeners, draft.listener, reading)
    values = {key: value for place in written for key, value in place.value.items()}
    known = {key: values[key] for key in _LISTENER_FIELDS if key in values}
    listener = Listener(**known, auth=admitted(values.get("auth"), reading))
    for place in written:
        check_listener(listener, place.node, reading)
    return listener


def _check_once(first: Placed[Mapping[str, Any]], second: Placed[Mapping[str, Any]], reading: Reading) -> None:
    for key in sorted(first.node.keys & second.node.keys):
        twin = first.node.at(key)
        reading.mistake(second.node.at(key), f"says the same as {twin.path} in {reading.place(twin)}: keep one of them")


def _check_ports(draft: Draft, listener: Listener, reading: Reading) -> None:
    admin = draft.admin
    if listener.port and listener.port == admin.port and _overlap(listener, admin):
        reading.mistake(draft.node.at("admin", "port"), f"must not be the listener's port, {admin.port}")


def _check_cache(draft: Draft, reading: Reading) -> None:
    """What each kind of session cache needs, and what it cannot do."""
    cache, node = draft.routing.session_cache, draft.node.at("routing", "session_cache")
    if cache.type is CacheKind.REDIS and cache.url is None:
        reading.mistake(node, "of type redis needs the key 'url'")
    if cache.type is CacheKind.REDIS and cache.snapshot is not None:
        reading.mistake(node.at("snapshot"), "is for type memory: pins in Redis outlive this process")
    if cache.type is CacheKind.MEMORY and cache.url is not None:
        reading.warn(node.at("url"), "is not used: the type is memory")
    if cache.type is CacheKind.MEMORY and cache.copies:
        reading.warn(node.at("copies"), "is not used: the type is memory")
    if draft.workers > 1 and cache.type is CacheKind.MEMORY:
        why = "each process would have pins of its own, and a session that comes to another would change its model"
        reading.mistake(draft.node.at("workers"), f"must be 1 unless routing.session_cache is of type redis: {why}")
    if draft.workers > 1 and draft.responses_state is not None:
        why = "each process would keep conversations of its own, and previous_response_id would fail at the others"
        reading.mistake(draft.node.at("workers"), f"must be 1 with responses_state: {why}")
    if cache.trusted_peers and cache.tenant_header is None:
        reading.warn(node.at("trusted_peers"), "is not used: there is no tenant_header")
    if cache.tenant_header is not None and not cache.trusted_peers:
        reading.warn(node.at("tenant_header"), "is believed from nobody: there are no trusted_peers")


def _check_hashes(draft: Draft, reading: Reading) -> None:
    """Pins that outlive or leave this process, under keys that are hashed, need a hash that does as well."""
    routing, cache, key = draft.routing, draft.routing.session_cache, draft.telemetry.session_hash_key
    hashed = routing.implicit_sessions or routing.session_scope is SessionScope.CALLER
    if not hashed or (key is not None and key.value is not None):
        return
    what, node = "implicit_sessions" if routing.implicit_sessions else "session_scope", draft.node.at("routing")
    if cache.type is CacheKind.REDIS:
        why = "other sidecars would not find the sessions that this one hashed"
        reading.mistake(node.at(what), f"needs telemetry.session_hash_key with a session cache of type redis: {why}")
    elif cache.snapshot is not None:
        reading.warn(node.at(what), "needs telemetry.session_hash_key, or no session is known again after a restart")


def _overlap(listener: Listener, admin: Admin) -> bool:
    addresses = {_normal(listener.address), _normal(admin.address)}
    return len(addresses) == 1 or not addresses.isdisjoint({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound


def _normal(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        name = address.lower().rstrip(".")
        return "127.0.0.1" if name == "localhost" else name

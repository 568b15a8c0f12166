"""
What a new configuration cannot change in a running process: sockets, processes, stores, log files.

It keeps what it has and says so; everything else of the new file is taken over.
"""

from operator import attrgetter
from typing import Any

from attrs import evolve

from sidecar.config.models import Auth, Config, is_loopback

FIXED = (
    "listener.address",
    "listener.port",
    "listener.fast_path",
    "admin.address",
    "admin.port",
    "workers",
    "routing.session_cache.type",
    "routing.session_cache.url",
    "routing.session_cache.username",
    "routing.session_cache.password",
    "routing.session_cache.tls_ca_file",
    "routing.session_cache.tls_cert_file",
    "routing.session_cache.tls_key_file",
    "routing.session_cache.key_prefix",
    "routing.session_cache.connect_timeout_s",
    "routing.session_cache.command_timeout_s",
    "routing.session_cache.flight_wait_s",
    "routing.session_cache.breaker",
    "routing.session_cache.copies",
    "routing.session_cache.snapshot",
    "routing.session_cache.snapshot_interval_s",
    "responses_state",
    "telemetry.access_log",
    "telemetry.access_log_format",
    "telemetry.log_format",
    "telemetry.session_hash_key",
    "tracing",
)


def kept(now: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    """`new`, with what cannot change as it is `now`; and the names of what would have changed."""
    differing = tuple(name for name in FIXED if attrgetter(name)(now) != attrgetter(name)(new))
    for name in differing:
        new = _with(new, name.split("."), attrgetter(name)(now))
    if "listener.address" in differing and _opens(now, new):
        new = _with(new, ["listener", "auth"], now.listener.auth)
        differing += ("listener.auth",)
    # TLS can get other certificates; that there is TLS at all is the socket's.
    for port in ("listener", "admin"):
        was, would = getattr(now, port).tls, getattr(new, port).tls
        if (was is None) != (would is None):
            new = _with(new, [port, "tls"], was)
            differing += (f"{port}.tls",)
    return new, differing


def _opens(now: Config, new: Config) -> bool:
    """Whether everybody could call, because `new` is for another address: on loopback nobody has to be named."""
    return not is_loopback(now.listener.address) and _guards(now.listener.auth) and not _guards(new.listener.auth)


def _guards(auth: Auth | None) -> bool:
    return auth is not None and not auth.is_none


def _with(whole: Any, path: list[str], value: Any) -> Any:
    first, *rest = path
    return evolve(whole, **{first: _with(getattr(whole, first), rest, value) if rest else value})

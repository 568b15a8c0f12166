"""What a reload takes over, and what it leaves as it is until a restart."""

from operator import attrgetter

from attrs import evolve, fields, has

from sidecar.config import read_text
from sidecar.config.models import Auth, Config, Listener, ServerTls
from sidecar.server.fixed import FIXED, kept


def read(text):
    return read_text(text, "sidecar.yaml", {}).config


def test_routes_models_ttl_and_limits_are_taken_over():
    now = Config()
    new = read("""
        model_providers: [{model: openai/new}]
        routing: {session_ttl_seconds: 7, session_max_entries: 3}
        listener: {max_body_bytes: 5, limits: {max_requests: 9}}
        drain: {timeout_seconds: 1}
        circuit_breakers: {max_requests: 2}
    """)
    assert kept(now, new) == (new, ())


def test_ports_workers_stores_and_logs_stay_and_are_named():
    now = Config()
    new = read("""
        listener: {port: 1, max_body_bytes: 5}
        admin: {port: 2}
        routing: {session_ttl_seconds: 7, session_cache: {snapshot: /pins}}
        telemetry: {access_log: stdout, inject_usage: false}
        tracing: {random_sampling: 5}
    """)
    config, waiting = kept(now, new)
    assert waiting == (
        "listener.port",
        "admin.port",
        "routing.session_cache.snapshot",
        "telemetry.access_log",
        "tracing",
    )
    assert config.listener == Listener(max_body_bytes=5)
    assert config.routing.session_ttl_seconds == 7
    assert config.routing.session_cache == now.routing.session_cache
    assert (config.telemetry.access_log, config.telemetry.inject_usage) == (None, False)


def test_tls_can_get_other_files_but_not_begin_or_end():
    tls, other = ServerTls("a.crt", "a.key"), ServerTls("b.crt", "b.key")
    plain, first, second = (Config(listener=Listener(tls=each)) for each in (None, tls, other))
    assert kept(first, second) == (second, ())
    assert kept(plain, first) == (plain, ("listener.tls",))
    assert kept(first, plain) == (first, ("listener.tls",))


def test_a_file_that_was_written_for_loopback_does_not_open_the_address_that_stays():
    guarded = Config(listener=Listener(address="0.0.0.0", auth=Auth(client_certificates=True)))
    for auth in (None, Auth()):
        config, waiting = kept(guarded, Config(listener=Listener(auth=auth)))
        assert config.listener == guarded.listener
        assert waiting == ("listener.address", "listener.auth")


def test_other_keys_count_at_once_even_where_the_address_stays():
    guarded = Config(listener=Listener(address="0.0.0.0", auth=Auth(client_certificates=True)))
    keys = read("listener: {auth: {keys: [{name: a, key: 0123456789abcdef}]}}").listener.auth
    config, waiting = kept(guarded, Config(listener=Listener(auth=keys)))
    assert (config.listener.auth, waiting) == (keys, ("listener.address",))


def test_the_same_address_may_be_opened_to_everybody():
    guarded, opened = (
        Config(listener=Listener(address="0.0.0.0", auth=Auth(client_certificates=c))) for c in (True, False)
    )
    assert kept(guarded, opened) == (opened, ())


def test_every_fixed_name_is_a_setting():
    for name in FIXED:
        settings = Config()
        for step in name.split("."):
            assert hasattr(settings, step), name
            settings = getattr(settings, step)
    assert evolve(Config()) == Config()


TAKEN_OVER = {
    "version", "providers", "aliases", "routes", "outlier_detection", "circuit_breakers", "watch_config", "drain",
    "listener.timeout_s", "listener.max_body_bytes", "listener.cors_origins", "listener.sse_keepalive_s",
    "listener.limits", "listener.tls", "listener.auth", "admin.tls",
    "routing.session_ttl_seconds", "routing.session_ttl_policy", "routing.session_max_entries",
    "routing.session_sources", "routing.pin_unmatched", "routing.apply_to", "routing.session_scope",
    "routing.implicit_sessions", "routing.lanes", "routing.side_calls", "routing.route_on_user_only",
    "routing.classifier", "routing.failover", "routing.max_attempts",
    "routing.session_cache.tenant_header", "routing.session_cache.trusted_peers",
    "telemetry.inject_usage", "telemetry.log_level",
}  # fmt: skip
"""What a reload changes; tests of `generation`, of the listener's limits, of `auth` and of TLS show that it does."""
OF_THE_READING = {"files", "source"}
"""Not the file's to say."""


def settings(kind=Config, prefix=""):
    """Every setting by its path, down to where either list names it."""
    for each in fields(kind):
        path = f"{prefix}{each.name}"
        default = getattr(kind(), each.name)
        if path in TAKEN_OVER | OF_THE_READING | set(FIXED) or not has(type(default)):
            yield path
        else:
            yield from settings(type(default), f"{path}.")


def test_every_setting_is_either_taken_over_or_told_to_need_a_restart():
    found = set(settings())
    assert found - TAKEN_OVER - OF_THE_READING == set(FIXED)
    assert TAKEN_OVER & set(FIXED) == set()
    assert found >= TAKEN_OVER


def test_what_is_taken_over_is_that_of_the_new_file_and_what_is_not_that_of_the_old():
    now, new = Config(), read(EVERYTHING_ELSE)
    config, waiting = kept(now, new)
    for path in TAKEN_OVER - {"listener.tls", "admin.tls", "version"}:
        assert attrgetter(path)(config) == attrgetter(path)(new) != attrgetter(path)(now), path
    assert all(attrgetter(path)(config) == attrgetter(path)(now) for path in FIXED)
    assert set(waiting) <= set(FIXED)


EVERYTHING_ELSE = """
model_providers: [{model: openai/one}]
model_aliases: {fast: openai/one}
routing_preferences: [{name: a, description: about something, models: [openai/one]}]
outlier_detection: {consecutive_5xx: 1}
circuit_breakers: {max_requests: 1}
watch_config: false
drain: {timeout_seconds: 1}
workers: 1
responses_state: memory
listeners:
  - type: model
    port: 1
    timeout: 1s
    max_body_bytes: 1
    cors_origins: ["https://a.example"]
    sse_keepalive_seconds: 1
    limits: {max_requests: 1}
    auth: none
routing:
  session_ttl_seconds: 1
  session_ttl_policy: fixed
  session_max_entries: 1
  session_sources: [session-id]
  pin_unmatched: false
  apply_to: [fast]
  session_scope: caller
  implicit_sessions: true
  lanes: by_agent
  side_calls: pin
  route_on_user_only: true
  classifier: {type: llm, base_url: "http://c/v1", model: m}
  failover: false
  max_attempts: 1
  session_cache: {tenant_header: x-tenant, trusted_peers: [10.0.0.0/8], snapshot: /pins}
telemetry: {inject_usage: false, log_level: error, log_format: json}
"""

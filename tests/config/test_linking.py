import pytest


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines(mistakes):
    text = """\
    version: v9
    model_providers:
      - model: openai/gpt-4o
        default: 'true'
        acces_key: sk-secret
    routing:
      session_ttl: 10
    agents: []
    admin:
      port: 70000
    """
    assert mistakes(text) == [
        "config.yaml:1: version must be one of v0.1, v0.1.0, 0.1-beta, 0.2.0, v0.2.0, v0.3.0, v0.4.0, got 'v9'",
        "config.yaml:4: model_providers[0].default must be true or false, got 'true'",
        "config.yaml:5: model_providers[0].acces_key is no known key; did you mean 'access_key'?",
        "config.yaml:7: routing.session_ttl is no known key; did you mean 'session_ttl_policy'?",
        "config.yaml:8: agents is not supported: agents are services that a prompt is handed to; this program chooses"
        " models only",
        "config.yaml:10: admin.port must be a whole number of at most 65535, got 70000",
    ]


@pytest.mark.parametrize("version", ["v0.1", "0.1-beta", "v0.1-beta", "0.2.0", "v0.3.0", "0.4.0", "0.1"])
def test_every_version_of_the_format_is_read(config, version):
    assert config(f"version: {version}").version == version


def test_providers_are_told_apart_by_model_and_name(mistakes):
    text = """\
    model_providers:
      - model: a/x
      - model: a/x
      - {model: a/y, name: n}
      - {model: a/z, name: n}
      - {model: a/v, name: a/y}
      - {model: a/w, name: a/x}
    """
    assert mistakes(text) == [
        "config.yaml:3: model_providers[1].model must be unique, got 'a/x' as in line 2",
        "config.yaml:5: model_providers[3].name must be unique, got 'n' as in line 4",
        "config.yaml:6: model_providers[4].name is the id of another entry's model, got 'a/y' as in line 4",
        "config.yaml:7: model_providers[5].name is the id of another entry's model, got 'a/x' as in line 2",
    ]


def test_the_same_name_from_two_providers_is_legal(config):
    assert len(config("model_providers: [{model: openai/gpt-4o}, {model: azure/gpt-4o}]").providers) == 2


def test_there_is_one_default_and_it_is_one_model(mistakes):
    text = """\
    model_providers:
      - {model: a/x, default: true}
      - {model: a/y, default: true}
      - {model: a/*, default: true}
    """
    assert mistakes(text) == [
        "config.yaml:3: model_providers[1].default may be true once, and is in line 2 already",
        "config.yaml:4: model_providers[2].default may be true once, and is in line 2 already",
        "config.yaml:4: model_providers[2].default must be one model, and a/* is a pattern",
    ]


def test_aliases_lead_to_models(mistakes):
    text = """\
    model_providers: [{model: openai/gpt-4o}, {model: anthropic/*}]
    model_aliases:
      good: gpt-4o
      better: {target: good}
      covered: {target: anthropic/claude}
      typo: {target: openai/gpt-4}
      pattern: {target: anthropic/*}
      a: b
      b: {target: a}
      openai/gpt-4o: anthropic/claude
      "x*": good
      late: typo
      long: {to: good}
    """
    assert mistakes(text) == [
        "config.yaml:6: model_aliases.typo.target must be a model or alias of the configuration, got 'openai/gpt-4'; did"
        " you mean 'openai/gpt-4o'?",
        "config.yaml:7: model_aliases.pattern.target must be one model, not a pattern, got 'anthropic/*'",
        "config.yaml:8: model_aliases.a leads round in a circle: a → b → a",
        "config.yaml:9: model_aliases.b leads round in a circle: b → a → b",
        "config.yaml:10: model_aliases.'openai/gpt-4o' is the name of a model or provider entry already",
        "config.yaml:11: model_aliases.'x*' is no name for an alias: one line, not empty, without '*'",
        "config.yaml:13: model_aliases.long.to is no known key",
        "config.yaml:13: model_aliases.long needs the key 'target'",
    ]


def test_a_provider_that_could_not_be_read_makes_no_further_mistakes(mistakes):
    text = """\
    model_providers: [{model: gpt-4o}]
    model_aliases: {fast: openai/gpt-4o}
    routing_preferences: [{name: a, description: b, models: [openai/gpt-4o]}]
    """
    assert len(mistakes(text)) == 1


def test_apply_to_takes_any_name_and_wonders_about_unknown_ones(load):
    loaded = load("model_providers: [{model: a/x}]\nrouting: {apply_to: [auto, x, a/y]}")
    assert loaded.config.routing.apply_to == ("auto", "x", "a/y")
    assert loaded.warnings == (
        "config.yaml:2: routing.apply_to[2] is no model or alias here: only a request for a model called 'a/y' is meant",
    )


def test_old_and_new_word_for_providers_exclude_each_other(mistakes):
    text = "model_providers: [{model: a/x}]\nllm_providers: [{model: a/y}]"
    assert mistakes(text) == [
        "config.yaml:2: llm_providers says the same as model_providers in line 1: keep one of them"
    ]


def test_no_listener_is_the_default_listener(config):
    assert config("listeners: []").listener == config("").listener


def test_a_listener_is_read_from_the_list_from_the_mapping_or_from_both(config):
    listener = config("listeners: [{type: model, name: m, port: 1}]\nlistener: {max_body_bytes: 5}").listener
    assert (listener.port, listener.max_body_bytes) == (1, 5)
    legacy = config(
        "listeners: {egress_traffic: {address: 0.0.0.0, port: 9, message_format: openai, timeout: 30s, auth: none}}"
    )
    assert (legacy.listener.address, legacy.listener.port, legacy.listener.timeout_s) == ("0.0.0.0", 9, 30)


def test_one_thing_is_said_in_one_place(mistakes):
    assert mistakes("listeners: [{type: model, port: 1}]\nlistener: {port: 2}") == [
        "config.yaml:2: listener.port says the same as listeners[0].port in line 1: keep one of them"
    ]


def test_there_is_one_listener_and_it_serves_models(mistakes):
    text = """\
    listeners:
      - {type: prompt, name: p, port: 1}
      - {type: model, name: a, port: 2}
      - {type: agent, agents: [x]}
      - {type: model, name: b, port: 3}
    """
    assert mistakes(text) == [
        "config.yaml:2: listeners[0].type must be 'model', got 'prompt': a prompt listener serves prompt targets, which"
        " this program does not have",
        "config.yaml:4: listeners[2].agents is not supported: agents are services that a prompt is handed to; this"
        " program serves models only",
        "config.yaml:4: listeners[2].type must be 'model', got 'agent': an agent listener serves agents, which this"
        " program does not have",
        "config.yaml:5: listeners[3] is a second model listener, beside the one in line 3: keep one",
    ]
    assert "listeners.ingress_traffic is not supported" in mistakes("listeners: {ingress_traffic: {port: 1}}")[0]


@pytest.mark.parametrize(
    ("ours", "admins"), [("127.0.0.1", "localhost"), ("0.0.0.0", "10.0.0.1"), ("127.0.0.1", "::"), ("a.b", "A.b.")]
)
def test_listener_and_admin_need_ports_of_their_own(mistakes, ours, admins):
    text = f"listener: {{port: 7, address: '{ours}', auth: none}}\nadmin: {{port: 7, address: '{admins}'}}"
    assert mistakes(text) == ["config.yaml:2: admin.port must not be the listener's port, 7"]


def test_the_same_port_on_another_address_or_port_0_is_no_clash(config):
    assert config("listener: {port: 7, address: 10.0.0.1, auth: none}\nadmin: {port: 7}").admin.port == 7
    assert config("listener: {port: 0}\nadmin: {port: 0}").admin.port == 0


REFUSED = """
agents filters prompt_targets prompt_guards endpoints ratelimits system_prompt prompt_caching model_metrics_sources
state_storage routing.routing_budget overrides.use_agent_orchestrator
overrides.agent_orchestration_model overrides.prompt_target_intent_matching_threshold overrides.upstream_tls_ca_path
overrides.optimize_context_window
"""


@pytest.mark.parametrize("path", REFUSED.split())
def test_what_this_program_does_not_have_is_refused_by_name(mistakes, path):
    text = ": {".join(path.split(".")) + ": x" + "}" * path.count(".")
    (line,) = mistakes(text)
    assert line.startswith(f"config.yaml:1: {path} is not supported: ")


def test_what_a_session_cache_needs_and_cannot_do_is_told(config, load, mistakes):
    assert config("routing: {session_cache: {type: memory}}") == config("")
    assert "needs the key 'url'" in mistakes("routing: {session_cache: {type: redis}}")[0]
    both = "routing: {session_cache: {type: redis, url: 'redis://x', snapshot: /pins}}"
    assert "snapshot is for type memory" in mistakes(both)[0]
    warnings = load("routing: {session_cache: {url: 'redis://x'}}").warnings
    assert any("url is not used: the type is memory" in warning for warning in warnings)
    assert "must be an IP address or a network" in mistakes("routing: {session_cache: {trusted_peers: [x]}}")[0]


def test_more_than_one_worker_needs_a_shared_session_cache(config, mistakes):
    shared = "workers: 2\nrouting: {session_cache: {type: redis, url: 'redis://x'}}"
    assert config(shared).workers == 2
    assert "each process would have pins of its own" in mistakes("workers: 2")[0]
    assert "each process would keep conversations of its own" in mistakes(f"{shared}\nresponses_state: memory")[0]


@pytest.mark.parametrize("hashed", ["implicit_sessions: true", "session_scope: caller"])
def test_hashed_keys_that_others_are_to_find_need_a_common_secret(config, load, mistakes, hashed):
    redis = f"routing: {{{hashed}, session_cache: {{type: redis, url: 'redis://x'}}}}"
    (line,) = mistakes(redis)
    assert line.startswith(f"config.yaml:1: routing.{hashed.partition(':')[0]} needs telemetry.session_hash_key")
    keyed = redis + "\ntelemetry: {session_hash_key: $HASH_KEY}"
    assert config(keyed, HASH_KEY="secret").telemetry.session_hash_key.reveal() == "secret"
    assert len(mistakes(keyed)) == 1
    forgetful = "no session is known again after a restart"
    assert forgetful in "".join(load(f"routing: {{{hashed}, session_cache: {{snapshot: /pins}}}}").warnings)
    assert forgetful not in "".join(load(f"routing: {{{hashed}}}").warnings)


def test_a_tenant_header_that_nobody_is_believed_is_told(load):
    warnings = load("routing: {session_cache: {tenant_header: x-tenant}}").warnings
    assert any("tenant_header is believed from nobody" in warning for warning in warnings)


def test_what_changes_no_answer_is_accepted_and_told(load):
    text = """\
    mode: llm
    model_providers: [{model: a/b, access_key: k, passthrough_auth: true}]
    overrides: {disable_signals: true, upstream_connect_timeout: 5s}
    tracing: {random_sampling: 100, opentracing_grpc_endpoint: http://x:1, exporters: []}
    """
    loaded = load(text)
    assert loaded.config.tracing.random_sampling == 100
    assert [line.partition(" is not used: ")[0] for line in loaded.warnings] == [
        "config.yaml:2: model_providers[0].access_key",
        "config.yaml:3: overrides.disable_signals",
        "config.yaml:3: overrides.upstream_connect_timeout",
        "config.yaml:4: tracing.opentracing_grpc_endpoint",
        "config.yaml:4: tracing.exporters",
    ]
    assert loaded.config.providers[0].passthrough_auth

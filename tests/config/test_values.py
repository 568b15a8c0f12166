import pytest

from sidecar.config.models import Range, TtlPolicy


def test_a_message_names_the_place_the_value_and_what_was_expected(mistakes):
    assert mistakes("version: v0.4.0\nrouting:\n  session_ttl_seconds: '10m'\n") == [
        "config.yaml:3: routing.session_ttl_seconds must be a whole number of at least 1, got '10m'"
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "of at least 1, got 0"),
        ("-5", "of at least 1, got -5"),
        ("99999999999999999999", "of at most 2592000, got 99999999999999999999"),
        ("10m", "of at least 1, got '10m'"),
        ("true", "of at least 1, got true"),
        ("1.5", "of at least 1, got 1.5"),
        ("10:00", "plain decimal number, got 10:00, which YAML reads as 600"),
        ("010", "plain decimal number, got 010, which YAML reads as 8"),
        ("0x1F", "plain decimal number, got 0x1F, which YAML reads as 31"),
        ("[1]", "of at least 1, got a list"),
        (".inf", "got .inf"),
        (".nan", "got .nan"),
    ],
)
def test_a_whole_number_is_strict(mistakes, value, said):
    assert said in mistakes(f"routing: {{session_ttl_seconds: {value}}}")[0]


@pytest.mark.parametrize("value", [".nan", ".inf", "-0.1", "100.5", "true", "'5'"])
def test_a_number_is_in_its_range(mistakes, value):
    assert "tracing.random_sampling must be a number of" in mistakes(f"tracing: {{random_sampling: {value}}}")[0]


@pytest.mark.parametrize("value", ["'false'", "0", "1", "'yes'", "[]"])
def test_only_true_and_false_are_booleans(mistakes, value):
    assert "must be true or false, got" in mistakes(f"routing: {{pin_unmatched: {value}}}")[0]


def test_yaml_reads_on_and_off_as_booleans_and_so_do_we(config):
    assert config("routing: {pin_unmatched: off}").routing.pin_unmatched is False


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("123", "must be text, got 123: put it in quotes"),
        ("on", "must be text, got on, which YAML reads as true: put it in quotes"),
        ("''", "must not be empty"),
        ("'  '", "must not be empty"),
        ("[a]", "must be text, got a list"),
        ("{a: b}", "must be text, got a mapping"),
        ('"a\\nb"', "must be one line of printable characters, got 'a\\nb'"),
        ("a" * 200, "must be at most 128 characters long, got 200"),
    ],
)
def test_a_name_is_strict(mistakes, value, said):
    assert mistakes(f"listeners: [{{type: model, name: {value}}}]") == [f"config.yaml:1: listeners[0].name {said}"]


def test_a_date_is_the_text_that_was_typed(config):
    text = "model_providers: [{model: a/b}]\nmodel_aliases: {x: {target: a/b}}\nrouting: {apply_to: [2024-01-01]}"
    assert config(text).routing.apply_to == ("2024-01-01",)


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("1.5s", 1.5)])
def test_durations_carry_their_unit(config, text, seconds):
    assert config(f"listeners: [{{type: model, timeout: {text}}}]").listener.timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["30", "30 s", "s", "-1s", "0s", "30d", "99999h", "1e3s", "1m30s"])
def test_a_duration_without_unit_or_out_of_range_is_a_mistake(mistakes, text):
    assert "listeners[0].timeout must be a duration" in mistakes(f"listeners: [{{timeout: {text}}}]")[0]


def test_a_word_is_one_of_its_words(config, mistakes):
    assert config("routing: {session_ttl_policy: fixed}").routing.session_ttl_policy is TtlPolicy.FIXED
    assert "must be sliding or fixed, got 'never'" in mistakes("routing: {session_ttl_policy: never}")[0]
    assert "must be sliding or fixed, got a mapping" in mistakes("routing: {session_ttl_policy: {a: b}}")[0]


@pytest.mark.parametrize("value", ["0.0.0.0", "::", "localhost", "sidecar.svc.cluster.local", "127.0.0.1"])
def test_addresses_are_ip_addresses_or_host_names(config, value):
    assert config(f"admin: {{address: '{value}'}}").admin.address == value


@pytest.mark.parametrize("value", ["1.2.3", "256.0.0.1", "a b", "http://x", "a:80", "-a", "", "a..b", "*"])
def test_anything_else_is_no_address(mistakes, value):
    assert "admin.address must be an IP address or a host name" in mistakes(f"admin: {{address: '{value}'}}")[0]


@pytest.mark.parametrize(
    "model", ["gpt-4o", "/x", "openai/", "openai/*x", "*/x", "open*/x", "a/b/*", "a b/c", "a/b c", "é/x"]
)
def test_a_model_is_provider_and_name(mistakes, model):
    assert mistakes(f"model_providers: [{{model: '{model}'}}]") == [
        "config.yaml:1: model_providers[0].model must be provider/name, or provider/* for all models of a provider,"
        f" got {model!r}"
    ]


def test_what_names_a_session_is_a_header_or_a_field_of_the_body(config):
    listed = "[Session-Id, x-my-run, 'body:prompt_cache_key', 'body:metadata.user_id', 'body:client_metadata.run.id']"
    assert config(f"routing: {{session_sources: {listed}}}").routing.session_sources == (
        "session-id", "x-my-run", "body:prompt_cache_key", "body:metadata.user_id", "body:client_metadata.run.id",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("two words", "must be the name of a header"),
        ("body:user", "must be body: and one of session_id, conversation"),
        ("body:messages", "must be body: and one of session_id, conversation"),
        ("body:metadata", "must be body: and one of session_id, conversation"),
        ("Authorization", "authorization names a person, a secret or a single request"),
        ("x-api-key", "x-api-key names a person, a secret"),
        ("X-Request-Id", "x-request-id names a person, a secret or a single request"),
        ("x-stainless-retry-count", "must be something that names a session"),
        ("openai-organization", "must be something that names a session"),
        ("body:metadata.user", "must be something that names a session"),
        ("body:metadata.device_id", "must be something that names a session"),
        ("body:metadata.deviceId", "must be something that names a session"),
        ("body:metadata.User", "must be something that names a session"),
        ("body:metadata.USER_ID", "must be something that names a session"),
        ("body:metadata.customer.email", "must be something that names a session"),
        ("body:client_metadata.user_id", "must be something that names a session"),
        ("body:metadata.organization_id", "must be something that names a session"),
        ("body:metadata.api_key", "must be something that names a session"),
        ("x-forwarded-for", "must be something that names a session"),
        ("x-forwarded-user", "must be something that names a session"),
        ("X-User-Id", "must be something that names a session"),
        ("traceparent", "must be something that names a session"),
    ],
)
def test_what_names_a_person_a_secret_or_a_request_names_no_session(mistakes, source, said):
    (line,) = mistakes(f"routing: {{session_sources: ['{source}']}}")
    assert line.startswith("config.yaml:1: routing.session_sources[0] must be ")
    assert said in line


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "api-key", "X-Goog-Api-Key", "cookie"])
def test_a_secret_names_no_tenant(mistakes, header):
    (line,) = mistakes(f"routing: {{session_cache: {{tenant_header: {header}, trusted_peers: [10.0.0.0/8]}}}}")
    assert "routing.session_cache.tenant_header must be something that names a tenant" in line


def test_null_is_as_good_as_not_given(config):
    text = (
        "routing:\n  session_ttl_seconds:\n  classifier:\nadmin:\nrouting_preferences:\nmodel_providers:\nlisteners:\n"
    )
    assert config(text) == config("")


def test_a_range_is_a_check_for_attrs_too():
    with pytest.raises(ValueError, match="must be at most 1, got 2"):
        Range(0, 1)(None, type("Field", (), {"name": "threshold"}), 2)

import pytest

CANARY = "canary-7f3a"


def provider(**keys):
    return "model_providers:\n  - model: openai/gpt-4o\n" + "".join(
        f"    {key}: {value}\n" for key, value in keys.items()
    )


@pytest.mark.parametrize("text", ["$KEY", "${KEY}"])
def test_a_key_comes_from_the_environment(config, text):
    key = config(provider(access_key=text), KEY="sk-1").providers[0].access_key
    assert (key.reveal(), key.variable) == ("sk-1", "KEY")


def test_a_literal_key_works_without_a_word(load):
    loaded = load(provider(access_key="sk-literal"))
    assert loaded.config.providers[0].access_key.reveal() == "sk-literal"
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("text", "value"), [("a$$b", "a$b"), ("$$KEY", "$KEY"), ("a$", "a$"), ("a$-b", "a$-b"), ("x-${KEY}", "x-1")]
)
def test_two_dollars_are_one(config, text, value):
    assert config(provider(access_key=f"'{text}'"), KEY="1").providers[0].access_key.reveal() == value


def test_a_missing_variable_is_told_once_per_provider(load):
    text = provider(access_key="$LATER", base_url="https://$HOST/v1", headers="{A: $LATER, B: 'Bearer $TOKEN'}")
    loaded = load(text)
    assert loaded.warnings == (
        "config.yaml:2: model_providers[0] (openai/gpt-4o) needs LATER, HOST, TOKEN from the environment, where it is"
        " not set: it cannot be called until it is",
    )
    assert loaded.config.providers[0].missing == ("LATER", "HOST", "TOKEN")
    assert loaded.config.providers[0].base_url is None
    assert loaded.config.providers[0].access_key.reveal() is None


def test_an_empty_variable_is_missing(config):
    assert config(provider(access_key="$KEY"), KEY="").providers[0].missing == ("KEY",)


def test_a_dollar_inside_a_literal_key_is_not_told_as_a_variables_name(warnings):
    assert not any("ret" in line for line in warnings(provider(access_key="sec$ret")))


def test_elsewhere_a_variable_is_left_as_it_is_and_told(load):
    loaded = load("model_providers: [{model: openai/$MODEL}]", MODEL="gpt-4o")
    assert loaded.config.providers[0].model == "openai/$MODEL"
    assert loaded.warnings == (
        "config.yaml:1: model_providers[0].model keeps 'openai/$MODEL' as it is: variables are read in keys, headers and"
        " URLs only",
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host", "begins with http:// or https://"),
        ("host:80", "begins with http:// or https://"),
        ("https://", "with a host"),
        ("https://host:99999", "must be a URL"),
        ("https://user:canary-7f3a@host", "put the key in access_key"),
        ("https://canary-7f3a@host", "put the key in access_key"),
        ("https://host/v1?key=canary-7f3a", "end before any"),
        ("'https://ho st'", "without spaces"),
        ("https://[::1", "must be a URL"),
        ("5", "must be text, got a number"),
    ],
)
def test_a_base_url_is_plain_http_and_is_never_shown(mistakes, url, said):
    (line,) = mistakes(provider(base_url=url))
    assert said in line
    assert CANARY not in line


def test_a_base_url_from_a_variable_is_checked_and_not_shown(mistakes):
    (line,) = mistakes(provider(base_url="$URL"), URL=f"ftp://{CANARY}")
    assert "the environment variable URL" in line
    assert CANARY not in line


def test_a_base_url_loses_its_last_slash(config):
    assert config(provider(base_url="http://localhost:11434/v1/")).providers[0].base_url == "http://localhost:11434/v1"


@pytest.mark.parametrize(
    "value", ["5", "true", "[canary-7f3a]", "{canary-7f3a: 1}", '"canary-7f3a\\n"', "'${canary-7f3a'", "''"]
)
@pytest.mark.parametrize("key", ["access_key", "headers", "base_url"])
def test_no_message_shows_what_may_be_secret(mistakes, key, value):
    found = mistakes(provider(**{key: value}))
    assert [line for line in found if CANARY in line and ".headers.canary-7f3a " not in line] == []


def test_header_values_are_secrets(config):
    headers = config(provider(headers="{Authorization: Bearer $KEY}"), KEY=CANARY).providers[0].headers
    assert headers["Authorization"].reveal() == f"Bearer {CANARY}"
    assert CANARY not in repr(headers)


def test_header_names_are_checked_and_unique_whatever_their_case(mistakes):
    found = mistakes(provider(headers="{'a b': x, X-A: x, x-a: y, X-N: 5}"))
    assert [line.partition(".headers.")[2] for line in found] == [
        "'a b' is not a header name",
        "x-a is given twice: upper and lower case are the same in a header",
        "X-N must be text, got a number: put it in quotes",
    ]


def test_a_key_of_telemetry_that_waits_for_its_variable_is_told(warnings):
    told = warnings("""
    model_providers: [{model: openai/gpt-4o}]
    telemetry: {session_hash_key: $HASH}
    tracing: {endpoint: $WHERE, headers: {authorization: $TOKEN, x-team: red}}
    """)
    assert told == [
        "config.yaml:3: telemetry.session_hash_key is random at each start: the environment variable HASH is not set",
        "config.yaml:4: tracing.endpoint is off: the environment variable WHERE is not set",
        "config.yaml:4: tracing.headers.authorization is not sent: the environment variable TOKEN is not set",
    ]


def test_a_key_of_telemetry_that_is_there_needs_no_word(warnings):
    text = """
    model_providers: [{model: openai/gpt-4o}]
    telemetry: {session_hash_key: $HASH}
    tracing: {headers: {authorization: $TOKEN}}
    """
    assert warnings(text, HASH="1", TOKEN="2") == []

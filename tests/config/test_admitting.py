"""Who may call, as the file says it; and what it must say."""

import pytest
from certificates import write_pair

KEY = "0123456789abcdef"
TLS = "cert_file: tls.crt, key_file: tls.key"


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the texts of these tests are read
    write_pair(tmp_path)
    (tmp_path / "agent.key").write_text(f"{KEY}\n")


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.1.2.3", "sidecar.internal"])
def test_a_listener_that_others_can_reach_must_say_who_may_call(mistakes, config, address):
    (line,) = mistakes(f"listener: {{address: '{address}'}}")
    assert line == (
        f"config.yaml:1: listener must say who may call: {address} takes requests from other machines; "
        "give auth.keys or auth.client_certificates, or say 'auth: none' to let everybody"
    )
    assert config(f"listener: {{address: '{address}', auth: none}}").listener.auth.is_none


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST."])
def test_on_loopback_nothing_needs_to_be_said(config, address):
    assert config(f"listener: {{address: '{address}'}}").listener.auth is None


def test_keys_come_from_the_environment_and_from_files(load):
    text = "listener: {auth: {keys: [{name: a, key: $A_KEY}, {name: b, key_file: agent.key}]}}"
    loaded = load(text, A_KEY="f" * 16)
    keys = loaded.config.listener.auth.keys
    assert [(key.name, key.key.reveal()) for key in keys] == [("a", "f" * 16), ("b", KEY)]
    assert loaded.config.files == ("agent.key",)
    assert KEY not in repr(loaded)


def test_a_key_that_is_not_there_yet_lets_nobody_in_and_is_told(load):
    text = "listener: {auth: {keys: [{name: a, key: $NOT_SET}, {name: b, key_file: not/there}]}}"
    loaded = load(text)
    assert [key.key.reveal() for key in loaded.config.listener.auth.keys] == [None, None]
    assert [line for line in loaded.warnings if "lets nobody in" in line] == [
        "config.yaml:1: listener.auth.keys[0] lets nobody in: it waits for NOT_SET",
        "config.yaml:1: listener.auth.keys[1] lets nobody in: it waits for the file not/there",
    ]


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ("open", "listener.auth must be none, or a mapping of keys, got 'open'"),
        ("{}", "listener.auth names nobody: give keys or client_certificates, or say none"),
        ("{client_certificates: true}", "listener.auth.client_certificates needs tls.client_ca_file"),
        ("{keys: [{name: a}]}", "listener.auth.keys[0] needs the key 'key' or 'key_file'"),
        (
            f"{{keys: [{{name: a, key: {KEY}, key_file: agent.key}}]}}",
            "listener.auth.keys[0].key_file says the same as key: keep one of them",
        ),
        (
            "{keys: [{name: a, key: short}]}",
            "listener.auth.keys[0] has a key that can be guessed: give it 16 characters or more",
        ),
        (
            f"{{keys: [{{name: a, key: {KEY}}}, {{name: a, key: 'x{KEY}'}}]}}",
            "listener.auth.keys[1].name must be unique, got 'a' as in line 1",
        ),
        (
            f"{{keys: [{{name: a, key: {KEY}}}, {{name: b, key_file: agent.key}}]}}",
            "listener.auth.keys[1] has the same key as the one in line 1",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_mistake(mistakes, auth, said):
    assert mistakes(f"listener: {{auth: {auth}}}") == [f"config.yaml:1: {said}"]


def test_certificates_of_clients_need_tls_that_asks_for_them(mistakes, config):
    asks = f"{TLS}, client_ca_file: ca.crt, client_names: [agent.local]"
    auth = config(f"listener: {{tls: {{{asks}}}, auth: {{client_certificates: true}}}}").listener.auth
    assert auth.client_certificates
    assert mistakes(f"listener: {{tls: {{{asks}}}}}") == [
        "config.yaml:1: listener.tls.client_ca_file is not used: auth.client_certificates is not true"
    ]
    assert mistakes(f"listener: {{tls: {{{TLS}, client_names: [a]}}}}") == [
        "config.yaml:1: listener.tls.client_names needs client_ca_file"
    ]


def test_a_certificate_that_cannot_be_read_is_a_mistake(mistakes):
    (line,) = mistakes("listener: {tls: {cert_file: not-there.crt, key_file: tls.key}}")
    assert "listener.tls.cert_file names the file 'not-there.crt', which cannot be read" in line


def test_a_certificate_that_does_not_do_is_a_mistake(mistakes, tmp_path):
    write_pair(tmp_path, key_of_another=True)
    (tmp_path / "ca.crt").write_text("pem")
    authorities, pair, admin = mistakes(
        f"listener: {{tls: {{{TLS}, client_ca_file: ca.crt}}}}\nadmin: {{tls: {{{TLS}}}}}"
    )
    assert pair == (
        "config.yaml:1: listener.tls names a pair that does not do: tls.crt and tls.key cannot be used: "
        "the key is not that of the certificate"
    )
    assert (
        authorities
        == "config.yaml:1: listener.tls.client_ca_file names the file 'ca.crt', which holds no certificate in PEM"
    )
    assert admin.startswith("config.yaml:2: admin.tls names a pair that does not do")
    (line,) = mistakes("model_providers: [{model: openai/gpt, tls_ca_file: ca.crt}]")
    assert line.endswith("tls_ca_file names the file 'ca.crt', which holds no certificate in PEM")


def test_of_a_pair_that_does_not_do_nothing_else_is_said(mistakes, tmp_path):
    text = f"listener: {{tls: {{{TLS}, client_ca_file: ca.crt}}, auth: {{client_certificates: true}}}}"
    assert mistakes(text.replace(", client_ca_file: ca.crt", "")) == [
        "config.yaml:1: listener.auth.client_certificates needs tls.client_ca_file"
    ]
    write_pair(tmp_path, key_of_another=True)
    (line,) = mistakes(text)
    assert "names a pair that does not do" in line


def test_keys_in_plain_text_over_the_network_are_warned_of(load):
    text = f"listener: {{address: 0.0.0.0, auth: {{keys: [{{name: a, key: {KEY}}}]}}}}"
    assert any("travel in plain text" in line for line in load(text).warnings)
    assert not any("travel" in line for line in load(text.replace("auth", f"tls: {{{TLS}}}, auth")).warnings)


def test_a_providers_key_may_stand_in_a_file_that_comes_later(load, mistakes):
    entry = "model_providers: [{model: openai/a, access_key_file: %s}]"
    assert load(entry % "agent.key").config.providers[0].access_key.reveal() == KEY
    late = load(entry % "not-there")
    assert late.config.providers[0].missing == ("the file not-there",)
    assert any("it cannot be called until it is there" in line for line in late.warnings)
    both = "model_providers: [{model: openai/a, access_key: x, access_key_file: agent.key}]"
    assert "access_key_file says the same as access_key" in mistakes(both)[0]


def test_limits_drain_and_watching_are_read(config):
    read = config("""
        listener: {limits: {max_connections: 7, header_timeout: 1s, max_connection_age: 5m}}
        drain: {delay_seconds: 5, timeout_seconds: 0}
        watch_config: false
    """)
    limits = read.listener.limits
    assert (limits.max_connections, limits.header_timeout_s, limits.max_connection_age_s) == (7, 1, 300)
    assert (read.drain.delay_s, read.drain.timeout_s, read.watch_config) == (5, 0, False)

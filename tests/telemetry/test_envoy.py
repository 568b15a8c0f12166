"""Envoy's words for what became of a request."""

import re

import pytest
from lines import attempt, record

from sidecar.telemetry.envoy import envoy_line, response_flags
from sidecar.telemetry.trace import Trace

LINE = re.compile(
    r'\[[^]]+\] "[^" ]+ [^" ]+ [^" ]+" \d{3} [A-Z,-]+ \d+ \d+ \d+ (?:\d+|-) "[^"]*" "[^"]*" "[^"]*" "-" "[^"]*"\n'
)


@pytest.mark.parametrize(
    ("code", "outcomes", "began", "flags"),
    [
        (None, ["answered"], True, ""),
        (None, ["reset", "answered"], True, ""),  # another one answered: nothing is wrong
        ("client_gone", ["answered"], True, "DC"),
        ("client_gone", ["reset", "abandoned"], False, "DC"),
        ("model_not_found", [], False, "NR"),
        ("not_found", [], False, "NR"),
        ("provider_unknown", ["key_missing"], False, "NC"),
        ("provider_key_missing", ["key_missing"], False, "UH"),
        ("overloaded", ["overflow"], False, "UO"),
        ("upstream_unreachable", ["connect"], False, "UF"),
        ("upstream_unreachable", ["tls"], False, "UF"),
        ("upstream_unreachable", ["dns"], False, "DF"),
        ("upstream_unreachable", ["reset"], False, "UC"),
        ("upstream_unreachable", ["connect", "connect"], False, "UF,URX"),
        ("upstream_timeout", ["timeout"], False, "UT"),
        ("upstream_timeout", ["timeout", "timeout"], False, "UT,URX"),
        ("upstream_timeout", ["answered"], True, "SI"),
        ("upstream_reset", ["answered"], True, "UC"),
        ("upstream_invalid_answer", ["answered"], True, "UPE"),
        ("server_error", ["server_error"], True, ""),  # the provider's own, relayed
        ("server_error", ["server_error", "server_error"], True, "URX"),
        ("refused", ["server_error", "refused"], True, ""),
        ("invalid_session_id", [], False, "IH"),
        ("request_timeout", [], False, "SI"),
        ("invalid_request", [], False, ""),
        ("body_too_large", [], False, ""),
    ],
)
def test_flags_say_what_envoy_would(code, outcomes, began, flags):
    told = record(code=code, attempts=tuple(map(attempt, outcomes)), first_byte_s=0.1 if began else None)
    assert response_flags(told) == flags


def test_what_is_no_http_is_a_downstream_protocol_error():
    assert response_flags(record(code="invalid_request", method="UNKNOWN")) == "DPE"


def test_the_line_is_envoys_with_our_endpoint_as_path():
    assert envoy_line(record(attempts=(attempt("answered"),), bytes_in=154, bytes_out=9)).decode() == (
        '[2026-01-31T12:00:00.123Z] "POST /v1/chat/completions HTTP/1.1" 200 - 154 9 812 301 '
        '"127.0.0.1" "curl/8" "req-1" "-" "openai"\n'
    )


def test_what_does_not_exist_is_a_dash():
    line = envoy_line(record(user_agent="", client="")).decode()
    assert line.endswith('200 - 0 0 812 - "-" "-" "req-1" "-" "-"\n')


@pytest.mark.parametrize(
    "text", ['" 200 - "', "\n[2026-01-31T12:00:00.123Z]", "\r\x1b[2J\u2028", "\udcff", "\\", "x" * 9999]
)
def test_no_field_can_look_like_another_field_or_another_line(text):
    told = record(user_agent=text, trace=Trace("ab" * 16, text), client=text, method=text, protocol="HTTP/1.1")
    line = envoy_line(told).decode()
    assert LINE.fullmatch(line)
    assert len(line) < 1500

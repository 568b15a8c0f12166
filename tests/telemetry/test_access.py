"""The access log: one line a request, with the same keys in the same order."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lines import DECISION, SESSION, attempt, record

from sidecar.config.models import LogFormat, Telemetry
from sidecar.errors import SidecarError
from sidecar.routing.decision import Decision, Reason
from sidecar.telemetry.access import MOST_TOKENS, Line, access_log, json_line
from sidecar.telemetry.record import Caller
from sidecar.telemetry.trace import Trace
from sidecar.wire.translate.neutral import Usage

FULL = record(
    caller=Caller("planner", "planner"),
    first_byte_s=0.3012,
    provider_s=0.8,
    bytes_in=154,
    bytes_out=9,
    requested="gpt-4o-mini",
    decision=DECISION,
    session=SESSION,
    session_hash="0123456789abcdef",
    model="openai/gpt-4o-mini",
    attempts=(attempt("server_error", status=500), attempt("answered", status=200)),
    failover="server_error",
    moved=True,
    streamed=True,
    code="upstream_reset",
    usage=Usage(1000, 20, cache_read=800),
    finish="stop",
    response_model="gpt-4o-mini-2026",
)


def line(told):
    text = json_line(told).decode()
    assert text.endswith("}\n")
    assert len(text.splitlines()) == 1
    return json.loads(text)


def test_a_request_with_everything_has_every_key_in_the_documented_order():
    assert line(FULL) == {
        "time": "2026-01-31T12:00:00.123Z",
        "trace_id": "ab" * 16,
        "request_id": "req-1",
        "method": "POST",
        "endpoint": "/v1/chat/completions",
        "protocol": "HTTP/1.1",
        "status": 200,
        "response_flags": "UC",
        "code": "upstream_reset",
        "duration_ms": 812.456,
        "first_byte_ms": 301.2,
        "provider_ms": 800.0,
        "added_ms": 12.456,
        "bytes_in": 154,
        "bytes_out": 9,
        "client": "127.0.0.1",
        "user_agent": "curl/8",
        "caller": "planner",
        "model": "openai/gpt-4o-mini",
        "requested_model": "gpt-4o-mini",
        "route": "code_generation",
        "reason": "pinned",
        "pin": "hit",
        "source": "x-session-id",
        "session": "0123456789abcdef",
        "attempts": [
            {"provider": "openai", "model": "openai/gpt-4o", "outcome": "server_error", "status": 500, "ms": 800.0},
            {"provider": "openai", "model": "openai/gpt-4o", "outcome": "answered", "status": 200, "ms": 800.0},
        ],
        "failover": "server_error",
        "moved": True,
        "streamed": True,
        "tokens": {"input": 1000, "output": 20, "cached": 800},
        "finish": "stop",
        "response_model": "gpt-4o-mini-2026",
    }
    assert list(line(FULL)) == list(Line.__struct_fields__)


def test_a_key_with_nothing_to_say_is_left_out_and_zeros_stay():
    assert line(record(user_agent="", client="", seconds=0.0)) == {
        "time": "2026-01-31T12:00:00.123Z",
        "trace_id": "ab" * 16,
        "request_id": "req-1",
        "method": "POST",
        "endpoint": "/v1/chat/completions",
        "protocol": "HTTP/1.1",
        "status": 200,
        "duration_ms": 0.0,
        "added_ms": 0.0,
        "bytes_in": 0,
        "bytes_out": 0,
    }


def test_until_somebody_answers_the_model_is_the_decided_one():
    assert line(record(decision=DECISION))["model"] == "openai/gpt-4o"


def test_the_sessions_id_is_in_no_line():
    assert b"canary" not in json_line(FULL)


def test_a_method_of_a_clients_own_making_is_not_repeated():
    assert line(record(method="CANARY"))["method"] == "UNKNOWN"


def test_a_number_of_tokens_that_nobody_can_read_is_the_largest_that_all_can():
    assert line(record(usage=Usage(10**40, 1, 0)))["tokens"] == {"input": MOST_TOKENS, "output": 1, "cached": 0}


ANY = st.text(st.characters(), max_size=400)


@given(ANY)
def test_whatever_clients_and_providers_say_is_one_bounded_line(text):
    told = record(
        user_agent=text,
        requested=text,
        model=text,
        response_model=text,
        finish=text,
        decision=Decision((text,), text, Reason.ROUTED),
    )
    assert line(told)["time"] == "2026-01-31T12:00:00.123Z"
    assert len(json_line(told)) < 10_000


def settings(path, form=LogFormat.JSON):
    return Telemetry(access_log=None if path is None else str(path), access_log_format=form)


async def test_a_file_gets_a_line_for_each_request_in_order(tmp_path):
    path, lost = tmp_path / "access.log", []
    async with access_log(settings(path), lost.append) as log:
        for number in range(1000):
            log.told(record(trace=Trace("ab" * 16, f"req-{number}")))
    assert [json.loads(each)["request_id"] for each in path.read_text().splitlines()] == [
        f"req-{n}" for n in range(1000)
    ]
    assert (path.stat().st_mode & 0o777, lost) == (0o640, [])


async def test_text_is_envoys_line(tmp_path):
    path = tmp_path / "access.log"
    async with access_log(settings(path, LogFormat.TEXT), print) as log:
        log.told(record())
    assert path.read_text().startswith('[2026-01-31T12:00:00.123Z] "POST /v1/chat/completions HTTP/1.1" 200 - ')


async def test_off_is_none():
    async with access_log(settings(None), print) as log:
        assert log is None


@pytest.mark.parametrize(
    ("name", "why"), [("nowhere/access.log", "No such file"), (".", "directory"), ("pipe", "No such device")]
)
async def test_a_path_that_cannot_be_opened_is_a_sentence_with_its_name(tmp_path, name, why):
    os.mkfifo(tmp_path / "pipe")  # that nobody reads
    with pytest.raises(SidecarError, match=why) as raised:
        async with access_log(settings(tmp_path / name), print):
            pass
    assert str(tmp_path / name) in raised.value.message

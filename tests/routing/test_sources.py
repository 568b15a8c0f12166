"""What clients send unasked: each row of the table, in the shape that its client was seen to send."""

import json

import pytest
from multidict import CIMultiDict

from sidecar.config import read_text
from sidecar.routing.session import session_of
from sidecar.routing.sources import TABLE, sources
from sidecar.wire.formats import Format
from sidecar.wire.request import parse

CLAUDE = "5ca38e0d-516e-4f24-bdf1-2a5576438e2b"
CODEX = "01a20032-68e8-7f22-9afc-fe12fa7c976e"
OPENCODE = "ses_dffcc8781ffepEb8Crn2brA1IL"
DEVICE = "7e3278a1325bbec35c79c9bc3437fb4fce71b35021f3e7c48306c952ec654a2b"

NEW_USER_ID = json.dumps({"device_id": DEVICE, "account_uuid": "", "session_id": CLAUDE})
OLD_USER_ID = f"user_{DEVICE}_account__session_{CLAUDE}"
OLD_USER_ID_OF_AN_ACCOUNT = f"user_{DEVICE}_account_{CODEX}_session_{CLAUDE}"

BODIES = {
    Format.CHAT: {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    Format.MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]},
    Format.RESPONSES: {"model": "m", "input": "hello"},
}


def named(form=Format.CHAT, headers=(), table=TABLE, **fields):
    """(session id, source) of a request, or None."""
    names = parse(form, json.dumps(BODIES[form] | fields).encode()).names
    key = session_of(CIMultiDict(headers), names, table)
    return key and (key.session_id, key.source)


CLAUDE_CODE = {"metadata": {"user_id": NEW_USER_ID}}
CODEX_BODY = {
    "prompt_cache_key": CODEX,
    "client_metadata": {"session_id": CODEX, "thread_id": CODEX, "x-codex-installation-id": "machine", "turn_id": "1"},
}
SENT = [
    (Format.MESSAGES, {"X-Claude-Code-Session-Id": CLAUDE}, CLAUDE_CODE, CLAUDE, "x-claude-code-session-id"),
    (Format.MESSAGES, {}, CLAUDE_CODE, CLAUDE, "body:metadata.user_id"),
    (Format.MESSAGES, {}, {"metadata": {"user_id": OLD_USER_ID}}, CLAUDE, "body:metadata.user_id"),
    (Format.MESSAGES, {}, {"metadata": {"user_id": OLD_USER_ID_OF_AN_ACCOUNT}}, CLAUDE, "body:metadata.user_id"),
    (Format.RESPONSES, {"session-id": CODEX, "thread-id": CODEX}, CODEX_BODY, CODEX, "session-id"),
    (Format.RESPONSES, {"thread-id": CODEX}, CODEX_BODY, CODEX, "thread-id"),
    (Format.RESPONSES, {}, CODEX_BODY, CODEX, "body:client_metadata.session_id"),
    (Format.RESPONSES, {}, {"client_metadata": {"thread_id": CODEX}}, CODEX, "body:client_metadata.thread_id"),
    (Format.RESPONSES, {}, {"prompt_cache_key": OPENCODE}, OPENCODE, "body:prompt_cache_key"),
    (Format.CHAT, {"x-session-affinity": OPENCODE}, {}, OPENCODE, "x-session-affinity"),
    (Format.CHAT, {"x-session-affinity": OPENCODE, "x-session-id": OPENCODE}, {}, OPENCODE, "x-session-id"),
    (Format.CHAT, {"x-grok-conv-id": "conv_abc123"}, {}, "conv_abc123", "x-grok-conv-id"),
    (Format.CHAT, {}, {"metadata": {"session_id": "run-1"}}, "run-1", "body:metadata.session_id"),
    (Format.CHAT, {}, {"session_id": "run-1"}, "run-1", "body:session_id"),
    (Format.RESPONSES, {}, {"conversation": "conv_1"}, "conv_1", "body:conversation"),
    (Format.RESPONSES, {}, {"conversation": {"id": "conv_1"}}, "conv_1", "body:conversation"),
]


@pytest.mark.parametrize(("form", "headers", "fields", "session_id", "source"), SENT)
def test_each_client_is_recognised_by_what_it_sends(form, headers, fields, session_id, source):
    assert named(form, headers, **fields) == (session_id, source)


def test_every_row_of_the_table_is_shown_above():
    assert {source.name for source in TABLE} <= {source for *_, source in SENT}


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "user-77"},
        {"user": OLD_USER_ID},
        {"safety_identifier": "sid-77"},
        {"previous_response_id": "resp_1"},
        {"metadata": {"user_id": "user-77"}},
        {"metadata": {"user_id": json.dumps({"device_id": DEVICE, "account_uuid": CODEX})}},
        {"metadata": {"user_id": json.dumps(["session_id"])}},
        {"metadata": {"user_id": '{"session_id":'}},
        {"metadata": {"user_id": '{"session_id": "' + "x" * 5000 + '"}'}},
        {"metadata": {"user_id": '{"session_id": "two words"}'}},
        {"metadata": {"user_id": f"someone_{OLD_USER_ID}"}},
        {"metadata": {"user_id": "user_1_account_2_session_"}},
        {"metadata": {"user_id": "user_1_account_2_session_" + "3" * 257}},
        {"metadata": {"trace_id": "t", "device_id": DEVICE}},
        {"client_metadata": {"x-codex-installation-id": "machine"}},
    ],
)
@pytest.mark.parametrize("form", Format)
def test_people_machines_and_single_responses_are_no_sessions(form, fields):
    assert named(form, **fields) is None


@pytest.mark.parametrize(
    "value", [None, 7, True, "", " ", "x" * 5000, [], ["a"], {}, {"id": 7}, {"id": None}, {"a": "b"}]
)
@pytest.mark.parametrize("field", ["prompt_cache_key", "session_id", "conversation", "metadata", "client_metadata"])
def test_a_field_of_another_shape_is_passed_over_and_never_refused(field, value):
    assert named(**{field: value}) is None
    assert named(metadata={"session_id": value}, client_metadata={"thread_id": value}) is None


@pytest.mark.parametrize("text", ["support chat 7", "réunion", "x" * 257, "a\nb", "表"])
def test_free_text_in_a_body_names_a_session_by_its_hash(text):
    session_id, source = named(prompt_cache_key=text)
    assert source == "body:prompt_cache_key"
    assert session_id.startswith("sha256:")
    assert text not in session_id
    assert named(prompt_cache_key=text) == (session_id, source)
    assert named(prompt_cache_key=text + ".") != (session_id, source)


def test_json_that_can_be_skipped_but_not_kept_names_nothing():
    body = b'{"model": "m", "input": "x", "metadata": {"n": 1e999, "session_id": "a"}, "client_metadata": %b}'
    request = parse(Format.RESPONSES, body % (b"[" * 300 + b"]" * 300))
    assert session_of(CIMultiDict(), request.names, TABLE) is None


def test_the_configuration_lists_and_reorders_the_sources():
    text = "routing: {session_sources: ['body:prompt_cache_key', Session-Id, x-my-run, 'body:metadata.run']}"
    listed = sources(read_text(text, "test.yaml", {}).config.routing.session_sources)
    both = {"session-id": CODEX}, {"prompt_cache_key": "k"}
    assert named(Format.CHAT, both[0], listed, **both[1]) == ("k", "body:prompt_cache_key")
    assert named(Format.CHAT, both[0], listed) == (CODEX, "session-id")
    assert named(Format.CHAT, {"X-My-Run": "7"}, listed) == ("7", "x-my-run")
    assert named(Format.CHAT, {}, listed, metadata={"run": "8"}) == ("8", "body:metadata.run")
    assert named(Format.CHAT, {"thread-id": CODEX}, listed) is None


def test_a_listed_source_is_read_as_the_table_says():
    assert named(table=sources(("body:metadata.user_id",)), metadata={"user_id": "user-77"}) is None


def test_all_that_is_known_may_be_listed():
    names = [source.name for source in TABLE]
    config = read_text(f"routing: {{session_sources: {json.dumps(names)}}}", "test.yaml", {}).config
    assert sources(config.routing.session_sources) == TABLE

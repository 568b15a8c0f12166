"""A provider's error, in the client's shape: the same message, and what its program decides by."""

import json

import pytest

from sidecar.wire import translate
from sidecar.wire.formats import Format

CHAT, MESSAGES, RESPONSES = Format


def told(target, status, body, source=CHAT):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(translate.error(source, target, status, raw))


def openai(message="Slow down.", kind="rate_limit_error", code=None, param=None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def anthropic(kind, message="Slow down."):
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("kind", "status", "openai_kind"),
    [
        ("invalid_request_error", 400, "invalid_request_error"),
        ("authentication_error", 401, "authentication_error"),
        ("rate_limit_error", 429, "rate_limit_error"),
        ("overloaded_error", 529, "server_error"),
        ("api_error", 500, "server_error"),
    ],
)
def test_anthropics_type_is_openais_type_and_code(kind, status, openai_kind):
    said = told(CHAT, status, anthropic(kind), source=MESSAGES)["error"]
    assert said == {"message": "Slow down.", "type": openai_kind, "param": None, "code": kind}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (429, "rate_limit_error"),
        (529, "overloaded_error"),
        (418, "invalid_request_error"),
        (502, "api_error"),
    ],
)
def test_anthropics_clients_get_one_of_anthropics_types(status, kind):
    body = openai(kind="tokens", code="rate_limit_exceeded")
    assert told(MESSAGES, status, body) == {"type": "error", "error": {"type": kind, "message": "Slow down."}}


@pytest.mark.parametrize("code", ["model_not_found", None])
def test_between_openais_formats_nothing_changes(code):
    body = openai("Unknown model.", "invalid_request_error", code, "model")
    assert told(RESPONSES, 404, body) == body


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "authentication_error"), (403, "permission_error"), (404, "not_found_error")]
)
def test_the_status_says_what_openais_word_for_every_mistake_does_not(status, kind):
    body = openai(kind="invalid_request_error", code="invalid_api_key")
    assert told(MESSAGES, status, body)["error"]["type"] == kind


def test_a_prompt_that_is_too_long_is_understood_by_either_sides_program():
    long = openai("It has 9 tokens.", "invalid_request_error", "context_length_exceeded")
    assert told(MESSAGES, 400, long)["error"]["message"] == "prompt is too long: It has 9 tokens."
    said = told(CHAT, 400, anthropic("invalid_request_error", "prompt is too long: 9 > 8"), source=MESSAGES)["error"]
    assert (said["message"], said["code"]) == ("prompt is too long: 9 > 8", "context_length_exceeded")


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":"Out."}',
        b'{"error":"Out."}',
        b'{"detail":"Out."}',
        b'[{"error":{"code":503,"message":"Out.","status":"UNAVAILABLE"}}]',
        b"Out.",
    ],
)
def test_the_message_is_found_wherever_it_is(body):
    assert told(MESSAGES, 503, body)["error"]["message"] == "Out."


@pytest.mark.parametrize("body", [b"", b"  ", b"<html><h1>502</h1></html>"])
def test_what_says_nothing_to_a_person_is_told_by_its_status(body):
    assert told(CHAT, 502, body)["error"]["message"] == "The provider answered 502 without a word."

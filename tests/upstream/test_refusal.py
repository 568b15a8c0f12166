"""Error answers as providers really word them."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from sidecar.upstream.health import Fault
from sidecar.upstream.refusal import MAX_BODY_BYTES, Cause, Severity, broken, decoded, judge, retry_after_s

NOW = 1_700_000_000.0


def judged(status, body=b"", headers=(), *, passthrough_auth=False):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(status, CIMultiDict(headers), content, passthrough_auth=passthrough_auth, now_unix_s=NOW)


def openai(message="no", **fields):
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


@pytest.mark.parametrize("status", [200, 204, 302, 304])
def test_an_answer_that_is_no_error_is_no_failure(status):
    assert judged(status) is None


@pytest.mark.parametrize(
    ("status", "cause", "fault"),
    [
        (408, Cause.REQUEST_TIMEOUT, None),
        (429, Cause.RATE_LIMITED, Fault.RATE_LIMIT),
        (500, Cause.SERVER_ERROR, Fault.SERVER),
        (502, Cause.SERVER_ERROR, Fault.GATEWAY),
        (503, Cause.SERVER_ERROR, Fault.GATEWAY),
        (504, Cause.SERVER_ERROR, Fault.GATEWAY),
        (529, Cause.SERVER_ERROR, Fault.SERVER),
        (599, Cause.SERVER_ERROR, Fault.SERVER),
    ],
)
def test_these_pass(status, cause, fault):
    failure = judged(status)
    assert (failure.cause, failure.severity, failure.fault, failure.status) == (
        cause,
        Severity.TRANSIENT,
        fault,
        status,
    )


@pytest.mark.parametrize("cause", [Cause.CONNECT, Cause.DNS, Cause.TLS, Cause.TIMEOUT, Cause.RESET])
def test_no_response_at_all_passes_and_counts_as_a_gateway_failure(cause):
    assert (broken(cause).severity, broken(cause).fault) == (Severity.TRANSIENT, Fault.GATEWAY)


def test_our_own_limits_say_nothing_of_a_providers_health():
    assert (broken(Cause.OVERFLOW).severity, broken(Cause.OVERFLOW).fault) == (Severity.TRANSIENT, None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, openai("The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found")),
        (400, openai("bad", code="model_not_found")),
        (404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}}),
        (404, {"error": {"code": 404, "message": "models/g-9 is not found for API version v1beta", "status": "NOT_FOUND"}}),
        (404, [{"error": {"code": 404, "message": "models/g-9.5 is not found for API", "status": "NOT_FOUND"}}]),
        (400, {"object": "error", "message": "Invalid model: m-9", "type": "invalid_model", "code": "1500"}),
        (400, openai("The model `llama-9.1` has been decommissioned", code="model_decommissioned")),
        (400, openai("Model Not Exist")),
        (404, {"code": "Some requested entity was not found", "error": "The model grok-9 does not exist or your team"}),
        (404, openai("Unable to access model m", code="model_not_available")),
        (400, {"error": {"message": "foo/bar-9 is not a valid model ID", "code": 400}}),
        (404, {"error": {"message": "No endpoints found for foo/bar-9.", "code": 404}}),
        (404, openai("Not found the model kimi-9 or Permission denied", type="resource_not_found_error")),
        (400, {"error": {"code": "1211", "message": "模型不存在,请检查模型代码。"}}),
        (404, {"error": {"message": 'model "qwen9" not found, try pulling it first', "type": "api_error"}}),
        (404, {"error": 'model "qwen9" not found, try pulling it first'}),
        (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}),
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
    ],
)  # fmt: skip
def test_a_model_that_does_not_exist_never_will(status, body):
    failure = judged(status, body)
    assert (failure.cause, failure.severity, failure.fault) == (Cause.MODEL_UNKNOWN, Severity.TERMINAL, None)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, openai("Incorrect API key provided", code="invalid_api_key")),
        (403, {"type": "error", "error": {"type": "permission_error", "message": "Your API key does not have permission"}}),
        (402, openai("Insufficient Balance")),
        (400, {"type": "error", "error": {"message": "Your credit balance is too low to access the Anthropic API."}}),
        (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]),
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***"}),
        (401, b""),
    ],
)  # fmt: skip
def test_a_key_that_is_refused_is_ours_unless_it_is_the_clients(status, body):
    ours, theirs = judged(status, body), judged(status, body, passthrough_auth=True)
    assert (ours.cause, ours.severity) == (Cause.KEY_REFUSED, Severity.TERMINAL)
    assert (theirs.cause, theirs.severity) == (Cause.REFUSED, Severity.FINAL)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("Unsupported parameter: 'max_tokens' is not supported with this model.")),
        (400, openai("This model's maximum context length is 8192 tokens.", code="context_length_exceeded")),
        (400, openai("Previous response with id 'resp_1' not found.", code="previous_response_not_found")),
        (400, openai("This model does not support image input")),
        (400, b"not json"),
        (403, {"error": {"message": "Forbidden", "code": 403, "metadata": {"flagged_input": "…"}}}),
        (403, {"code": "The caller does not have permission", "error": "Content violates usage guidelines."}),
        (404, openai("File not found: file_1")),
        (404, b"404 page not found"),
        (404, b""),
        (405, b""),
        (409, openai("The resource was changed")),
        (413, b""),
        (415, b""),
        (418, b"[]"),
        (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}),
    ],
)
def test_anything_else_is_the_clients_own_and_is_relayed(status, body):
    failure = judged(status, body)
    assert (failure.cause, failure.severity, failure.fault) == (Cause.REFUSED, Severity.FINAL, None)


@given(st.integers(400, 599), st.binary(max_size=200), st.sampled_from(["", "gzip", "deflate", "br", "zstd", "x"]))
def test_no_bytes_are_too_strange_to_be_judged(status, body, encoding):
    assert judged(status, body, {"content-encoding": encoding}).status == status


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["error", "message", "code", "type", "metadata"]), inner)))  # fmt: skip
def test_no_json_is_too_strange_to_be_judged(body):
    assert judged(400, body).status == 400


def test_an_empty_account_is_a_429_that_no_waiting_helps():
    failure = judged(429, openai("You exceeded your current quota", code="insufficient_quota"), {"retry-after": "1"})
    assert (failure.cause, failure.severity, failure.worth_asking_again) == (Cause.QUOTA, Severity.TRANSIENT, False)


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (judged(503), True),
        (judged(500), True),
        (broken(Cause.CONNECT), True),
        (broken(Cause.RESET), True),
        (broken(Cause.TIMEOUT), False),
        (broken(Cause.TLS), False),
        (broken(Cause.OVERFLOW), False),
        (judged(429), False),
        (judged(429, headers={"retry-after": "2"}), True),
        (judged(401), False),
        (judged(400), False),
    ],
)
def test_the_same_provider_is_worth_asking_again_only_where_a_moment_may_help(failure, again):
    assert failure.worth_asking_again is again


@pytest.mark.parametrize(
    ("cause", "sent"), [(Cause.CONNECT, False), (Cause.OVERFLOW, False), (Cause.TIMEOUT, True), (Cause.RESET, True)]
)
def test_whether_the_request_is_gone_is_known(cause, sent):
    assert broken(cause).sent is sent


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"Retry-After": "0"}, 0),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"retry-after-ms": "soon", "Retry-After": "2"}, 2),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30),
        ({"Retry-After": "Tuesday, 14-Nov-23 22:13:50 GMT"}, 30),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 -0000"}, 30),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:00 GMT"}, 0),
        ({"Retry-After": "999999999"}, 86400),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e9"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "in a while"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form_it_is_sent_in(headers, seconds):
    assert retry_after_s(CIMultiDict(headers), NOW) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_is_too_strange_to_be_read(text):
    seconds = retry_after_s({"Retry-After": text}, NOW)
    assert seconds is None or 0 <= seconds <= 86400


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_error_is_read_as_well(compress):
    body = compress(json.dumps(openai(code="model_not_found")).encode())
    encoding = "gzip" if compress is gzip.compress else "deflate"
    assert judged(400, body, {"content-encoding": encoding}).cause is Cause.MODEL_UNKNOWN


def test_a_bomb_ends_at_the_bound():
    assert len(decoded(gzip.compress(bytes(10_000_000)), "gzip")) == MAX_BODY_BYTES


def test_a_404_that_cannot_be_read_is_the_models():
    assert judged(404, b"\x1b", {"content-encoding": "br"}).cause is Cause.MODEL_UNKNOWN
    assert judged(400, b"\x1b", {"content-encoding": "br"}).cause is Cause.REFUSED


@pytest.mark.parametrize(
    "message",
    [
        "Failed to download image from https://example.com/3d-model.png: not found",
        "property 'model' is fine, but the tool 'x' was not found in schema",
    ],
)
def test_a_400_that_merely_speaks_of_a_model_is_the_clients_own(message):
    assert judged(400, openai(message)).cause is Cause.REFUSED

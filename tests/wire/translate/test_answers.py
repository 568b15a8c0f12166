"""A provider's whole answer, in the client's format."""

import json

import pytest

from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.translate import FailedAnswer, Ids, NotAnAnswer

CHAT, MESSAGES, RESPONSES = Format
IDS = Ids("x1", 1_700_000_000)
PAIRS = [(a, b) for a in Format for b in Format if a is not b]


def chat(finish="stop", **message):
    said = {"role": "assistant", "content": "Hi", **message}
    return {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": finish, "message": said}]}


def message(stop="end_turn", *content, **more):
    blocks = list(content) or [{"type": "text", "text": "Hi"}]
    return {"type": "message", "role": "assistant", "content": blocks, "stop_reason": stop, **more}


def response(*output, status="completed", **more):
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    return {"object": "response", "status": status, "output": list(output) or [said], **more}


def incomplete(reason):
    return response(status="incomplete", incomplete_details={"reason": reason})


SAID = {CHAT: chat(), MESSAGES: message(), RESPONSES: response()}


@pytest.fixture
def translated(judge_answer):
    def judged(source, target, body):
        raw = translate.answer(source, target, json.dumps(body).encode(), model="the/model", ids=IDS)
        return judge_answer(target, raw)

    return judged


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_an_answer_is_the_clients_own_kind_with_fresh_ids_and_the_model_we_name(source, target, translated):
    answer = translated(source, target, SAID[source])
    assert answer["id"].endswith("_x1") or answer["id"] == "chatcmpl-x1"
    assert answer["model"] == "the/model"
    assert answer.get("created", answer.get("created_at", 1_700_000_000)) == 1_700_000_000


STOPS = [
    ("stop", "end_turn", "completed"),
    ("length", "max_tokens", "incomplete"),
    ("content_filter", "refusal", "incomplete"),
]


def reasons(answer):
    if "choices" in answer:
        return answer["choices"][0]["finish_reason"]
    return answer.get("stop_reason") or answer["status"]


@pytest.mark.parametrize(("of_chat", "of_messages", "of_responses"), STOPS)
def test_the_reasons_to_stop(of_chat, of_messages, of_responses, translated):
    details = {"length": "max_output_tokens", "content_filter": "content_filter"}
    bodies = {
        CHAT: chat(of_chat),
        MESSAGES: message(of_messages),
        RESPONSES: incomplete(details[of_chat]) if of_chat in details else response(),
    }
    expected = {CHAT: of_chat, MESSAGES: of_messages, RESPONSES: of_responses}
    for source, target in PAIRS:
        answer = translated(source, target, bodies[source])
        assert reasons(answer) == expected[target]
        if target is RESPONSES and of_chat in details:
            assert answer["incomplete_details"] == {"reason": details[of_chat]}


@pytest.mark.parametrize(
    ("stop", "finish"),
    [("model_context_window_exceeded", "length"), ("pause_turn", "stop"), ("stop_sequence", "stop"), ("novel", "stop")],
)
def test_reasons_only_anthropic_has(stop, finish, translated):
    assert reasons(translated(MESSAGES, CHAT, message(stop, stop_sequence="END"))) == finish


def test_calls_are_a_reason_even_where_the_provider_forgot_to_say_so(translated):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert reasons(translated(CHAT, MESSAGES, chat("stop", content=None, tool_calls=[call]))) == "tool_use"


def test_the_cached_tokens_are_part_of_openais_prompt_and_not_of_anthropics(translated):
    usage = {"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 5}
    told = translated(MESSAGES, CHAT, message(usage=usage))["usage"]
    assert (told["prompt_tokens"], told["total_tokens"], told["prompt_tokens_details"]["cached_tokens"]) == (
        100,
        105,
        60,
    )
    back = {**chat(), "usage": told}
    assert translated(CHAT, MESSAGES, back)["usage"] == usage


def test_no_usage_is_none_counted(translated):
    assert translated(CHAT, MESSAGES, chat())["usage"]["input_tokens"] == 0


@pytest.mark.parametrize(("written", "read"), [('{"a":1}', {"a": 1}), ("", {}), ("{oops", {"arguments": "{oops"})])
def test_arguments_are_an_object_for_anthropics_clients_whatever_the_model_wrote(written, read, translated):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": written}}
    answer = translated(CHAT, MESSAGES, chat("tool_calls", content=None, tool_calls=[call]))
    assert answer["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": read}]


def test_codex_gets_its_custom_and_namespaced_calls_back(translated):
    answer = translated(
        MESSAGES,
        RESPONSES,
        message(
            "tool_use",
            {"type": "tool_use", "id": "a", "name": "functions__ns__exec__custom", "input": {"input": "ls -l"}},
            {"type": "tool_use", "id": "b", "name": "clock__ns__sleep", "input": {"ms": 1}},
        ),
    )
    custom, function = answer["output"]
    assert (custom["type"], custom["namespace"], custom["name"], custom["input"]) == (
        "custom_tool_call", "functions", "exec", "ls -l",
    )  # fmt: skip
    assert (function["namespace"], function["name"], function["arguments"]) == ("clock", "sleep", '{"ms":1}')


def test_a_call_without_an_id_gets_one(translated):
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = translated(CHAT, MESSAGES, chat("tool_calls", content=None, tool_calls=[call, call]))
    assert [block["id"] for block in answer["content"]] == ["call_x1_0", "call_x1_1"]


def test_thoughts_have_a_place_everywhere(translated):
    thoughts = chat(reasoning_content="Hm.")
    assert translated(CHAT, MESSAGES, thoughts)["content"][0] == {
        "type": "thinking",
        "thinking": "Hm.",
        "signature": "",
    }
    assert translated(CHAT, RESPONSES, thoughts)["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    block = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    answer = translated(MESSAGES, CHAT, message("end_turn", block, {"type": "text", "text": "Hi"}))
    assert answer["choices"][0]["message"]["reasoning_content"] == "Hm."


def test_what_only_its_own_clients_understand_passes_by(translated):
    searched = message(
        "end_turn", {"type": "server_tool_use", "id": "s"}, {"type": "novelty"}, {"type": "text", "text": "Hi"}
    )
    assert translated(MESSAGES, CHAT, searched)["choices"][0]["message"]["content"] == "Hi"
    parts = chat(content=[{"type": "text", "text": "Hi"}, {"type": "novelty"}])
    assert translated(CHAT, MESSAGES, parts)["content"] == [{"type": "text", "text": "Hi"}]
    output = response({"type": "web_search_call", "id": "w"}, *response()["output"])
    assert translated(RESPONSES, CHAT, output)["choices"][0]["message"]["content"] == "Hi"


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b"[]", b'{"object":"response"}', b'{"choices":[]}', b'{"type":"message"}']
)
def test_what_is_no_answer_is_a_bad_gateway(source, target, body):
    with pytest.raises(NotAnAnswer) as raised:
        translate.answer(source, target, body, model="m", ids=IDS)
    assert (raised.value.status, raised.value.code) == (502, "upstream_invalid_answer")


@pytest.mark.parametrize("error", [{"message": "No GPU.", "code": "server_error"}, "No GPU."])
def test_an_error_in_an_answers_clothes_is_an_error(error):
    body = json.dumps({"object": "response", "status": "failed", "error": error}).encode()
    with pytest.raises(FailedAnswer, match="No GPU") as raised:
        translate.answer(RESPONSES, CHAT, body, model="m", ids=IDS)
    assert (raised.value.status, raised.value.code) == (502, "upstream_failed")

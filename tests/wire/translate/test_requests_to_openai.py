"""Requests to chat completions and responses, one rule at a time."""

import json

from sidecar.wire import translate
from sidecar.wire.formats import Format

CHAT, MESSAGES, RESPONSES = Format
USER = {"role": "user", "content": "Hello"}


def send(source, target, *, to="m", **body):
    """The provider's body, as an object, and what was dropped."""
    sent = translate.request(source, target, json.dumps(body).encode(), model=to)
    return json.loads(sent.body), sent.dropped


def said(text):
    return [{"type": "text", "text": text}]


def test_results_come_before_what_the_user_adds_and_images_in_his_name():
    used = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    seen = {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "See:"}, image]}
    body, _ = send(
        MESSAGES, CHAT, max_tokens=9, messages=[USER, used, {"role": "user", "content": [seen, *said("Well?")]}]
    )
    tool, user = body["messages"][2:]
    assert tool == {"role": "tool", "tool_call_id": "a", "content": "See:"}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "text"]
    assert user["content"][1]["image_url"] == {"url": "data:image/png;base64,AAAA"}


def test_a_failed_tool_says_so_in_words():
    used = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
    failed = {"type": "tool_result", "tool_use_id": "a", "content": "no such file", "is_error": True}
    body, _ = send(MESSAGES, RESPONSES, max_tokens=9, messages=[USER, used, {"role": "user", "content": [failed]}])
    assert body["input"][-1]["output"] == "Error: no such file"


def test_claude_code_speaks_as_the_system_amid_its_messages():
    messages = [{"role": "user", "content": said("hi")}, {"role": "system", "content": "Be brief."}]
    own, _ = send(MESSAGES, CHAT, to="gpt-5", max_tokens=9, system=said("You help."), messages=messages)
    assert [message["role"] for message in own["messages"]] == ["system", "user", "system"]
    other, _ = send(MESSAGES, CHAT, to="qwen3", max_tokens=9, system=said("You help."), messages=messages)
    assert [message["role"] for message in other["messages"]] == ["system", "user", "user"]


def test_a_stream_from_a_chat_provider_tells_its_usage_always_and_the_client_what_it_asked_for():
    body, _ = send(RESPONSES, CHAT, input="hi", stream=True)
    assert body["stream_options"] == {"include_usage": True}
    for asked in (True, False):
        options = {"stream_options": {"include_usage": asked}}
        raw = json.dumps({"messages": [USER], "stream": True, **options}).encode()
        sent = translate.request(CHAT, MESSAGES, raw, model="m")
        assert (sent.stream, sent.include_usage) == (True, asked)


def test_a_chat_provider_that_refuses_to_be_asked_for_its_usage_is_not_asked():
    raw = json.dumps({"input": "hi", "stream": True}).encode()
    body = json.loads(translate.request(RESPONSES, CHAT, raw, model="m", asks_usage=False).body)
    assert (body["stream"], "stream_options" in body) == (True, False)


def test_tools_are_strict_for_responses_only_when_the_client_said_so():
    tool = {"name": "f", "input_schema": {"type": "object"}}
    body, _ = send(MESSAGES, RESPONSES, max_tokens=9, messages=[USER], tools=[tool])
    assert body["tools"][0]["strict"] is False


def test_a_schema_without_a_name_gets_one_and_is_strict_where_it_can_be():
    closed = {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}
    for schema, strict in ((closed, True), ({**closed, "required": []}, None)):
        config = {"format": {"type": "json_schema", "schema": schema}}
        body, _ = send(MESSAGES, CHAT, max_tokens=9, messages=[USER], output_config=config)
        given = body["response_format"]["json_schema"]
        assert (given["name"], given["schema"], given.get("strict")) == ("answer", schema, strict)


def test_a_probe_for_one_token_gets_the_sixteen_openai_wants():
    assert send(MESSAGES, RESPONSES, max_tokens=1, messages=[USER])[0]["max_output_tokens"] == 16


def test_hints_of_openai_go_to_openai_alone():
    asked = {"input": "hi", "text": {"verbosity": "low"}, "prompt_cache_key": "k", "reasoning": {"effort": "low"}}
    own, dropped = send(RESPONSES, CHAT, to="gpt-5", **asked)
    assert (own["verbosity"], own["prompt_cache_key"], own["reasoning_effort"], dropped) == ("low", "k", "low", ())
    _, dropped = send(RESPONSES, CHAT, to="mistral-large", **asked)
    assert set(dropped) == {"text.verbosity", "prompt_cache_key", "reasoning.effort"}


def test_a_users_id_too_long_for_openai_is_dropped():
    body, dropped = send(MESSAGES, CHAT, max_tokens=9, messages=[USER], metadata={"user_id": "x" * 65})
    assert "user" not in body
    assert dropped == ("metadata.user_id",)

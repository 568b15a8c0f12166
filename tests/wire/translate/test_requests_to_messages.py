"""Requests to Anthropic: what its rules make of another format's request, one rule at a time."""

import json

import pytest

from sidecar.wire import translate
from sidecar.wire.formats import Format

CHAT, MESSAGES, RESPONSES = Format
USER = {"role": "user", "content": "Hello"}


def send(source, target, *, to="m", **body):
    """The provider's body, as an object, and what was dropped."""
    sent = translate.request(source, target, json.dumps(body).encode(), model=to)
    return json.loads(sent.body), sent.dropped


def to_messages(*, to="claude-haiku-4-5", **body):
    return send(CHAT, MESSAGES, to=to, **{"messages": [USER], **body})[0]


def call(call_id, name="f", arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*found):
    return {"role": "assistant", "content": None, "tool_calls": list(found)}


def answered(call_id, text="done"):
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def blocks(message):
    return [
        (block["type"], block.get("id") or block.get("tool_use_id") or block.get("text"))
        for block in message["content"]
    ]


def test_what_the_system_says_first_is_system_and_later_it_keeps_its_place():
    developer = {"role": "developer", "content": "Be brief."}
    body = to_messages(messages=[{"role": "system", "content": "Be kind."}, developer, USER, developer])
    assert [block["text"] for block in body["system"]] == ["Be kind.", "Be brief."]
    assert blocks(body["messages"][0]) == [("text", "Hello"), ("text", "<system>\nBe brief.\n</system>")]


def test_a_conversation_of_instructions_alone_is_said_by_the_user():
    body = to_messages(messages=[{"role": "system", "content": "Tell a joke."}])
    assert "system" not in body
    assert blocks(body["messages"][0]) == [("text", "Tell a joke.")]


def test_an_assistant_who_speaks_first_is_introduced():
    body = to_messages(messages=[{"role": "assistant", "content": "Welcome!"}, USER])
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]


def test_parallel_results_come_first_and_together_in_the_order_of_their_calls():
    body = to_messages(messages=[USER, calls(call("a"), call("b")), answered("b"), answered("a"), USER])
    assert blocks(body["messages"][1]) == [("tool_use", "a"), ("tool_use", "b")]
    assert blocks(body["messages"][2]) == [("tool_result", "a"), ("tool_result", "b"), ("text", "Hello")]


def test_a_call_that_was_never_answered_gets_an_answer_that_says_so():
    body = to_messages(messages=[USER, calls(call("a"), call("b")), answered("a"), USER])
    lost = body["messages"][2]["content"][1]
    assert (lost["tool_use_id"], lost["is_error"]) == ("b", True)


def test_a_result_whose_call_was_cut_off_becomes_text():
    body = to_messages(messages=[USER, answered("gone", "21C")])
    assert body["messages"][0]["content"][-1] == {"type": "text", "text": "21C"}


def test_a_late_result_goes_to_its_call():
    body = to_messages(messages=[USER, calls(call("a")), USER, answered("a")])
    assert blocks(body["messages"][2]) == [("tool_result", "a"), ("text", "Hello")]


def test_ids_that_start_anew_in_each_turn_are_told_apart():
    turn = [calls(call("call_0")), answered("call_0")]
    body = to_messages(messages=[USER, *turn, *turn])
    used = [name for message in body["messages"] for kind, name in blocks(message) if kind != "text"]
    assert used == ["call_0", "call_0", "call_0_2", "call_0_2"]


def test_ids_are_spelt_in_letters_anthropic_takes():
    body = to_messages(messages=[USER, calls(call("functions.f:0")), answered("functions.f:0")])
    assert blocks(body["messages"][1]) == [("tool_use", "functions_46_f_58_0")]
    assert blocks(body["messages"][2]) == [("tool_result", "functions_46_f_58_0")]


@pytest.mark.parametrize(
    ("written", "read"),
    [('{"a": 1}', {"a": 1}), ("", {}), ('{"a": ', {"arguments": '{"a": '}), ("[1]", {"arguments": "[1]"})],
)
def test_arguments_are_an_object_even_when_the_model_wrote_none(written, read):
    body = to_messages(messages=[USER, calls(call("a", arguments=written))])
    assert body["messages"][1]["content"][0]["input"] == read


def test_legacy_functions_are_tools():
    asked = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    body = to_messages(
        messages=[USER, asked, {"role": "function", "name": "f", "content": "21C"}],
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
    )
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "tool", "name": "f"}
    assert body["messages"][2]["content"][0]["tool_use_id"] == body["messages"][1]["content"][0]["id"]


def test_blank_texts_are_left_out_and_a_last_word_ends_in_no_space():
    body = to_messages(messages=[USER, {"role": "user", "content": " \n"}, {"role": "assistant", "content": "It is "}])
    assert [blocks(message) for message in body["messages"]] == [[("text", "Hello")], [("text", "It is")]]


def test_max_tokens_is_the_default_when_the_client_said_nothing():
    assert to_messages()["max_tokens"] == 8192
    assert to_messages(max_completion_tokens=9)["max_tokens"] == 9


def test_nobody_is_asked_for_more_tokens_than_it_has():
    huge = {"max_tokens": 128_000, "messages": [USER]}
    assert send(MESSAGES, CHAT, to="gpt-4o-mini", **huge)[0]["max_tokens"] == 16_384
    assert send(MESSAGES, CHAT, to="gpt-5.5", **huge)[0]["max_completion_tokens"] == 128_000
    assert to_messages(max_tokens=128_000, to="claude-opus-4-1")["max_tokens"] == 32_000


def test_temperature_is_clamped_and_left_out_where_it_is_refused():
    assert to_messages(temperature=1.7, top_p=0.5) | {"temperature": 1} == to_messages(temperature=1, top_p=0.5)
    assert "top_p" not in to_messages(temperature=1, top_p=0.5)
    body, dropped = send(CHAT, MESSAGES, to="claude-opus-5-5", messages=[USER], temperature=0.5)
    assert "temperature" not in body
    assert dropped == ("temperature",)


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 16_000), ("xhigh", 32_000)],
)
def test_effort_is_a_budget_below_max_tokens_and_back(effort, budget):
    body = to_messages(reasoning_effort=effort, temperature=0.5)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
    assert body["max_tokens"] > budget
    assert "temperature" not in body
    back = send(MESSAGES, CHAT, to="gpt-5", **body)[0]
    assert back["reasoning_effort"] == effort


def test_a_small_max_tokens_shrinks_the_budget_and_a_tiny_one_leaves_none():
    assert to_messages(reasoning_effort="high", max_tokens=4000)["thinking"]["budget_tokens"] == 3000
    most = to_messages(reasoning_effort="max", to="claude-opus-4-1")
    assert (most["max_tokens"], most["thinking"]["budget_tokens"]) == (32_000, 24_000)
    body, dropped = send(CHAT, MESSAGES, messages=[USER], reasoning_effort="high", max_tokens=500)
    assert "thinking" not in body
    assert dropped == ("reasoning_effort",)


def test_newer_models_take_the_effort_itself():
    body = to_messages(to="claude-opus-5-5", reasoning_effort="minimal")
    assert body["thinking"] == {"type": "adaptive"}
    assert body["output_config"] == {"effort": "low"}


def test_nobody_thinks_by_budget_after_calls_made_without_or_when_a_tool_is_a_must():
    tool = {"type": "function", "function": {"name": "f"}}
    loop = [USER, calls(call("a")), answered("a")]
    assert "thinking" not in to_messages(messages=loop, reasoning_effort="high")
    assert "thinking" not in to_messages(messages=[*loop, USER], reasoning_effort="high")
    said = {"role": "assistant", "content": "21C"}
    assert "thinking" in to_messages(messages=[*loop, said, USER], reasoning_effort="high")
    assert "thinking" not in to_messages(tools=[tool], tool_choice="required", reasoning_effort="high")


def test_json_mode_is_said_in_words_and_a_schema_by_itself():
    assert "JSON" in to_messages(response_format={"type": "json_object"})["system"][-1]["text"]
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    assert to_messages(response_format=shape)["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}}
    }


def test_one_call_at_a_time_needs_a_choice_to_say_so():
    tool = {"type": "function", "function": {"name": "f"}}
    body = to_messages(tools=[tool], parallel_tool_calls=False)
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize("content", ["", None, []])
def test_an_assistant_who_said_nothing_is_left_out(content):
    silent = {"role": "assistant", "content": content}
    body = to_messages(messages=[USER, silent], reasoning_effort="high")
    assert [message["role"] for message in body["messages"]] == ["user"]

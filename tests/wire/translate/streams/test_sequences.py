"""The sequences of events are those of the official APIs, to the letter."""

import json
from itertools import groupby

import pytest
from wire.translate.streams.recorded import RECORDINGS, events, format_of, name, recording, translate

from sidecar.wire.formats import Format
from sidecar.wire.translate import seals
from sidecar.wire.translate.neutral import Seal


def kinds(stem, target):
    return [data["type"] for _, data in out(stem, target)]


def out(stem, target, **options):
    return events(translate(recording(stem), Format[stem.split(".")[0].upper()], target, **options))


def deltas(stem):
    return [choice["delta"] for _, data in out(stem, Format.CHAT)[:-1] for choice in data["choices"]]


# Chat completions


def test_chat_begins_with_the_role_and_ends_with_usage_and_done():
    first, *_, finish, usage, done = out("messages.text", Format.CHAT)
    assert first[1]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert finish[1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert usage[1]["choices"] == []
    assert usage[1]["usage"] == {
        "prompt_tokens": 2032,
        "completion_tokens": 14,
        "total_tokens": 2046,
        "prompt_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 100},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert done == (None, "[DONE]")


def test_chat_usage_comes_only_to_those_who_asked():
    asked, unasked = (out("messages.text", Format.CHAT, include_usage=asked) for asked in (True, False))
    assert all("usage" in data for _, data in asked[:-1])
    assert not any("usage" in data for _, data in unasked[:-1])
    assert len(asked) == len(unasked) + 1


def test_every_chat_chunk_has_the_same_head():
    heads = {
        (data["id"], data["object"], data["created"], data["model"])
        for _, data in out("messages.tools", Format.CHAT)[:-1]
    }
    assert heads == {("chatcmpl-42", "chat.completion.chunk", 1763740000, "openai/gpt-4o")}


def test_chat_calls_begin_with_id_and_name_and_go_on_with_pieces():
    calls = [delta["tool_calls"][0] for delta in deltas("messages.tools") if "tool_calls" in delta]
    begin = {
        "id": "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
        "type": "function",
        "function": {"name": "get_weather", "arguments": ""},
    }
    assert calls[0] == {"index": 0, **begin}
    assert calls[1] == {"index": 0, "function": {"arguments": '{"location":'}}
    assert [call["index"] for call in calls] == [0, 0, 0, 0, 1, 1, 1]


def test_chat_thinking_goes_where_everybody_reads_it():
    assert [delta["reasoning_content"] for delta in deltas("messages.thinking") if "reasoning_content" in delta] == [
        "Let me solve",
        " this step by step:\n\n1. ",
        "27 * 453",
    ]


# Messages


def test_messages_blocks_come_one_after_the_other():
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    told = kinds("chat.tools", Format.MESSAGES)
    assert [kind for kind, _ in groupby(told)] == ["message_start", *block, *block, "message_delta", "message_stop"]
    places = [data["index"] for _, data in out("chat.tools", Format.MESSAGES) if "index" in data]
    assert places == [0] * 5 + [1] * 4


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_messages_never_have_two_open_blocks(path):
    is_open, index = False, 0
    for _, data in events(translate(path.read_bytes(), format_of(path), Format.MESSAGES)):
        if data["type"] == "content_block_start":
            assert not is_open
            assert data["index"] == index
            is_open = True
        elif data["type"] == "content_block_delta":
            assert is_open
            assert data["index"] == index
        elif data["type"] == "content_block_stop":
            assert is_open
            is_open, index = False, index + 1


def test_messages_of_mixed_calls_are_put_in_order():
    told = [
        data["content_block"]["name"] if data["type"] == "content_block_start" else data["delta"]["partial_json"]
        for _, data in out("chat.tools_interleaved", Format.MESSAGES)
        if data["type"] in ("content_block_start", "content_block_delta")
    ]
    assert told == ["first", '{"a":', "1}", "second", '{"b":{"x"', ":2}}", "third", "{}"]


def test_messages_end_with_the_reason_and_all_of_the_usage():
    assert [data for _, data in out("messages.stop_sequence", Format.MESSAGES)][-2:] == [
        {
            "type": "message_delta",
            "delta": {"stop_reason": "stop_sequence", "stop_sequence": "4"},
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 8,
            },
        },
        {"type": "message_stop"},
    ]


def test_messages_refusals_are_text_that_ends_in_a_refusal():
    told = out("chat.refusal", Format.MESSAGES)
    assert told[1][1]["content_block"] == {"type": "text", "text": ""}
    assert told[-2][1]["delta"]["stop_reason"] == "refusal"


def test_messages_keep_their_own_seals():
    told = [data for _, data in out("messages.thinking_redacted", Format.MESSAGES)]
    assert told[3]["delta"] == {"type": "signature_delta", "signature": "EqQB0"}
    assert told[5]["content_block"]["type"] == "redacted_thinking"
    assert told[6] == {"type": "content_block_stop", "index": 1}


@pytest.mark.parametrize(("stem", "item", "words"), [("reasoning", "rs_0a", 3), ("reasoning_silent", "rs_0a", 0)])
def test_messages_carry_openais_seal_inside_the_signature(stem, item, words):
    told = [data["delta"] for _, data in out(f"responses.{stem}", Format.MESSAGES) if "delta" in data]
    assert [delta["type"] for delta in told[:words]] == ["thinking_delta"] * words
    assert told[words]["type"] == "signature_delta"
    encrypted = "gAAAAABo_whole" if words else "gAAAAABo_silent"
    assert seals.unwrap(told[words]["signature"]) == Seal(
        Format.RESPONSES, {"id": item, "encrypted_content": encrypted}
    )


def test_messages_pings_pass():
    assert ("ping", {"type": "ping"}) in out("messages.text", Format.MESSAGES)


# Responses


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_responses_are_counted_without_gaps_and_named_twice(path):
    told = events(translate(path.read_bytes(), format_of(path), Format.RESPONSES))
    assert [data["sequence_number"] for _, data in told] == list(range(len(told)))
    assert all(event == data["type"] for event, data in told)


def test_responses_of_text():
    assert kinds("chat.length", Format.RESPONSES) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    last = out("chat.length", Format.RESPONSES)[-1][1]["response"]
    assert last["status"] == "incomplete"
    assert last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["output"][0]["status"] == "incomplete"
    assert last["output"][0]["content"][0]["text"] == "Once upon a ti"
    assert last["usage"]["total_tokens"] == 13


def test_responses_of_thinking():
    assert kinds("messages.thinking", Format.RESPONSES)[2:10] == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        *["response.reasoning_summary_text.delta"] * 3,
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]


def test_responses_of_calls():
    assert kinds("messages.tool_without_arguments", Format.RESPONSES) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_responses_of_a_refusal():
    told = kinds("chat.refusal", Format.RESPONSES)
    assert told[3:-1] == [
        "response.content_part.added",
        *["response.refusal.delta"] * 3,
        "response.refusal.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert told[-1] == "response.completed"


def test_responses_repeat_every_item_at_the_end():
    told = out("messages.tools", Format.RESPONSES)
    done = [data["item"] for _, data in told if data["type"] == "response.output_item.done"]
    assert told[-1][1]["response"]["output"] == done
    assert [item["type"] for item in done] == ["message", "function_call", "function_call"]
    assert [item["id"] for item in done] == ["msg_42_0", "fc_42_1", "fc_42_2"]


def test_responses_carry_anthropics_seals_inside_the_encrypted_content():
    output = out("messages.thinking_redacted", Format.RESPONSES)[-1][1]["response"]["output"]
    assert [seals.unwrap(item["encrypted_content"]) for item in output[:2]] == [
        Seal(Format.MESSAGES, {"signature": "EqQB0"}),
        Seal(Format.MESSAGES, {"redacted": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"}),
    ]


def test_responses_turn_namespaced_and_custom_tools_back_into_what_they_were():
    def chunk(delta):
        return b'data: {"choices":[{"index":0,"delta":{"tool_calls":[' + delta + b"]}}]}\n\n"

    stream = (
        chunk(b'{"index":0,"id":"a","function":{"name":"clock__ns__sleep","arguments":"{}"}}')
        + chunk(b'{"index":1,"id":"b","function":{"name":"apply_patch__custom","arguments":"{\\"inp"}}')
        + chunk(b'{"index":1,"function":{"arguments":"ut\\":\\"*** Begin\\"}"}}')
        + b"data: [DONE]\n\n"
    )
    told = events(translate(stream, Format.CHAT, Format.RESPONSES))
    plain, custom = told[-1][1]["response"]["output"]
    assert (plain["type"], plain["name"], plain["namespace"]) == ("function_call", "sleep", "clock")
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "apply_patch", "*** Begin")
    assert [data["type"] for _, data in told[-5:-1]] == [
        "response.output_item.added",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]


def test_custom_tools_of_a_responses_provider_are_custom_tools_of_a_chat_client():
    item = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "apply_patch", "input": ""}
    whole = {**item, "input": '*** "Begin"'}
    stream = b"".join(
        b"data: " + json.dumps(data).encode() + b"\n\n"
        for data in (
            {"type": "response.output_item.added", "output_index": 0, "item": item},
            {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": '*** "Be'},
            {"type": "response.output_item.done", "output_index": 0, "item": whole},
            {"type": "response.completed", "response": {}},
        )
    )
    told = [data["choices"][0] for _, data in events(translate(stream, Format.RESPONSES, Format.CHAT))[:-1]]
    begin = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "apply_patch", "input": ""}}
    assert [choice["delta"].get("tool_calls") for choice in told[1:-1]] == [
        [begin],
        [{"index": 0, "custom": {"input": '*** "Begin"'}}],
    ]
    assert told[-1]["finish_reason"] == "tool_calls"


# Errors


def test_errors_keep_their_kind_across_formats():
    assert out("messages.error", Format.CHAT)[-1][1]["error"] == {
        "message": "Overloaded",
        "type": "server_error",
        "param": None,
        "code": "overloaded_error",
    }
    assert out("messages.error", Format.RESPONSES)[-1][1]["response"]["error"] == {
        "code": "server_error",
        "message": "Overloaded",
    }
    assert out("responses.error", Format.MESSAGES)[-1] == (
        "error",
        {"type": "error", "error": {"type": "rate_limit_error", "message": "Rate limit reached."}},
    )
    assert out("chat.error_openrouter", Format.RESPONSES)[-1][1]["response"]["error"]["code"] == "rate_limit_exceeded"


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_agents_look_for():
    anthropics = b'event: error\ndata: {"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}\n\n'
    assert (
        events(translate(anthropics, Format.MESSAGES, Format.CHAT))[-1][1]["error"]["code"] == "context_length_exceeded"
    )
    openais = (
        b'data: {"error":{"message":"Too much.","type":"invalid_request_error","code":"context_length_exceeded"}}\n\n'
    )
    told = events(translate(openais, Format.CHAT, Format.MESSAGES))[-1][1]["error"]
    assert told == {"type": "invalid_request_error", "message": "prompt is too long: Too much."}

"""What another provider is not given: what only the first can read goes, and what nobody can do without is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.formats import Format
from sidecar.wire.portable import portable

CHAT, MESSAGES, RESPONSES = Format

THINKING = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "b2Zm"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"file_id": "mine", "type": "thinking"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a b"}
HI = {"role": "user", "content": "hi"}


def said(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def text(words):
    return {"type": "text", "text": words}


def messages(*history, **more):
    return {"model": "m", "max_tokens": 10, "messages": [HI, *history], **more}


def sent(form, body):
    """(the body as an object, removed, stuck)"""
    found = portable(form, json.dumps(body).encode())
    return json.loads(found.body), list(found.removed), list(found.stuck)


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (CHAT, {"messages": [HI, {"role": "assistant", "content": "a"}, {"role": "user", "content": [text("b")]}]}),
        (
            MESSAGES,
            messages(said(text("a"), CALL), {"role": "user", "content": [RESULT]}, thinking={"type": "enabled"}),
        ),
        (RESPONSES, {"input": "hi", "previous_response_id": None, "conversation": None}),
        (RESPONSES, {"input": [{"role": "user", "content": "hi"}, {"type": "function_call", "id": "fc_1"}]}),
    ],
)
def test_a_body_that_anybody_can_read_is_the_same_object(form, body):
    body = json.dumps(body).encode()
    found = portable(form, body)
    assert found.body is body
    assert (found.removed, found.stuck) == ((), ())


def test_signed_thinking_goes_and_the_rest_of_its_message_stays():
    body, removed, stuck = sent(MESSAGES, messages(said(THINKING, REDACTED, text("a")), HI))
    assert body == messages(said(text("a")), HI)
    assert (removed, stuck) == (["thinking", "thinking"], [])


def test_a_message_of_nothing_but_thinking_goes_whole():
    assert sent(MESSAGES, messages(said(THINKING), HI))[0] == messages(HI)


def test_what_stays_is_written_as_it_came():
    thinking = json.dumps(THINKING)
    body = (
        '{ "temperature" : 1.0,"messages": [{"role":"assistant","content":[%s'
        '{"type":"text","text":"\\u00e9", "n": 1e2}]}],\n "big":12345678901234567890123}'
    )
    found = portable(MESSAGES, (body % f"{thinking},").encode())
    for kept in (b'{"type":"text","text":"\\u00e9", "n": 1e2}', b"12345678901234567890123", b"1.0"):
        assert kept in found.body


BUDGET = {"type": "enabled", "budget_tokens": 2000}
LOOP = (said(THINKING, text("a"), CALL), {"role": "user", "content": [RESULT]})


def test_in_a_tool_loop_thinking_with_a_budget_is_turned_off_with_its_edits():
    clearing = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]}
    body, removed, _ = sent(MESSAGES, messages(*LOOP, thinking=BUDGET, context_management=clearing))
    assert body["thinking"] == {"type": "disabled"}
    assert body["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert body["messages"][1] == said(text("a"), CALL)
    assert removed == ["thinking", "thinking_mode"]


@pytest.mark.parametrize(
    ("thinking", "history"),
    [
        ({"type": "adaptive"}, LOOP),
        (BUDGET, (*LOOP, said(THINKING, text("done")), HI)),
        (BUDGET, (said(THINKING, text("a")), HI)),
    ],
)
def test_elsewhere_thinking_stays_on(thinking, history):
    body, removed, _ = sent(MESSAGES, messages(*history, thinking=thinking))
    assert body["thinking"] == thinking
    assert set(removed) == {"thinking"}


def test_reasoning_items_go():
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": '{"file_id":"mine"}'}
    body, removed, stuck = sent(RESPONSES, {"input": [HI, reasoning, call, {**reasoning, "encrypted_content": None}]})
    assert body == {"input": [HI, call]}
    assert (removed, stuck) == (["reasoning", "reasoning"], [])


def test_what_providers_write_into_chat_messages_for_themselves_goes():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = {**call, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    history = [HI, {"role": "assistant", "content": None, "reasoning_details": [{}], "tool_calls": [signed]}]
    body, removed, _ = sent(CHAT, {"messages": history})
    assert body == {"messages": [HI, {"role": "assistant", "content": None, "tool_calls": [call]}]}
    assert removed == ["reasoning", "reasoning"]


FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}


@pytest.mark.parametrize(
    ("form", "body", "kind"),
    [
        (RESPONSES, {"input": "hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        (RESPONSES, {"input": "hi", "conversation": {"id": "conv_1"}}, "conversation"),
        (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "prompt"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, "item_reference"),
        (RESPONSES, {"input": [{"id": "msg_1"}]}, "item_reference"),
        (RESPONSES, {"input": [{"type": "compaction", "encrypted_content": "gAAA"}]}, "encrypted_content"),
        (
            RESPONSES,
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
            "file_id",
        ),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": [{"file_id": "file-1"}]}]}, "file_id"),
        (RESPONSES, {"input": [{"type": "computer_call_output", "output": {"file_id": "file-1"}}]}, "file_id"),
        (RESPONSES, {"input": "hi", "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "file_id"),
        (RESPONSES, {"input": "hi", "tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "container"),
        (RESPONSES, {"input": [{"type": "code_interpreter_call", "container_id": "cntr_1"}]}, "container"),
        (MESSAGES, messages(container="container_1"), "container"),
        (MESSAGES, messages({"role": "user", "content": [FILE]}), "file_id"),
        (MESSAGES, messages({"role": "user", "content": [{**RESULT, "content": [FILE]}]}), "file_id"),
        (
            MESSAGES,
            messages(said({"type": "web_search_tool_result", "content": [{"encrypted_content": "x"}]})),
            "encrypted_content",
        ),
        (
            CHAT,
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
            "file_id",
        ),
        (CHAT, {"messages": [HI, {"role": "assistant", "audio": {"id": "audio_1"}}]}, "audio"),
    ],
)
def test_what_cannot_be_done_without_is_named(form, body, kind):
    assert sent(form, body) == (body, [], [kind])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["thinking", "reasoning", "assistant", "user", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "messages", "input", "tools", "output"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(form=st.sampled_from(list(Format)), body=st.dictionaries(st.sampled_from(["messages", "input", "tools"]), JSON))
def test_any_json_comes_out_as_json(form, body):
    found = portable(form, json.dumps(body).encode())
    assert isinstance(json.loads(found.body), dict)

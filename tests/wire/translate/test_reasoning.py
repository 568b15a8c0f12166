"""Signed and encrypted reasoning finds its way back, and only to its own provider."""

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


def said(text):
    return [{"type": "text", "text": text}]


@pytest.mark.parametrize(("provider", "client"), [(RESPONSES, MESSAGES), (MESSAGES, RESPONSES)])
def test_sealed_reasoning_comes_back_to_who_sealed_it(provider, client):
    """The answer goes through a client of the other format and comes back in its next request, untouched."""
    thoughts = {
        MESSAGES: {"type": "thinking", "thinking": "Hm.", "signature": "sig=="},
        RESPONSES: {
            "type": "reasoning", "id": "rs_1", "encrypted_content": "enc==",
            "summary": [{"type": "summary_text", "text": "Hm."}],
        },
    }[provider]  # fmt: skip
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    answer = {
        MESSAGES: {"type": "message", "role": "assistant", "content": [thoughts, use], "stop_reason": "tool_use"},
        RESPONSES: {
            "object": "response", "status": "completed",
            "output": [thoughts, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}],
        },
    }[provider]  # fmt: skip
    ids = translate.Ids("x", 1)
    got = json.loads(translate.answer(provider, client, json.dumps(answer).encode(), model="m", ids=ids))
    if client is MESSAGES:
        asked = {"max_tokens": 9, "messages": [USER, {"role": "assistant", "content": got["content"]}]}
        asked["messages"].append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]})
        assert thoughts in send(client, provider, **asked)[0]["input"]
    else:
        asked = {"input": [USER, *got["output"], {"type": "function_call_output", "call_id": "c", "output": "x"}]}
        body, dropped = send(client, provider, reasoning={"effort": "high"}, **asked)
        assert body["messages"][1]["content"][0] == thoughts
        assert body["thinking"]["type"] == "enabled"
        assert dropped == ()


def test_redacted_thinking_survives_too():
    block = {"type": "redacted_thinking", "data": "xyz"}
    answer = {"type": "message", "content": [block, {"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}
    ids = translate.Ids("x", 1)
    got = json.loads(translate.answer(MESSAGES, RESPONSES, json.dumps(answer).encode(), model="m", ids=ids))
    body, _ = send(RESPONSES, MESSAGES, input=[USER, *got["output"], USER])
    assert body["messages"][1]["content"][0] == block


def test_reasoning_of_a_third_party_is_dropped_and_said_so():
    foreign = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}, *said("Hi")],
    }
    body, dropped = send(MESSAGES, RESPONSES, max_tokens=9, messages=[USER, foreign, USER])
    assert [item["role"] for item in body["input"]] == ["user", "assistant", "user"]
    assert dropped == ("messages[].content[]",)


def test_thoughts_go_as_text_to_models_that_want_them_back():
    thoughts = {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}, *said("Hi")],
    }
    body, _ = send(MESSAGES, CHAT, to="deepseek-chat", max_tokens=9, messages=[USER, thoughts, USER])
    assert body["messages"][1]["reasoning_content"] == "Hm."
    body, _ = send(MESSAGES, CHAT, to="gpt-5", max_tokens=9, messages=[USER, thoughts, USER])
    assert "reasoning_content" not in body["messages"][1]

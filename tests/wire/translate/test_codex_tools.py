"""Codex offers its tools inside its input, in namespaces, some taking free text: others are offered plain functions."""

import json

import pytest

from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.translate import UnsupportedField

CHAT, MESSAGES, RESPONSES = Format
USER = {"role": "user", "content": "Hello"}


def send(source, target, *, to="m", **body):
    """The provider's body, as an object, and what was dropped."""
    sent = translate.request(source, target, json.dumps(body).encode(), model=to)
    return json.loads(sent.body), sent.dropped


EXEC = {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}
SLEEP = {"type": "function", "name": "sleep", "strict": False, "parameters": {"type": "object", "properties": {}}}
OFFER = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [
        {"type": "namespace", "name": "functions", "description": "", "tools": [EXEC]},
        {"type": "namespace", "name": "clock", "description": "", "tools": [SLEEP]},
    ],
}


@pytest.mark.parametrize("target", [CHAT, MESSAGES])
def test_codex_tools_in_the_input_are_functions_whose_names_say_what_they_were(target, judge_request):
    used = {"type": "custom_tool_call", "call_id": "c", "name": "exec", "namespace": "functions", "input": "ls"}
    got = {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "a b"}]}
    body, dropped = send(RESPONSES, target, to="gpt-5", input=[OFFER, USER, used, got], tool_choice="auto", store=False)
    judge_request(target, json.dumps(body))
    found = [tool.get("function", tool) for tool in body["tools"]]
    assert [tool["name"] for tool in found] == ["functions__ns__exec__custom", "clock__ns__sleep"]
    assert "lark grammar" in found[0]["description"]
    assert "functions__ns__exec__custom" in json.dumps(body["messages"])
    assert dropped == ("store",)


def test_a_tool_that_already_has_such_a_name_is_refused():
    with pytest.raises(UnsupportedField) as refused:
        send(RESPONSES, CHAT, input="x", tools=[{**SLEEP, "name": "a__ns__b"}])
    assert refused.value.param == "tools[0].name"

"""What cannot be sent is refused by name, or dropped and listed; what is wrong is said with its path."""

import json

import pytest

from sidecar.errors import InvalidJson, RequestError
from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.translate import UnsupportedField

CHAT, MESSAGES, RESPONSES = Format
USER = {"role": "user", "content": "Hello"}


def send(source, target, *, to="m", **body):
    """The provider's body, as an object, and what was dropped."""
    sent = translate.request(source, target, json.dumps(body).encode(), model=to)
    return json.loads(sent.body), sent.dropped


PAIRS = [(a, b) for a in Format for b in Format if a is not b]


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt", "background"])
def test_what_needs_state_is_refused_by_name(field):
    with pytest.raises(UnsupportedField, match=field) as refused:
        send(RESPONSES, CHAT, input="hi", **{field: True})
    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "unsupported_field", field)


def test_a_hosted_tool_is_dropped_beside_others_and_refused_where_it_is_meant():
    search, choice, own = {"type": "web_search"}, {"type": "web_search"}, {"type": "function", "name": "f"}
    body, dropped = send(RESPONSES, CHAT, input="hi", tools=[search, own])
    assert len(body["tools"]) == 1
    assert dropped == ("tools[]",)
    for meant in ({"tools": [search]}, {"tools": [search, own], "tool_choice": choice}):
        with pytest.raises(UnsupportedField):
            send(RESPONSES, CHAT, input="hi", **meant)
    with pytest.raises(UnsupportedField):
        send(RESPONSES, CHAT, input="hi", tools=[search, own], tool_choice="required")


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_fields_nobody_knows_are_dropped_and_listed_and_ours_are_neither(source, target):
    _, dropped = send(source, target, messages=[USER], input=[USER], novelty=1, empty=None, routing_preferences=[])
    expected = {"novelty", "input" if source is not RESPONSES else "messages"}
    assert set(dropped) == expected


def test_a_long_conversation_makes_a_short_list():
    marked = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]
    _, dropped = send(MESSAGES, CHAT, max_tokens=9, messages=[{"role": "user", "content": marked}] * 100)
    assert dropped == ("messages[].content[].cache_control",)


@pytest.mark.parametrize(
    ("source", "body", "param"),
    [
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{"content": "x"}]}, "messages[0].role"),
        (CHAT, {"messages": [{**USER, "content": 7}]}, "messages[0].content"),
        (CHAT, {"messages": [USER], "temperature": "hot"}, "temperature"),
        (CHAT, {"messages": [USER], "max_tokens": True}, "max_tokens"),
        (CHAT, {"messages": [USER], "tools": [{"function": {}}]}, "tools[0].function.name"),
        (MESSAGES, {"messages": [USER], "tool_choice": {"type": "must"}}, "tool_choice.type"),
        (RESPONSES, {"input": []}, "input"),
        (RESPONSES, {"input": ["x"]}, "input[0]"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(source, body, param):
    target = MESSAGES if source is CHAT else CHAT
    with pytest.raises(RequestError) as wrong:
        send(source, target, **body)
    assert wrong.value.param == param
    assert param in wrong.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"messages": NaN}'])
def test_what_is_no_json_is_the_clients_fault(body):
    with pytest.raises(InvalidJson):
        translate.request(CHAT, MESSAGES, body, model="m")

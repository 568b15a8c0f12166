"""Bodies in, the few fields we act on out; and what is wrong with a body is said with its path."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import InvalidJson, RequestError
from sidecar.wire.conversation import Role, Turn
from sidecar.wire.formats import Format
from sidecar.wire.request import parse
from sidecar.wire.splice import _thorough, with_model

USER = [{"role": "user", "content": "Hello"}]


def read(form, **body):
    return parse(form, json.dumps(body).encode())


def turns(form, **body):
    return [(turn.role, turn.text) for turn in read(form, **body).conversation()]


def test_the_model_is_as_the_client_wrote_it():
    assert read(Format.CHAT, model="gpt-4o-mini", messages=USER).model == "gpt-4o-mini"


def test_a_model_may_be_missing_or_null():
    assert read(Format.CHAT, messages=USER).model is None
    assert read(Format.CHAT, model=None, messages=USER).model is None


def test_preferences_are_kept_as_they_came():
    asked = parse(Format.CHAT, b'{"messages":[{"role":"user","content":"x"}],"routing_preferences": [{"a" : 1.0}]}')
    assert bytes(asked.preferences) == b'[{"a" : 1.0}]'


def test_fields_we_do_not_know_are_nobodys_business():
    assert read(Format.CHAT, messages=USER, temperature="hot", tools={"odd": []}, stream="yes", n=-1)


def test_chat_roles_old_and_new_are_understood():
    roles = ["system", "developer", "user", "assistant", "tool", "function", "critic"]
    messages = [{"role": role, "content": role} for role in roles]
    assert turns(Format.CHAT, messages=messages) == [
        (Role.SYSTEM, "system"),
        (Role.SYSTEM, "developer"),
        (Role.USER, "user"),
        (Role.ASSISTANT, "assistant"),
        (Role.TOOL, "tool"),
        (Role.TOOL, "function"),
    ]


def test_of_many_parts_the_text_counts_and_images_leave_no_trace():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [{"type": "text", "text": "What is"}, image, {"type": "text", "text": "this?"}]
    assert turns(Format.CHAT, messages=[{"role": "user", "content": content}]) == [(Role.USER, "What is\nthis?")]


def test_null_content_with_tool_calls_is_legal():
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "ls"}}]}
    assert turns(Format.CHAT, messages=[*USER, call]) == [(Role.USER, "Hello"), (Role.ASSISTANT, "")]


def test_an_anthropic_system_may_be_text_or_blocks():
    for system in ("Be brief.", [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]):
        assert turns(Format.MESSAGES, system=system, messages=USER)[0] == (Role.SYSTEM, "Be brief.")


def test_an_anthropic_tool_result_is_not_the_users_words():
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "42"}]}
    content = [result, {"type": "text", "text": "Go on"}]
    assert turns(Format.MESSAGES, messages=[{"role": "user", "content": content}]) == [
        (Role.TOOL, "42"),
        (Role.USER, "Go on"),
    ]


def test_a_message_of_nothing_but_tool_results_says_nothing_in_the_users_name():
    results = [{"type": "tool_result", "content": "a"}, {"type": "tool_result", "content": {"odd": 1}}]
    assert turns(Format.MESSAGES, messages=[{"role": "user", "content": results}]) == [
        (Role.TOOL, "a"),
        (Role.TOOL, ""),
    ]


def test_a_responses_input_may_be_a_string():
    assert turns(Format.RESPONSES, instructions="Be brief.", input="Hello") == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "Hello"),
    ]


def test_responses_items_of_every_kind_are_legal_and_those_with_text_count():
    items = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"role": "user", "content": "Hello"},
        {"type": "reasoning", "encrypted_content": "xyz", "summary": []},
        {"type": "function_call", "name": "ls", "arguments": "{}", "call_id": "1"},
        {"type": "function_call_output", "call_id": "1", "output": "file.txt"},
        {"type": "computer_call_output", "output": {"type": "screenshot"}},
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "item_reference", "id": "x"},
    ]
    assert turns(Format.RESPONSES, input=items) == [
        (Role.SYSTEM, "rules"),
        (Role.USER, "Hello"),
        (Role.TOOL, "file.txt"),
        (Role.TOOL, ""),
        (Role.SYSTEM, ""),
    ]


def test_a_response_that_continues_another_needs_no_input():
    assert turns(Format.RESPONSES, previous_response_id="resp_1") == []


@pytest.mark.parametrize(
    ("form", "body", "param"),
    [
        (Format.CHAT, {}, None),
        (Format.CHAT, {"messages": []}, "messages"),
        (Format.CHAT, {"messages": "hello"}, "messages"),
        (Format.CHAT, {"messages": None}, "messages"),
        (Format.CHAT, {"messages": ["hello"]}, "messages[0]"),
        (Format.CHAT, {"messages": [{"content": "no role"}]}, "messages[0]"),
        (Format.CHAT, {"messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
        (Format.CHAT, {"messages": [*USER, {"role": "user", "content": 42}]}, "messages[1].content"),
        (Format.CHAT, {"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        (Format.CHAT, {"messages": [{"role": "user", "content": [{"text": 1}]}]}, "messages[0].content[0].text"),
        (Format.CHAT, {"messages": USER, "model": 4}, "model"),
        (Format.CHAT, {"messages": USER, "model": "m" * 257}, "model"),
        (Format.MESSAGES, {"messages": USER, "system": 4}, "system"),
        (Format.MESSAGES, {"messages": []}, "messages"),
        (Format.RESPONSES, {}, "input"),
        (Format.RESPONSES, {"input": []}, "input"),
        (Format.RESPONSES, {"input": ""}, "input"),
        (Format.RESPONSES, {"input": 4}, "input"),
        (Format.RESPONSES, {"input": ["x"]}, "input[0]"),
        (Format.RESPONSES, {"input": [{"role": "user", "content": 4}]}, "input[0].content"),
        (Format.RESPONSES, {"input": "x", "instructions": 4}, "instructions"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_with_its_path(form, body, param):
    with pytest.raises(RequestError) as refusal:
        read(form, **body)
    assert (refusal.value.code, refusal.value.param) == ("invalid_request", param)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b'{"messages":[{"role":"user","content":"\xff"}]}',
        b'{"unknown":"\xc3\x28","messages":[{"role":"user","content":"x"}]}',
        b'{"messages":[{"role":"user","content":"x"}]} trailing',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"temperature":NaN,"messages":[]}',
        b'\xef\xbb\xbf{"messages":[]}',
    ],
)
@pytest.mark.parametrize("form", Format)
def test_what_is_not_json_is_refused_as_that(form, body):
    with pytest.raises(InvalidJson):
        parse(form, body)


def outcome(form, body):
    """The conversation, or the status of the refusal."""
    try:
        return parse(form, body).conversation()
    except RequestError as refusal:
        return refusal.status


@pytest.mark.parametrize("form", Format)
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(form, body):
    assert outcome(form, body) == 400 or body.lstrip().startswith(b"{")


KEYS = st.sampled_from(["role", "content", "text", "type", "output", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(["model", "messages", "input", "system", "instructions"])


@pytest.mark.parametrize("form", Format)
@given(body=st.dictionaries(FIELDS, JSON, max_size=4))
def test_arbitrary_json_is_read_or_refused_and_nothing_else(form, body):
    found = outcome(form, json.dumps(body).encode())
    assert found == 400 or all(isinstance(turn, Turn) and isinstance(turn.text, str) for turn in found)


@pytest.mark.parametrize(
    ("more", "unasked"),
    [
        ({}, True),
        ({"stream_options": {}}, True),
        ({"stream_options": {"include_usage": False, "include_obfuscation": False}}, True),
        ({"stream_options": {"include_usage": True}}, False),
        ({"stream_options": {"include_usage": None}}, False),
        ({"stream_options": {"include_usage": 1}}, False),
        ({"stream_options": None}, False),
        ({"stream_options": [False]}, False),
        ({"stream": False}, False),
    ],
)
def test_usage_is_unasked_only_where_the_question_has_a_place(more, unasked):
    found = read(Format.CHAT, **{"messages": USER, "stream": True, **more})
    assert found.usage_unasked is unasked
    assert not (found.include_usage and unasked)


def said(form, body, **how):
    """All that is read from a body, or what is wrong with it."""
    try:
        read = parse(form, body, **how)
        usage = (read.include_usage, read.usage_unasked)
        beginning = read.beginning()
        return read.model, read.stream, read.has_tools, usage, beginning, read.conversation(), bytes(read.preferences)
    except RequestError as refusal:
        return refusal.code, refusal.param, refusal.message


ODD = [
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": None}, {}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "42"}]}], "system": [{"text": "b"}]},
    {"messages": [{"role": "user", "content": {"text": "no list"}}]},
    {"messages": [{"role": None, "content": "x"}]},
    {"input": [{"type": "reasoning", "content": 4}, {"role": "user", "content": "Hello"}]},
    {"input": [{"type": "additional_tools", "tools": []}, {"role": "user", "content": "Hello"}]},
    {"input": [{"role": None, "content": "x"}], "instructions": [{"text": "a"}]},
    {"input": None, "conversation": "conv_1"},
]


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("body", ODD)
def test_what_is_read_at_once_and_what_is_read_in_whole_are_the_same(form, body):
    raw = json.dumps(body).encode()
    assert said(form, raw) == said(form, raw, in_whole=True)


@pytest.mark.parametrize("form", Format)
@given(body=st.dictionaries(st.one_of(FIELDS, st.just("tools")), JSON, max_size=4))
def test_of_arbitrary_json_too(form, body):
    raw = json.dumps(body).encode()
    assert said(form, raw) == said(form, raw, in_whole=True)


@pytest.mark.parametrize("twice", [b'"content":4,"content":"x"', b'"content":"y","content":"x"'])
def test_of_a_field_that_comes_twice_the_last_one_counts(twice):
    assert parse(Format.CHAT, b'{"messages":[{"role":"user",%b}]}' % twice).conversation()[0].text == "x"


@pytest.mark.parametrize(
    ("members", "named_once"),
    [
        ('"model": "a"', True),
        ('"mod\\u0065l": "a"', True),
        ('"model": "a", "tools": [{"model": "b"}]', True),
        ('"model": "a", "model": "a"', False),
        ('"model": "a", "mod\\u0065l": "b"', False),
        ('"model": null, "model": "a"', False),
        ('"model": "a", "routing_preferences": null', False),
        ('"model": null', False),
        ('"stream": false', False),
    ],
)
@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Format.CHAT, '"messages": [{"role": "user", "content": "x"}]'),
        (Format.MESSAGES, '"messages": [{"role": "user", "content": "x"}]'),
        (Format.RESPONSES, '"input": [{"type": "message", "role": "user", "content": "x"}]'),
    ],
)
def test_who_asks_hears_whether_a_body_names_its_model_just_once(form, said, members, named_once):
    assert parse(form, f"{{{members}, {said}}}".encode()).named_once is named_once
    assert parse(form, f"{{{said}, {members}}}".encode()).named_once is named_once


@pytest.mark.parametrize(
    "body",
    [
        '{"model": "a", "model": 1, "messages": [{"role": "user", "content": "x"}]}',
        '{"model": ["a"], "messages": [{"role": "user", "content": "x"}]}',
        '{"model": "%s", "messages": [{"role": "user", "content": "x"}]}' % ("é" * 257),
    ],
)
def test_a_model_that_is_no_name_is_refused(body):
    with pytest.raises(RequestError) as refused:
        parse(Format.CHAT, body.encode())
    assert refused.value.param == "model"


def test_one_request_tells_nothing_of_the_next():
    unfinished = b'{"model": "a", "messages": [{"role": "user", "content": "x"}'
    with pytest.raises(InvalidJson):
        parse(Format.CHAT, unfinished)
    asked = parse(Format.CHAT, b'{"messages": [{"role": "user", "content": "x"}]}')
    assert (asked.model, asked.named_once) == (None, False)
    assert parse(Format.CHAT, unfinished + b"]}").named_once


KEY = st.sampled_from(
    ['"model"', '"model"', r'"mod\u0065l"', r'"say \"model"', '"stream_options"', '"routing_preferences"', '"tools"']
)
VALUE = st.sampled_from(
    [
        '"gpt"',
        '"model"',
        r'"say \"model\": \"x\""',
        r'"a\"b"',
        '"é"',
        "1",
        "null",
        '{"model": "inner"}',
        '[{"model":"x"}]',
    ]
)
SPACE = st.sampled_from(["", " ", "\r\n\t"])


@given(
    members=st.lists(st.tuples(KEY, SPACE, VALUE), max_size=5),
    at=st.integers(0, 5),
    long_bytes=st.sampled_from([0, 3000]),
    ends=st.tuples(SPACE, SPACE),
    asks_usage=st.booleans(),
)
def test_what_a_request_knows_of_its_body_never_changes_what_is_sent_on(members, at, long_bytes, ends, asks_usage):
    texts = [f"{key}{space}:{space}{value}{space}" for key, space, value in members]
    texts.insert(
        min(at, len(texts)), f'"messages": [{{"role": "user", "content": "{"z" * long_bytes}", "model": "y"}}]'
    )
    body = f"{ends[0]}{{{','.join(texts)}}}{ends[1]}".encode()
    try:
        asked = parse(Format.CHAT, body)
    except RequestError:
        return
    asks_usage = asks_usage and asked.usage_unasked
    known = {"named_once": asked.named_once, "has_options": asked.has_options}
    exact = _thorough(body, b'"new"', asks_usage=asks_usage)
    assert with_model(body, "new", asks_usage=asks_usage, **known) == exact

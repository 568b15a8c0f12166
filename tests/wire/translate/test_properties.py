"""Any conversation there and back is the same conversation; any bytes at all end in bytes or in an error of ours."""

import json

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from sidecar.errors import SidecarError
from sidecar.wire import translate
from sidecar.wire.formats import Format
from sidecar.wire.translate import Ids
from sidecar.wire.translate.fields import Notes
from sidecar.wire.translate.neutral import (
    Ask,
    Call,
    Choice,
    Image,
    Inline,
    Mode,
    Option,
    Result,
    Schema,
    Speaker,
    Text,
    Tool,
    ToolName,
    Turn,
    Url,
)
from sidecar.wire.translate.writers import WRITE
from sidecar.wire.translate.writers.common import Recipient

PAIRS = [(a, b) for a in Format for b in Format if a is not b]
MODELS = {Format.CHAT: "gpt-5", Format.MESSAGES: "claude-haiku-4-5", Format.RESPONSES: "gpt-5"}
IDS = Ids("x1", 1_700_000_000)
EXAMPLES = 120
"""For each pair."""

words = st.text(min_size=1, max_size=20).map(str.strip).filter(bool)
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)
arguments = st.dictionaries(names, values, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
)
images = st.builds(
    Image, st.builds(Inline, st.just("image/png"), st.just("AAAA")) | st.builds(Url, st.just("https://a/b.png"))
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@st.composite
def turns(draw):
    """A conversation as it should be: instructions, then user and assistant in turn, every call answered."""
    found = [Turn(Speaker.SYSTEM, (Text(draw(words)),))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(0, 3))):
        found.append(Turn(Speaker.USER, tuple(draw(st.lists(st.builds(Text, words) | images, min_size=1, max_size=3)))))
        calls = [
            Call(f"call_{number}_{place}", ToolName(draw(names)), draw(arguments))
            for place in range(draw(st.integers(0, 2)))
        ]
        spoken = [Text(draw(words))] if not calls or draw(st.booleans()) else []
        found.append(Turn(Speaker.ASSISTANT, (*spoken, *calls)))
        if calls:
            found.append(Turn(Speaker.USER, tuple(Result(call.id, (Text(draw(words)),)) for call in calls)))
            found.append(Turn(Speaker.ASSISTANT, (Text(draw(words)),)))
    return (*found, Turn(Speaker.USER, (Text(draw(words)),)))


def some(**strategies):
    return st.fixed_dictionaries({}, optional=strategies).map(
        lambda found: {name: Option(value, name) for name, value in found.items()}
    )


plain_options = some(
    max_tokens=st.integers(16, 64_000), temperature=st.floats(0, 1), user=names, parallel=st.just(value=False),
    format=st.just(Schema(SCHEMA, "answer", None, strict=True)),
)  # fmt: skip
thinking_options = some(max_tokens=st.integers(30_000, 64_000), effort=st.sampled_from(["low", "medium", "high"]))
tools = st.lists(
    st.builds(Tool, st.builds(ToolName, names), words, st.just(SCHEMA), st.sampled_from([True, None])),
    min_size=1, max_size=3, unique_by=lambda tool: tool.tool.name,
)  # fmt: skip


@st.composite
def asks(draw):
    offered = tuple(draw(tools))
    options = draw(plain_options | thinking_options)
    choices = [None, Choice(Mode.AUTO), Choice(Mode.NONE)]
    if "effort" not in options:
        choices += [Choice(Mode.REQUIRED), Choice(Mode.NAMED, offered[0].tool)]
    choice = draw(st.sampled_from(choices))
    if "parallel" in options and (choice is None or choice.mode is Mode.NONE):
        choice = Choice(Mode.AUTO)
    return Ask(draw(turns()), offered, choice, options, draw(st.booleans()))


# One draw is told to every pair: it takes several times as long to draw it as to translate it.


@given(ask=asks())
@settings(max_examples=EXAMPLES)
def test_there_and_back_nothing_is_lost(judge_request, ask):
    for home, abroad in PAIRS:
        _there_and_back(home, abroad, judge_request, ask)


def _there_and_back(home, abroad, judge_request, ask):
    note(f"{home} -> {abroad} -> {home}")
    written = WRITE[home](ask, Recipient(MODELS[home], 8192, asks_usage=True), Notes())
    there = translate.request(home, abroad, json.dumps(written).encode(), model=MODELS[abroad])
    judge_request(abroad, there.body)
    back = translate.request(abroad, home, there.body, model=MODELS[home])
    got = json.loads(back.body)
    if "max_tokens" not in ask.options and abroad is Format.MESSAGES:  # which had to say one
        got.pop("max_completion_tokens", None)
        got.pop("max_output_tokens", None)
    assert got == json.loads(json.dumps(written))
    assert set(there.dropped) <= {"store"}


FIELD = (
    "messages|input|role|content|type|text|tools|name|function|parameters|tool_calls|id|arguments|tool_choice|system|"
    "thinking|budget_tokens|max_tokens|stop|stream|response_format|choices|message|usage|output|error|summary|call_id"
)
WORD = (
    "user|assistant|system|tool|text|image_url|function|message|reasoning|function_call|response|tool_use|tool_result|"
    "thinking|enabled|json_schema|output_text|completed|incomplete|custom|namespace|input_image|document|file"
)
FIELDS = st.from_regex(FIELD, fullmatch=True)
WORDS = st.from_regex(WORD, fullmatch=True)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=5), inner, max_size=6),
    max_leaves=20,
)
bodies = (
    st.binary(max_size=60)
    | junk.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(FIELDS, junk, max_size=8).map(lambda value: json.dumps(value).encode())
)


def ends(translate_it):
    """The status it ends in: 200, or that of an error of ours. Any other error is a bug and fails the test."""
    try:
        translate_it()
    except SidecarError as error:
        return error.status
    return 200


@given(body=bodies)
@settings(max_examples=EXAMPLES)
def test_no_body_of_a_request_is_more_than_an_error_of_ours(body):
    for source, target in PAIRS:
        note(f"{source} -> {target}")
        assert ends(lambda s=source, t=target: translate.request(s, t, body, model="m")) in {200, 400}


@given(body=bodies)
@settings(max_examples=EXAMPLES)
def test_no_body_of_an_answer_is_more_than_an_error_of_ours(body):
    for source, target in PAIRS:
        note(f"{source} -> {target}")
        assert ends(lambda s=source, t=target: translate.answer(s, t, body, model="m", ids=IDS)) in {200, 502}


@given(body=bodies, status=st.integers(400, 599))
@settings(max_examples=EXAMPLES)
def test_every_body_of_an_error_becomes_one_of_the_clients_shape(body, status):
    for target in Format:
        note(str(target))
        said = json.loads(translate.error(Format.CHAT, target, status, body))
        assert isinstance(said["error"]["message"], str)
        assert said["error"]["message"]
        assert isinstance(said["error"]["type"], str)


@st.composite
def damaged(draw):
    """A good request with one place in it replaced by anything."""
    form = draw(st.sampled_from(list(Format)))
    body = json.loads(json.dumps(WRITE[form](draw(asks()), Recipient(MODELS[form], 8192, asks_usage=True), Notes())))
    inner = body
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = draw(st.sampled_from(keys))
        if not inner[key] or not isinstance(inner[key], dict | list) or draw(st.booleans()):
            inner[key] = draw(junk)
            return form, json.dumps(body).encode()
        inner = inner[key]


@given(given_body=damaged(), target=st.sampled_from(list(Format)))
def test_a_good_request_with_one_bad_place_is_no_more_than_an_error_of_ours(given_body, target):
    form, body = given_body
    assert ends(lambda: translate.request(form, target, body, model="claude-opus-5-5")) in {200, 400}


HELLO = b'"messages":[{"role":"user","content":"x"}]'
WITH_SCHEMA = {
    Format.CHAT: b"{" + HELLO + b',"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]}',
    Format.MESSAGES: b"{" + HELLO + b',"tools":[{"name":"f","input_schema":%s}]}',
    Format.RESPONSES: b'{"input":"x","tools":[{"type":"function","name":"f","parameters":%s}]}',
}


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("depth", [10, 300, 900, 5000, 200_000])
def test_depth_is_an_error_or_carried(source, target, depth):
    schema = b'{"a":' * depth + b"1" + b"}" * depth
    status = ends(lambda: translate.request(source, target, WITH_SCHEMA[source] % schema, model="m"))
    assert status == (200 if depth < 100 else status)
    assert status in {200, 400}


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_half_an_emoji_goes_out_as_the_escape_it_came_in_as(source, target):
    body = b'{"messages":[{"role":"user","content":"a\\ud83d"}],"input":"a\\ud83d"}'
    assert b'"a\\ud83d"' in translate.request(source, target, body, model="m").body


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_number_of_any_size_is_carried_and_one_out_of_range_is_the_clients_fault(source, target):
    body = WITH_SCHEMA[source].replace(b"%s", b'{"maximum":%s}')
    huge = b"9" * 400
    assert huge in translate.request(source, target, body % huge, model="m").body
    with pytest.raises(SidecarError) as refused:
        translate.request(source, target, body % b"1e999", model="m")
    assert refused.value.status == 400

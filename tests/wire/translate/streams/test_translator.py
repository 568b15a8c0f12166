"""Provider's bytes in, client's bytes out: however they are cut, whatever they are, and however they end."""

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.translate.streams.recorded import (
    RECORDINGS,
    WHOLE,
    events,
    format_of,
    name,
    recording,
    translate,
    translator,
)

from sidecar.errors import UpstreamTimeout
from sidecar.wire.formats import Format
from sidecar.wire.translate.neutral import Usage

FORMATS = st.sampled_from(Format)
PAIRS = [(path, target) for path in RECORDINGS for target in Format]
SPARKS = st.sampled_from(
    [
        b"data: ",
        b"event: ",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"{}",
        b"[]",
        b"null",
        b'"',
        b"\xff",
        b"1e999",
        b"{",
        b"[" * 2000,
        b"\\ud83d",
    ]
)


@settings(max_examples=150)
@given(st.sampled_from(PAIRS), st.data())
def test_any_split_gives_the_same_bytes(pair, data):
    path, target = pair
    recorded, source = path.read_bytes(), format_of(path)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(recorded)), max_size=12)))
    through = translator(source, target)
    ends = [*cuts, len(recorded)]
    chunks = [recorded[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    assert b"".join(map(through.feed, chunks)) + through.finish() == translate(recorded, source, target)


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_byte_by_byte_and_with_other_line_ends_gives_the_same_bytes(path, target):
    recorded, source = path.read_bytes(), format_of(path)
    whole = translate(recorded, source, target)
    for ends in (b"\n", b"\r\n", b"\r"):
        assert translate(recorded.replace(b"\n", ends), source, target, size=1) == whole


@settings(max_examples=150)
@given(FORMATS, FORMATS, st.lists(st.binary() | SPARKS))
def test_arbitrary_bytes_never_raise(source, target, chunks):
    through = translator(source, target)
    out = b"".join(map(through.feed, chunks)) + through.finish()
    assert through.complete or events(out)[-1][0] in ("error", "response.failed") or b'"error"' in out


@settings(max_examples=200)
@given(st.sampled_from(PAIRS), st.data())
def test_a_damaged_recording_never_raises(pair, data):
    path, target = pair
    recorded = path.read_bytes()
    start = data.draw(st.integers(0, len(recorded)))
    end = data.draw(st.integers(start, min(len(recorded), start + 40)))
    damaged = recorded[:start] + data.draw(SPARKS) + recorded[end:]
    through = translator(format_of(path), target)
    out = through.feed(damaged) + through.finish()
    assert through.complete or through.error is not None
    assert through.complete or b'"error"' in out


def _wrong(value):
    """Every value of the event replaced, one at a time, by one of another type."""
    if isinstance(value, dict):
        for key in value:
            yield from ({**value, key: changed} for changed in _wrong(value[key]))
    elif isinstance(value, list):
        for place in range(len(value)):
            yield from ([*value[:place], changed, *value[place + 1 :]] for changed in _wrong(value[place]))
    yield from (None, 7, "x", [], {}, [[]], -1.5)


@pytest.mark.parametrize(
    "stem", ["chat.tools", "messages.thinking", "messages.tools", "responses.tools", "responses.reasoning"]
)
def test_values_of_another_type_never_raise(stem):
    source = Format[stem.split(".")[0].upper()]
    blocks = recording(stem).split(b"\n\n")
    for place, block in enumerate(blocks):
        head, found, data = block.partition(b"data: ")
        if not found or data == b"[DONE]":
            continue
        for changed in _wrong(json.loads(data)):
            damaged = b"\n\n".join([*blocks[:place], head + found + json.dumps(changed).encode(), *blocks[place + 1 :]])
            through = translator(source, Format.RESPONSES)
            through.feed(damaged)
            through.finish()
            assert through.complete or through.error is not None


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_cut_anywhere_an_answer_never_ends_cleanly(path, target):
    """Unless the provider had said why the model stopped: the rest was bookkeeping."""
    recorded = path.read_bytes()
    last_words = [
        b'"finish_reason":"',
        b'"finish_reason": "',
        b'"stop_reason":"',
        b'"response.completed"',
        b'"response.incomplete"',
    ]
    stopped = min(place for word in last_words if (place := recorded.find(word)) >= 0)
    for size in range(0, stopped, 37):
        through = translator(format_of(path), target)
        out = through.feed(recorded[:size]) + through.finish()
        assert not through.complete
        assert through.error.code == "upstream_reset"
        assert b"data: [DONE]" not in out
        assert b"message_stop" not in out
        assert b"response.completed" not in out


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_translator_says_what_the_answer_cost(path):
    through = translator(format_of(path), Format.MESSAGES)
    through.feed(path.read_bytes())
    through.finish()
    assert through.complete
    assert through.usage is None or through.usage.output > 0


def test_cached_tokens_are_part_of_the_input():
    for stem, usage in {
        "messages.text": Usage(2032, 14, 1920, 100),
        "chat.text": Usage(2048, 9, 1920),
        "responses.text": Usage(2048, 11, 1920),
        "chat.thinking_deepseek": Usage(17, 40, 8, 0, 30),
    }.items():
        through = translator(Format[stem.split(".")[0].upper()], Format.CHAT)
        through.feed(recording(stem))
        assert through.usage == usage


def test_in_messages_cached_tokens_are_not_part_of_the_input():
    delta = events(translate(recording("chat.text"), Format.CHAT, Format.MESSAGES))[-2][1]
    assert delta["usage"] == {
        "input_tokens": 128,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 1920,
        "output_tokens": 9,
    }


def test_what_the_provider_counted_before_it_answered_is_told_at_the_start():
    start = events(translate(recording("messages.text"), Format.MESSAGES, Format.MESSAGES))[0][1]
    assert start["message"]["usage"]["cache_read_input_tokens"] == 1920


def test_when_a_provider_falls_silent_the_client_is_told_in_its_own_format():
    seen = {}
    for target in Format:
        through = translator(Format.CHAT, target)
        through.feed(recording("chat.truncated"))
        seen[target] = events(through.fail(UpstreamTimeout("openai sent nothing for 300 s")))[-1]
        assert not through.complete
        assert through.feed(b"data: [DONE]\n\n") == through.finish() == b""
    error = {
        "message": "openai sent nothing for 300 s",
        "type": "server_error",
        "param": None,
        "code": "upstream_timeout",
    }
    assert seen[Format.CHAT] == (None, {"error": error})
    error = {"type": "timeout_error", "message": "openai sent nothing for 300 s"}
    assert seen[Format.MESSAGES] == ("error", {"type": "error", "error": error})
    event, data = seen[Format.RESPONSES]
    assert event == data["type"] == "response.failed"
    assert data["response"]["status"] == "failed"
    assert data["response"]["error"] == {"code": "upstream_timeout", "message": "openai sent nothing for 300 s"}


def test_a_failure_before_the_first_event_is_told_too():
    for target in Format:
        assert (
            b"upstream_timeout" in translator(Format.CHAT, target).fail(UpstreamTimeout("late"))
            or target is Format.MESSAGES
        )


def test_after_the_end_a_failure_is_nobodys_business():
    through = translator(Format.CHAT, Format.MESSAGES)
    through.feed(recording("chat.text"))
    assert through.complete
    assert through.fail(UpstreamTimeout("late")) == b""


def test_a_stream_that_ends_without_its_last_blank_line_is_whole():
    for stem in ("chat.text", "messages.text", "responses.text"):
        through = translator(Format[stem.split(".")[0].upper()], Format.CHAT)
        through.feed(recording(stem).rstrip(b"\n"))
        through.finish()
        assert through.complete


def test_half_a_character_becomes_one_that_says_so():
    def chunk(text):
        return b'data: {"choices":[{"delta":{"content":"' + text + b'"}}]}\n\n'

    out = translate(
        chunk(rb"\ud83d") + chunk(rb"\\ud83d \ud83d\ude00") + chunk(b"\xff") + b"data: [DONE]\n\n",
        Format.CHAT,
        Format.MESSAGES,
    )
    texts = [data["delta"]["text"] for _, data in events(out) if data["type"] == "content_block_delta"]
    assert texts == ["�", "\\ud83d 😀", "�"]


def test_a_stream_of_fifty_thousand_chunks_is_told_in_linear_time():
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"token "}}]}\n\n'
    through = translator(Format.CHAT, Format.RESPONSES)
    size = sum(len(through.feed(chunk)) for _ in range(50_000)) + len(through.feed(b"data: [DONE]\n\n"))
    assert through.complete
    assert size > 50_000 * 100


def megabytes(count, delta):
    piece = b"x" * 1_000_000
    return [b'data: {"choices":[{"index":0,"delta":' + delta % piece + b"}]}\n\n"] * count


@pytest.mark.parametrize(
    ("delta", "target"),
    [
        (b'{"content":"%b"}', Format.RESPONSES),
        (b'{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"%b"}}]}', Format.CHAT),
    ],
)
def test_what_grows_beyond_all_bounds_breaks_off(delta, target):
    through = translator(Format.CHAT, target)
    for chunk in megabytes(70, delta):
        through.feed(chunk)
    assert "more than" in through.error.message


def test_what_need_not_be_kept_is_not_kept():
    through = translator(Format.CHAT, Format.MESSAGES)
    [chunk] = megabytes(1, b'{"content":"%b"}')
    through.feed(chunk)
    tracemalloc.start()
    for _ in range(100):
        through.feed(chunk)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000
    assert through.error is None


def test_hosted_tools_of_any_shape_are_ignored():
    item = b'{"type":"response.output_item.done","output_index":0,"item":{"type":"tool_search_call","arguments":{},"content":7}}'
    through = translator(Format.RESPONSES, Format.CHAT)
    through.feed(b"data: " + item + b"\n\n")
    assert through.error is None


def test_calls_that_share_an_id_get_their_own():
    """The openai SDK refuses a Response in which two calls have one id."""
    call = b'{"index":%d,"id":"same","function":{"name":"f","arguments":"{}"}}'
    stream = b'data: {"choices":[{"delta":{"tool_calls":[' + call % 0 + b"," + call % 1 + b"]}}]}\n\ndata: [DONE]\n\n"
    output = events(translate(stream, Format.CHAT, Format.RESPONSES))[-1][1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["same", "call_42_1"]


def test_text_between_calls_keeps_its_place():
    chunks = [
        b'{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}',
        b'{"content":"and"}',
        b'{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}',
    ]
    stream = b"".join(b'data: {"choices":[{"delta":' + chunk + b"}]}\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    blocks = [
        data["content_block"]
        for _, data in events(translate(stream, Format.CHAT, Format.MESSAGES))
        if "content_block" in data
    ]
    assert [block.get("name", "text") for block in blocks] == ["f", "text", "g"]


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize(
    "value", [b"1e999", b"123456789012345678901234567890", b"-0.10", rb'"\ud83d"', b'"\xff"', b'{"a":[1,null]}']
)
@pytest.mark.parametrize("tool", [b"f", b"f__custom", b"s__ns__f"])
def test_arguments_of_any_json_arrive(target, value, tool):
    whole = b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"%b","arguments":{"input":%b}}}]}}]}' % (
        tool,
        value,
    )
    block = b'{"type":"tool_use","id":"a","name":"%b","input":{"input":%b}}' % (tool, value)
    piece = json.dumps('{"input":' + value.decode(errors="replace") + "}").encode()
    pieces = b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"%b","arguments":%b}}]}}]}' % (tool, piece)
    for source, stream in (
        (Format.CHAT, b"data: " + whole + b"\n\ndata: [DONE]\n\n"),
        (Format.CHAT, b"data: " + pieces + b"\n\ndata: [DONE]\n\n"),
        (
            Format.MESSAGES,
            b'data: {"type":"content_block_start","content_block":' + block + b'}\n\ndata: {"type":"message_stop"}\n\n',
        ),
    ):
        through = translator(source, target)
        out = through.feed(stream)
        assert through.complete
        assert out.decode()


FIRST = {Format.CHAT: None, Format.MESSAGES: "message_start", Format.RESPONSES: "response.created"}


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_a_stream_without_its_first_event_is_told_from_its_beginning(path, target):
    _, _, rest = path.read_bytes().partition(b"\n\n")
    assert events(translate(rest, format_of(path), target))[0][0] == FIRST[target]

"""What a passing stream says about itself, under any cut; and the one event that is taken out of it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire.translate.streams.recorded import RECORDINGS, WHOLE, format_of, name, recording, translator

from sidecar.wire.account import Account
from sidecar.wire.formats import Format
from sidecar.wire.translate.neutral import Usage
from sidecar.wire.translate.streams.tap import UsageTap

ENDS = (b"\n", b"\r\n", b"\r")
NO_END = ("chat.no_done", *(path.stem for path in RECORDINGS if path not in WHOLE and path.stem != "responses.failed"))


def tapped(form, chunks):
    tap = UsageTap(form)
    for chunk in chunks:
        tap.feed(chunk)
    return tap


def seen(tap):
    return tap.account, tap.failed


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_a_tap_finds_what_a_translator_finds(path):
    through = translator(format_of(path), Format.CHAT)
    through.feed(path.read_bytes())
    tap = tapped(format_of(path), [path.read_bytes()])
    assert tap.usage == through.usage or not through.complete
    assert tap.complete == (path.stem not in NO_END)
    assert tap.failed == ("error" in path.stem or "failed" in path.stem)


@settings(max_examples=300)
@given(st.sampled_from(RECORDINGS), st.sampled_from(ENDS), st.data())
def test_a_tap_does_not_mind_the_cut(path, end, data):
    stream, form = path.read_bytes().replace(b"\n", end), format_of(path)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert seen(tapped(form, chunks)) == seen(tapped(form, [path.read_bytes()]))


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_event_by_event_and_byte_by_byte_are_the_same(path):
    stream, form = path.read_bytes(), format_of(path)
    events = [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]
    bytewise = [stream[place : place + 1] for place in range(len(stream))]
    assert seen(tapped(form, events)) == seen(tapped(form, bytewise)) == seen(tapped(form, [stream]))


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("chat.tools", "tool_calls"),
        ("chat.tools_vllm", "tool_calls"),
        ("messages.length", "max_tokens"),
        ("responses.length", "incomplete"),
    ],
)
def test_a_tap_knows_why_the_model_stopped(stem, reason):
    assert tapped(Format[stem.split(".")[0].upper()], [recording(stem)]).finished_reason == reason


def test_words_of_the_format_inside_a_text_mean_nothing():
    tap = tapped(Format.CHAT, [recording("chat.text_then_tool").partition(b"data: [DONE]")[0]])
    assert not tap.complete
    text = (
        rb'data: {"choices":[{"index":0,"delta":{"content":"[DONE] \"usage\":{\"prompt_tokens\":1} \"error\""}}]}'
        b"\n\n"
    )
    assert seen(tapped(Format.CHAT, [text])) == (Account(complete=False), False)


def test_a_tap_and_a_translator_tell_the_same_account():
    for path in WHOLE:
        through = translator(format_of(path), Format.CHAT)
        through.feed(path.read_bytes())
        account = tapped(format_of(path), [path.read_bytes()]).account
        assert through.account == account


@pytest.mark.parametrize(
    ("stem", "model"),
    [
        ("chat.text", "gpt-4o-mini-2024-07-18"),
        ("chat.azure", "gpt-4o-mini-2024-07-18"),
        ("messages.length", "claude-sonnet-4-5-20250929"),
        ("responses.length", "gpt-5-mini-2025-08-07"),
    ],
)
def test_a_tap_knows_the_model_by_the_name_the_provider_gives_it(stem, model):
    assert tapped(Format[stem.split(".")[0].upper()], [recording(stem)]).model == model


def test_moonshot_tells_the_cost_within_the_last_choice():
    last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 7}}]}
    tap = tapped(
        Format.CHAT,
        [recording("chat.text").partition(b"\n\n")[0] + b"\n\n", b"data: %b\n\n" % json.dumps(last).encode()],
    )
    assert tap.usage == Usage(7)


@pytest.mark.parametrize("odd", [{"finish_reason": 1}, {"finish_reason": "stop", "usage": "x"}, "x", None])
@pytest.mark.parametrize("first", [b"", b'data: {"choices":[],"model":"m"}\n\n'])
def test_odd_choices_do_not_hide_what_follows(odd, first):
    event = b"data: %b\n\n" % json.dumps({"choices": [odd]}).encode()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7}}\n\n'
    assert tapped(Format.CHAT, [first, event, usage]).usage == Usage(7)


def test_a_tools_schema_that_speaks_of_usage_is_no_usage():
    assert tapped(Format.RESPONSES, [recording("responses.tools")]).usage == Usage(113, 60, 0, 0, 20)


@given(
    st.sampled_from(Format),
    st.lists(
        st.binary()
        | st.sampled_from([b"data: ", b'{"usage":', b"[]}", b'"error"', b"\n\n", b'{"usage":{"prompt_tokens":-1}}'])
    ),
)
def test_a_tap_never_raises(form, chunks):
    tapped(form, chunks)


def test_an_event_beyond_the_bound_blinds_the_tap_and_nothing_else():
    tap = tapped(Format.CHAT, [b"data: " + b"x" * 1_000_000] * 9)
    tap.feed(b"\n\n" + recording("chat.text"))
    assert tap.usage is None
    assert not tap.complete

"""More of a text that runs takes a short way, which gives what the long one gives, and leaves everything as it does."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.translate.streams.recorded import RECORDINGS, format_of, name

from sidecar.wire.answer import encode
from sidecar.wire.formats import Format
from sidecar.wire.sse import BrokenStream, EventParser, event_bytes
from sidecar.wire.translate.neutral import Ids
from sidecar.wire.translate.streams.events import TextDelta, ThinkingDelta
from sidecar.wire.translate.streams.tap import UsageTap
from sidecar.wire.translate.streams.translator import READERS, StreamTranslator
from sidecar.wire.translate.streams.write_chat import ChatWriter
from sidecar.wire.translate.streams.write_messages import MessagesWriter
from sidecar.wire.translate.streams.write_responses import MAX_ANSWER_BYTES, ResponsesWriter

IDS = Ids("suffix", 1)
WRITERS = {
    Format.CHAT: lambda: ChatWriter('m\0"', IDS, include_usage=True),
    Format.MESSAGES: lambda: MessagesWriter("m", IDS),
    Format.RESPONSES: lambda: ResponsesWriter("m", IDS),
}


def read_both_ways(form, found):
    """What is read by the long way alone; by the short one where it goes; how often it went."""
    long, short, runs = READERS[form]("s"), READERS[form]("s"), 0
    for event in found:
        try:
            meant = list(long.read(event))
        except BrokenStream:
            meant = None
        text = short.running(event.data)
        if text is not None:
            assert meant == [TextDelta(text)]
            runs += 1
        else:
            try:
                assert list(short.read(event)) == meant
            except BrokenStream:
                assert meant is None
        assert short.usage == long.usage
    assert list(short.finish()) == list(long.finish())
    return runs


def found_in(stream):
    parser = EventParser()
    return [*parser.feed(stream), *parser.close()]


@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_a_recording_is_read_alike_both_ways(path):
    read_both_ways(format_of(path), found_in(path.read_bytes()))


def chat(choices=({},), **said):
    return {"choices": [{"index": 0, **choice} for choice in choices], **said}


def delta(kind="text_delta", index=0, **said):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **said}}


def spoken(text="a", item=0, place=0, kind="response.output_text.delta", **said):
    return {"type": kind, "output_index": item, "content_index": place, "delta": text, **said}


MIXED = {
    Format.CHAT: [
        chat([{"delta": {"content": "a"}}]),
        chat([{"delta": {"content": "\0\ud83d\ude00"}}], usage=None, error=None),
        chat([{"delta": {"content": ""}}]),
        chat([{"delta": {"content": None, "reasoning_content": "t"}}]),
        chat([{"delta": {"content": "a", "reasoning": "t"}}]),
        chat([{"delta": {"content": "a", "refusal": "no"}}]),
        chat([{"delta": {"content": ["no text"]}}]),
        chat([{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}}]),
        chat([{"delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]),
        chat([{"index": 1, "delta": {"content": "b"}}]),
        chat([{"delta": {"content": "a"}, "finish_reason": "stop"}]),
        chat([{"delta": {"content": "a"}}], usage={"prompt_tokens": 1, "completion_tokens": 2}),
        chat([], usage={"prompt_tokens": 1, "completion_tokens": 3}),
        chat([{}]),
        chat([{"delta": {"content": "a"}}], error={"message": "no"}),
    ],
    Format.MESSAGES: [
        {"type": "message_start", "message": {"usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c", "name": "f"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_stop", "index": 1},
        delta(text="a"), delta(text="a"), delta(text=""), delta(index=1, text="b"), delta("thinking_delta", thinking="t"),
        delta("input_json_delta", 1, partial_json="{}"), delta("text_delta", thinking="t"),
        {"type": "ping"}, {**delta(text="a"), "error": {"message": "no"}}, {"index": 0, "delta": {"text": "a"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    ],
    Format.RESPONSES: [
        {"type": "response.created", "response": {}},
        spoken(), spoken("b"), spoken(""), spoken(7), spoken(place=1), spoken(item=1), spoken(error={"a": 1}),
        spoken(kind="response.refusal.delta"), spoken(kind="response.reasoning_text.delta"), spoken(response={}),
        {"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "content": []}},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "name": "f"}},
    ],
}  # fmt: skip


@given(st.sampled_from(Format), st.data())
def test_whatever_comes_between_it_is_read_alike_both_ways(form, data):
    said = data.draw(st.lists(st.sampled_from(MIXED[form]), max_size=25))
    read_both_ways(form, found_in(b"".join(event_bytes(json.dumps(each).encode()) for each in said)))


@pytest.mark.parametrize(
    ("form", "opening", "more"),
    [
        (Format.CHAT, [chat([{"delta": {"content": "a"}}])], chat([{"delta": {"content": "b"}}])),
        (Format.MESSAGES, [delta(text="a")], delta(text="b")),
        (Format.RESPONSES, [spoken()], spoken("b")),
    ],
)
def test_the_short_way_is_taken(form, opening, more):
    said = [*opening, more, more]
    assert read_both_ways(form, found_in(b"".join(event_bytes(json.dumps(each).encode()) for each in said))) == 2


@pytest.mark.parametrize("form", Format)
@given(
    before=st.lists(st.sampled_from([ThinkingDelta("t"), TextDelta("a")]), max_size=2),
    texts=st.lists(st.text('aé"\0\n', min_size=1)),
)
def test_more_text_is_written_alike_both_ways(form, before, texts):
    long, short = WRITERS[form](), WRITERS[form]()
    for event in before:
        assert long.write(event) == short.write(event)
    for text in texts:
        assert long.write(TextDelta(text)) == short.more(text, encode(text))


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize("path", RECORDINGS, ids=name)
def test_an_account_is_what_a_tap_of_its_own_reads(path, target):
    recorded, source = path.read_bytes(), format_of(path)
    tap = UsageTap(source)
    tap.feed(recorded)
    through = StreamTranslator(source, target, model="m", ids=IDS, include_usage=True)
    for at in range(0, len(recorded), 7):
        through.feed(recorded[at : at + 7])
    told = through.account
    assert (told.finish, told.response_model, told.complete) == (
        tap.account.finish,
        tap.account.response_model,
        tap.account.complete,
    )
    assert told.usage in (through.usage, tap.usage)


def chat_text(text, **said):
    return event_bytes(json.dumps(chat([{"delta": {"content": text}, "finish_reason": None}], id="c", **said)).encode())


def messages_text(text, index=0, blanks=0):
    said = json.dumps(delta(text=text, index=index))
    return event_bytes(b"%b%b}" % (said[:-1].encode(), b" " * blanks), "content_block_delta")


def made_of(*events):
    return [event_bytes(json.dumps(event).encode()) for event in events]


TEXTS = st.text('a é\u2028"\\\0\n}', max_size=4)
COMING = {
    Format.CHAT: st.one_of(
        st.builds(chat_text, TEXTS),
        st.builds(chat_text, TEXTS),
        st.builds(chat_text, TEXTS, obfuscation=st.text("aZ3", max_size=3)),
        st.sampled_from(
            [
                *made_of(*MIXED[Format.CHAT]),
                chat_text("a").replace(b'"a"', b'"a","content":"b"'),
                chat_text("a").replace(b'"a"', b'"\\ud83d"'),
                chat_text("a").replace(b'"a"', b'"\xff"'),
                chat_text("a").replace(b'"a"', b'"a'),
                chat_text("a").replace(b"\n\n", b"\r\n\r\n"),
                b": comment\n\n",
                b"\n",
                b"data: [DONE]\n\n",
            ]
        ),
    ),
    Format.MESSAGES: st.one_of(
        st.builds(messages_text, TEXTS),
        st.builds(messages_text, TEXTS),
        st.builds(messages_text, TEXTS, index=st.integers(0, 1), blanks=st.integers(0, 3)),
        st.sampled_from([*made_of(*MIXED[Format.MESSAGES]), *made_of({"type": "ping"}, {"type": "message_stop"})]),
    ),
    Format.RESPONSES: st.sampled_from(made_of(*MIXED[Format.RESPONSES])),
}


def through(source, target):
    return StreamTranslator(source, target, model='m"%', ids=IDS, include_usage=True)


@given(st.sampled_from(Format), st.sampled_from(Format), st.data())
def test_events_at_a_glance_in_runs_and_byte_by_byte_are_translated_to_the_same_bytes(source, target, data):
    events = data.draw(st.lists(COMING[source], max_size=20))
    stream = b"".join(events)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=4))
    edges = [0, *sorted(cuts), len(stream)]
    ways = {
        "bytes": [stream[at : at + 1] for at in range(len(stream))],
        "events": events,
        "cut": [stream[start:end] for start, end in pairwise(edges)],
        "at once": [stream],
    }
    found = {}
    for way, chunks in ways.items():
        translator = through(source, target)
        out = b"".join(map(translator.feed, chunks)) + translator.finish()
        found[way] = out, translator.account, translator.complete, translator.error
    assert found["events"] == found["cut"] == found["at once"] == found["bytes"]


@pytest.mark.parametrize("target", Format)
@pytest.mark.parametrize(("source", "text"), [(Format.CHAT, chat_text), (Format.MESSAGES, messages_text)])
def test_the_third_event_of_a_text_is_translated_at_a_glance(source, text, target):
    translator = through(source, target)
    for said in "ab":
        assert translator.glance(text(said)) is None
        translator.feed(text(said))
    other = through(source, target)
    for said in "ab":
        other.feed(text(said))
    told = translator.glance(text('c\n"é'))
    assert told
    assert told == b"".join(other.feed(text('c\n"é')[at : at + 1]) for at in range(len(text('c\n"é'))))
    assert translator.glance(text("")) is None
    translator.feed(b": half a comment")
    assert translator.glance(text("d")) is None


def test_an_event_that_ends_the_answer_is_none_to_glance_at():
    translator = through(Format.CHAT, Format.RESPONSES)
    for said in "ab":
        translator.feed(chat_text(said))
    large = chat_text("c" * MAX_ANSWER_BYTES)
    assert (translator.glance(large), translator.ended) == (None, False)
    assert b"response.failed" in translator.feed(large)
    assert translator.ended

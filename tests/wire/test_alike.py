"""What is told by comparing bytes is what reading each event would have told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.alike import MOST_LESSONS, Alike


def event(text, *, key="content", more="", fill=None):
    filling = "" if fill is None else f',"obfuscation":"{fill}"'
    return f'data: {{"id":"c"{more},"choices":[{{"delta":{{"{key}":{json.dumps(text)}}}}}]{filling}}}\n\n'.encode()


def padded(text, blanks=0):
    told = f'data: {{"type":"d","delta":{{"type":"text_delta","text":{json.dumps(text)}}}'
    return f"{told}{' ' * blanks}}}\n\n".encode()


@pytest.fixture
def alike():
    made = Alike("content", "arguments")
    made.learn(event("a"))
    return made


@given(st.text())
def test_an_event_with_another_text_is_alike_and_gives_it(text):
    alike = Alike("content")
    alike.learn(event("a"))
    assert alike.read(event(text)) == (text, json.dumps(text).encode())
    assert alike.read(event(text).replace(b"delta", b"Delta", 1)) is None or b"delta" in text.encode()


@pytest.mark.parametrize(
    "other",
    [
        event("a", more=',"usage":{}'),
        event("a")[:-1],
        event("a").replace(b'"a"', b'"a","x":"b"'),
        event("a").replace(b'"a"', b"null"),
        event("a").replace(b'"a"', b'"a\n"'),
        event("a").replace(b'"a"', b'"a\r"'),
        event("a").replace(b'"a"', b'"\xff"'),
        event("a").replace(b'"a"', b'"\\ud800"'),
        event("a").replace(b'"a"', b'"'),
        event("a").replace(b'"a"', b'"a" '),
        b"",
        b"\0",
    ],
)
def test_what_differs_in_anything_else_is_not_alike(alike, other):
    assert alike.read(event("b")) is not None
    assert alike.read(other) is None
    assert alike.run(other) is None


@pytest.mark.parametrize(
    "lesson",
    [
        b"\0",
        b"data: [DONE]\n\n",
        event(""),
        event("a", more=',"content":"b"'),
        event("a", more=',"\\u0063ontent":"b"'),
        event("a").replace(b"\n\n", b"\r\n\r\n"),
    ],
)
def test_from_what_could_be_mistaken_nothing_is_learnt(alike, lesson):
    alike.learn(lesson)
    assert alike.run(b"\0a\0") is None
    assert (alike.read(lesson), alike.read(event("b")), alike.read(b"\0"), alike.run(b"\0")) == (None,) * 4


@pytest.mark.parametrize("data", [b"\0", b"\0\0", b"\0a\0\n\n", b"\0\0\0"])
def test_before_the_first_lesson_nothing_is_alike(data):
    assert (Alike("content").read(data), Alike("content").run(data)) == (None, None)


def test_a_text_may_have_any_of_the_keys(alike):
    alike.learn(event('{"a', key="arguments"))
    assert alike.read(event('":1}', key="arguments")) == ('":1}', b'"\\":1}"')


@pytest.mark.parametrize("text", ["b", '"}', 'x","obfuscation":"y', "obfuscation"])
def test_filling_may_change_too_but_to_nothing_else(text):
    alike = Alike("content", "text")
    alike.learn(event("a", fill="xyz"))
    assert alike.read(event(text, fill="Ab3")) == (text, json.dumps(text).encode())
    assert alike.read(event(text, fill="")) is not None
    assert alike.read(event(text, fill='","usage":"')) is None
    alike.learn(padded("a", 3))
    assert [alike.read(padded(text, blanks))[0] for blanks in (0, 1, 9)] == [text] * 3
    assert alike.read(padded(text).replace(b"}\n\n", b"x}\n\n")) is None


@given(st.lists(st.text(), min_size=1), st.sampled_from([b"", b": ping\n\n", b"data: {}\n\n"]))
def test_a_run_gives_all_texts_and_ends_where_something_else_begins(texts, other):
    alike = Alike("content")
    alike.learn(event("a"))
    events = b"".join(map(event, texts))
    found, raws, end = alike.run(b"12345" + events + other, 5)
    assert (found, end) == (texts, 5 + len(events))
    assert [json.loads(b'"%b"' % raw) for raw in raws] == texts
    assert alike.run(other + events) is None or not other
    assert alike.run(events + other + events) is None or not other


def test_the_end_of_an_event_before_it_does_not_end_one(alike):
    assert alike.run(event("a") + event("b")[:-3], len(event("a"))) is None
    assert alike.run(event("a") + b"\n") == (["a"], [b"a"], len(event("a")))
    assert alike.read(event("a") + b"\n") is None


def test_a_text_that_only_looks_like_two_makes_no_run(alike):
    first, second = event("a").replace(b'"a"', b'"a","b"'), event("a").replace(b'"a"', b'"')
    assert alike.run(event("a") + first) is None
    assert alike.run(first + second + event("a")) is None


def test_where_no_two_events_are_alike_learning_ends():
    alike = Alike("content")
    for number in range(MOST_LESSONS):
        alike.learn(event("a", more=f',"n":{number}'))
    assert alike.read(event("b", more=f',"n":{MOST_LESSONS - 1}')) is not None
    alike.learn(event("a"))
    assert alike.read(event("b")) is None

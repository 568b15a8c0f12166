"""Requests that continue a response, at providers that keep no state."""

import json

import pytest

from sidecar.errors import RequestError
from sidecar.wire.state import chained, continued, remembered, remembered_from_events

ANSWER = {"id": "resp_1", "output": [{"type": "message", "role": "assistant", "content": []}], "status": "completed"}
FIRST = {"model": "m", "input": "Hello", "temperature": 1.0}


def body(**fields):
    return json.dumps(fields).encode()


def test_a_request_says_what_it_continues_and_whether_it_may_be_continued():
    assert chained(body(input="x")).previous is None
    assert chained(body(input="x", previous_response_id="resp_1")).previous == "resp_1"
    assert [chained(body(input="x", store=store)).stores for store in (True, None, False)] == [True, True, False]


def test_an_id_that_is_no_string_is_refused():
    with pytest.raises(RequestError) as refusal:
        chained(body(input="x", previous_response_id=4))
    assert refusal.value.param == "previous_response_id"


def test_a_continued_request_says_everything_again():
    left = remembered(body(**FIRST), body(**ANSWER))
    following = continued(body(model="m", input="Go on", previous_response_id="resp_1", n=1.0), left.items)
    assert json.loads(following) == {
        "model": "m",
        "n": 1.0,
        "input": [{"role": "user", "content": "Hello"}, *ANSWER["output"], {"role": "user", "content": "Go on"}],
    }


def test_a_chain_of_responses_grows_by_what_each_adds():
    first = remembered(body(**FIRST), body(**ANSWER))
    second = continued(body(input=[{"role": "user", "content": "2"}], previous_response_id="resp_1"), first.items)
    left = remembered(second, body(id="resp_2", output=[{"type": "reasoning"}]))
    assert left.response_id == "resp_2"
    assert [item.get("content", item.get("type")) for item in json.loads(b"[%b]" % left.items)] == [
        "Hello", [], "2", "reasoning",
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", [{}, {"input": None}, {"input": []}])
def test_a_request_without_new_input_continues_all_the_same(nothing):
    assert json.loads(continued(body(previous_response_id="r", **nothing), b'{"a":1}')) == {"input": [{"a": 1}]}


def test_a_stream_leaves_what_its_last_event_holds():
    event = b"event: response.completed\ndata: %b\n\n" % body(type="response.completed", response=ANSWER)
    assert remembered_from_events(body(**FIRST), b"event: x\ndata: {}\n\n" + event) == remembered(
        body(**FIRST), body(**ANSWER)
    )
    assert remembered_from_events(body(**FIRST), b"event: x\ndata: {}\n\n") is None

"""`previous_response_id` at a provider that keeps no state: remembered here, when the configuration says so."""

import json

from provider import CHAT_EVENTS, COMPLETION, END, EVENTS_HEAD, answers, before, chunk, entry, in_turn, sends

STREAM = sends(EVENTS_HEAD, *map(chunk, CHAT_EVENTS), END)


async def ask(sidecar, **body):
    async with sidecar.client.post("/v1/responses", json={"model": "auto", **body}) as answer:
        return answer.status, await answer.read()


def said(provider):
    """What the provider was told last, by whom."""
    return [(message["role"], message["content"]) for message in provider.last.json["messages"]]


def local(provider, **more):
    return before(entry(provider, "local/m"), **more), {"KEY": "k"}


async def test_a_response_is_continued_with_all_that_led_to_it(start, provider):
    sidecar = await start(*local(provider, responses_state="memory"))
    _, first = await ask(sidecar, input="Hello")
    status, second = await ask(sidecar, input="Go on", previous_response_id=json.loads(first)["id"])
    assert status == 200
    assert said(provider) == [("user", "Hello"), ("assistant", "Hi"), ("user", "Go on")]
    await ask(sidecar, input="And?", previous_response_id=json.loads(second)["id"])
    assert [text for _, text in said(provider)] == ["Hello", "Hi", "Go on", "Hi", "And?"]


async def test_a_streamed_response_is_continued_too(start, provider):
    provider.story = in_turn(STREAM, answers(COMPLETION))
    sidecar = await start(*local(provider, responses_state="memory"))
    _, events = await ask(sidecar, input="Hello", stream=True)
    completed = json.loads(events.rpartition(b"data: ")[2])
    await ask(sidecar, input="Go on", previous_response_id=completed["response"]["id"])
    assert said(provider) == [("user", "Hello"), ("assistant", "Hello"), ("user", "Go on")]


async def test_a_response_that_was_not_to_be_stored_or_never_was_is_not_found(start, provider):
    sidecar = await start(*local(provider, responses_state="memory"))
    _, first = await ask(sidecar, input="Hello", store=False)
    for unknown in (json.loads(first)["id"], "resp_never"):
        status, body = await ask(sidecar, input="Go on", previous_response_id=unknown)
        assert (status, json.loads(body)["error"]["code"]) == (400, "previous_response_not_found")


async def test_without_state_a_request_that_needs_it_is_refused(start, provider):
    sidecar = await start(*local(provider))
    status, body = await ask(sidecar, input="Go on", previous_response_id="resp_1")
    assert (status, json.loads(body)["error"]["code"]) == (400, "unsupported_field")

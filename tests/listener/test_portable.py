"""A failover to another provider takes along what that one can read, and is refused when that is not enough."""

from contextlib import AsyncExitStack

import pytest
from ports import free_port
from provider import COMPLETION, answers, head, sends, serving
from running import CODE

HI = {"role": "user", "content": CODE}
THOUGHT = {
    "role": "assistant",
    "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": "ok"}],
}
THOUGHTFUL = {"model": "auto", "max_tokens": 10, "messages": [HI, THOUGHT, HI]}
CONTINUED = {"model": "auto", "previous_response_id": "resp_1", "input": CODE}
BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
DOWN = answers(BUSY, status=529)


def config(first, second, kind, second_key="$SECOND"):
    return f"""
model_providers:
  - {{model: {kind}/first, base_url: '{first}', access_key: $FIRST, default: true}}
  - {{model: {kind}/second, base_url: '{second}', access_key: {second_key}}}
routing_preferences:
  - name: code_generation
    description: generating new code, writing functions, or creating boilerplate
    models: [{kind}/first, {kind}/second]
"""


@pytest.fixture
async def pair(start):
    """`await pair(kind)`: a sidecar before two providers, of which the first is busy."""
    async with AsyncExitStack() as stack:

        async def begin(kind, **more):
            first = await stack.enter_async_context(serving(DOWN))
            second = await stack.enter_async_context(serving(answers(b"{}")))
            keys = {"FIRST": "one", "SECOND": "two"}
            return await start(config(first.url, second.url, kind, **more), keys), first, second

        yield begin


async def post(sidecar, path, body):
    async with sidecar.client.post(path, json=body, headers={"x-session-id": "run-1"}) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_a_failover_leaves_signed_thinking_behind_and_counts_it(pair):
    sidecar, first, second = await pair("anthropic")
    status, _, headers = await post(sidecar, "/v1/messages", THOUGHTFUL)
    assert (status, headers["x-sidecar-attempts"], headers["x-sidecar-failover"]) == (200, "2", "server_error")
    assert first.last.json == THOUGHTFUL | {"model": "first"}
    assert second.last.json["messages"] == [HI, {"role": "assistant", "content": [{"type": "text", "text": "ok"}]}, HI]
    assert (await sidecar.metrics())['sidecar_history_parts_removed_total{kind="thinking"}'] == 1


async def test_a_failover_that_nothing_stands_in_the_way_of_takes_every_byte(pair):
    sidecar, first, second = await pair("anthropic")
    body = b'{ "max_tokens":1e1, "model" :"auto","messages":[{"role":"user","content":"Write a function"}]}'
    async with sidecar.client.post("/v1/messages", data=body) as answer:
        assert answer.status == 200
    assert (first.last.body, second.last.body) == (body.replace(b"auto", b"first"), body.replace(b"auto", b"second"))


async def test_what_another_provider_signed_in_between_does_not_go_back_to_the_first(pair):
    sidecar, first, second = await pair("anthropic")
    await post(sidecar, "/v1/messages", {"max_tokens": 10, "messages": [HI]})
    first.story = second.story
    status, _, headers = await post(sidecar, "/v1/messages", THOUGHTFUL)
    assert (status, headers["x-sidecar-pin"], headers["x-sidecar-attempts"]) == (200, "hit; source=x-session-id", "1")
    assert first.last.json["messages"][1]["content"] == [{"type": "text", "text": "ok"}]


async def test_where_the_other_candidate_has_the_same_account_everything_goes_along(start):
    async with serving(DOWN) as provider:
        sidecar = await start(config(provider.url, provider.url, "anthropic", "$FIRST"), {"FIRST": "one"})
        await post(sidecar, "/v1/messages", THOUGHTFUL)
    assert [request.json for request in provider.requests[:2]] == [
        THOUGHTFUL | {"model": "first"},
        THOUGHTFUL | {"model": "second"},
    ]


async def test_a_failover_that_would_lose_the_conversation_is_refused_and_the_first_failure_relayed(pair):
    sidecar, first, second = await pair("openai")
    status, body, headers = await post(sidecar, "/v1/responses", CONTINUED)
    assert (status, body, second.requests) == (529, BUSY, [])
    assert headers["x-sidecar-model"] == "openai/first"
    assert first.last.json == CONTINUED | {"model": "first"}
    metrics = await sidecar.metrics()
    assert metrics['sidecar_upstream_attempts_total{outcome="not_portable",provider="openai/second"}'] == 1


async def test_when_the_first_says_nothing_its_silence_is_what_is_told(start):
    nobody = f"http://127.0.0.1:{free_port()}"
    async with serving(answers(COMPLETION)) as second:
        keys = {"FIRST": "one", "SECOND": "two"}
        # Two, so that the first is not asked again, and last.
        sidecar = await start(config(nobody, second.url, "openai") + "routing: {max_attempts: 2}\n", keys)
        status, body, _ = await post(sidecar, "/v1/responses", CONTINUED)
    assert (status, second.requests) == (502, [])
    assert b"upstream_unreachable" in body


async def test_once_ejected_the_sessions_own_provider_is_still_asked_for_what_only_it_has(pair):
    sidecar, first, second = await pair("openai")
    for _ in range(6):  # ejected after five
        await post(sidecar, "/v1/responses", CONTINUED)
    first.story = answers(b'{"id":"resp_2"}')
    status, body, headers = await post(sidecar, "/v1/responses", CONTINUED)
    assert (status, body, headers["x-sidecar-model"]) == (200, b'{"id":"resp_2"}', "openai/first")
    assert second.requests == []


async def test_after_the_pin_moved_the_old_providers_thinking_stays_out(pair):
    sidecar, first, second = await pair("anthropic")
    first.story = sends(head(401, "No", "content-length: 0"))
    assert (await post(sidecar, "/v1/messages", THOUGHTFUL))[2]["x-sidecar-pin"].startswith("moved")
    _, _, headers = await post(sidecar, "/v1/messages", THOUGHTFUL)
    assert (headers["x-sidecar-model"], headers["x-sidecar-attempts"]) == ("anthropic/second", "1")
    assert "thinking" not in str(second.last.json)

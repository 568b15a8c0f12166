"""Traces from end to end: a client, a whole sidecar, a provider, and a receiver of OpenTelemetry spans."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
from attrs import evolve
from otlp import receiving
from provider import (
    CHAT_EVENTS,
    COMPLETION,
    KEYS,
    MESSAGES_EVENTS,
    answers,
    before,
    entry,
    hangs,
    refuses,
    serving,
    streams,
    then_cut,
)
from rawclient import connected, request
from running import CODE, chat, serve

from sidecar.config import read_text
from sidecar.telemetry.tracer import STOP_S

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-01"
UNSAMPLED = f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-00"
JSON = "content-type: application/json"
ROUTES = [
    {"name": "code", "description": "writing functions and generating new code", "models": ["openai/first"]},
    {"name": "essays", "description": "long essays about history and politics", "models": ["openai/first"]},
]


def post(*headers, target="/v1/chat/completions", **more):
    return request("POST", target, JSON, *headers, body=json.dumps(chat(**more)).encode())


@pytest.fixture
async def receiver():
    async with receiving() as double:
        yield double


def tracing(receiver, **more):
    return {"endpoint": getattr(receiver, "url", receiver), **more}


@asynccontextmanager
async def sidecar(*entries, **more):
    """Its port. At the end it has stopped, and every span is sent."""
    config = read_text(before(*entries, **more), "test.yaml", KEYS).config
    config = evolve(config, listener=evolve(config.listener, port=0), admin=evolve(config.admin, port=0))
    async with serve(config) as serving_now:
        yield serving_now.listener[1]


async def ask(port, sent):
    async with connected(port) as client:
        await client.send(sent)
        return await client.heard()


async def test_a_request_is_one_trace_from_its_client_to_its_provider(receiver, provider):
    async with sidecar(entry(provider), routing_preferences=ROUTES, tracing=tracing(receiver)) as port:
        await ask(port, post(SAMPLED, "tracestate: vendor=1", "x-session-id: run-1"))
    server, classify, attempt = (receiver.one(kind) for kind in ("server", "internal", "client"))
    assert (server.trace_id, server.parent_id) == (TRACE_ID, PARENT_ID)
    assert (classify.parent_id, attempt.parent_id) == (server.span_id, server.span_id)
    assert provider.last.all("traceparent") == [f"00-{TRACE_ID}-{attempt.span_id}-01"]
    assert provider.last.all("tracestate") == ["vendor=1"]
    assert server.start <= classify.start <= classify.end <= attempt.start <= attempt.end <= server.end
    assert server.start < server.end
    assert (server.name, attempt.name) == ("POST /v1/chat/completions", "chat first")
    assert (server.attributes["sidecar.pin"], server.attributes["sidecar.session.source"]) == ("miss", "x-session-id")
    assert classify.attributes["sidecar.classifier.outcome"] == "match"
    assert attempt.attributes["gen_ai.usage.input_tokens"] == 1


async def test_a_stream_is_told_when_it_is_over(receiver, provider):
    provider.story = streams(*CHAT_EVENTS)
    async with sidecar(entry(provider), tracing=tracing(receiver)) as port:
        await ask(port, post(SAMPLED, stream=True))
    attempt = receiver.one("client")
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert 0 < attempt.attributes["gen_ai.response.time_to_first_chunk"] <= (attempt.end - attempt.start) / 1e9


async def test_a_translated_stream_has_the_same_spans(receiver, provider):
    provider.story = streams(*MESSAGES_EVENTS)
    async with sidecar(entry(provider, "anthropic/first"), tracing=tracing(receiver)) as port:
        await ask(port, post(SAMPLED, stream=True))
    attempt = receiver.one("client")
    assert provider.last.one("traceparent") == f"00-{TRACE_ID}-{attempt.span_id}-01"
    assert attempt.attributes["gen_ai.provider.name"] == "anthropic"
    assert attempt.attributes["gen_ai.usage.output_tokens"] == 2


async def test_a_pinned_request_has_no_classifier_span_and_its_session_the_same_name_as_before(receiver, provider):
    async with sidecar(entry(provider), routing_preferences=ROUTES, tracing=tracing(receiver)) as port:
        for _ in range(2):
            await ask(port, post(SAMPLED, "x-session-id: run-1"))
    assert len(receiver.all("internal")) == 1
    first, second = receiver.all("server")
    assert (first.attributes["sidecar.pinned"], second.attributes["sidecar.pinned"]) == (False, True)
    assert first.attributes["gen_ai.conversation.id"] == second.attributes["gen_ai.conversation.id"] != "run-1"


async def test_a_failover_is_two_attempts_each_with_a_parent_of_its_own_for_its_provider(receiver, provider):
    async with serving(refuses(429, {"message": "slow down"})) as busy:
        routes = [{**ROUTES[0], "models": ["openai/first", "groq/second"]}, ROUTES[1]]
        both = (entry(busy), entry(provider, "groq/second"))
        async with sidecar(*both, routing_preferences=routes, tracing=tracing(receiver)) as port:
            await ask(port, post(SAMPLED))
    failed, answered = receiver.all("client")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "rate_limited")
    assert (answered.failed, answered.name) == (False, "chat second")
    assert failed.end <= answered.start
    for double, span in ((busy, failed), (provider, answered)):
        assert double.last.one("traceparent") == f"00-{TRACE_ID}-{span.span_id}-01"
    assert receiver.one("server").attributes["sidecar.failover"] == "rate_limited"


async def test_an_answer_that_breaks_off_is_an_error_on_both_sides(receiver, provider):
    provider.story = then_cut(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{")
    async with sidecar(entry(provider), tracing=tracing(receiver)) as port:
        await ask(port, post(SAMPLED))
    assert receiver.one("server").attributes["error.type"] == "upstream_reset"
    assert receiver.one("client").failed


async def test_a_client_that_hangs_up_leaves_its_spans(receiver, provider):
    provider.story = hangs
    async with sidecar(entry(provider), tracing=tracing(receiver)) as port:
        async with connected(port) as client:
            await client.send(post(SAMPLED))
            await asyncio.wait_for(provider.began.wait(), 5)
        await asyncio.wait_for(provider.gone.wait(), 5)
    assert receiver.one("server").attributes["http.response.status_code"] == 499
    assert receiver.one("client").attributes["sidecar.outcome"] == "abandoned"


async def test_a_decision_alone_and_a_forwarded_request_are_traced_too(receiver, provider):
    async with sidecar(entry(provider), routing_preferences=ROUTES, tracing=tracing(receiver)) as port:
        await ask(port, post(SAMPLED, target="/routing/v1/chat/completions"))
        await ask(port, post(SAMPLED, target="/v1/secret-batches/batch_4711"))
    decided, forwarded = receiver.all("server")
    assert (decided.name, forwarded.name) == ("POST /routing/v1/chat/completions", "POST /v1/*")
    assert b"4711" not in b"".join(receiver.bodies)
    assert receiver.one("client").parent_id == forwarded.span_id


@pytest.mark.parametrize(
    ("per_cent", "header", "spans"),
    [(100, None, True), (0, None, False), (100, UNSAMPLED, False), (0, SAMPLED, True)],
)
async def test_the_client_decides_what_is_sampled_and_else_the_ratio(receiver, provider, per_cent, header, spans):
    async with sidecar(entry(provider), tracing=tracing(receiver, random_sampling=per_cent)) as port:
        await ask(port, post(*([header] if header else [])))
    assert bool(receiver.spans) is spans
    sent_on = provider.last.one("traceparent")
    if header == UNSAMPLED:
        assert sent_on == UNSAMPLED.partition(" ")[2]
    else:
        assert sent_on.endswith("-01" if spans else "-00")


async def test_without_an_endpoint_traces_go_through_untouched(provider):
    async with sidecar(entry(provider), tracing={"random_sampling": 100}) as port:
        await ask(port, post(SAMPLED, "tracestate: vendor=1"))
        assert provider.last.all("traceparent") == [SAMPLED.partition(" ")[2]]
        assert provider.last.all("tracestate") == ["vendor=1"]
        await ask(port, post())
        assert provider.last.one("traceparent").endswith("-00")


async def test_neither_prompts_nor_keys_nor_sessions_reach_the_receiver(receiver, provider):
    canaries = {
        "prompt": "c4n4ry-prompt", "answer": "c4n4ry-answer", "session": "c4n4ry-session", "key": "c4n4ry-key",
        "query": "c4n4ry-query", "path": "c4n4ry-path", "error": "c4n4ry-error", "state": "c4n4ry-state",
    }  # fmt: skip
    carried = (
        SAMPLED, f"x-session-id: {canaries['session']}", f"authorization: Bearer {canaries['key']}",
        f"x-api-key: {canaries['key']}", f"cookie: a={canaries['key']}", f"tracestate: v={canaries['state']}",
    )  # fmt: skip
    stories = [
        answers(COMPLETION.replace(b"Hi", canaries["answer"].encode())),
        streams(*(event.replace(b"Hel", canaries["answer"].encode()) for event in CHAT_EVENTS)),
        refuses(400, {"message": canaries["error"]}),
        refuses(500, {"message": canaries["error"]}),
    ]
    settings = {"routing_preferences": ROUTES, "tracing": tracing(receiver)}
    async with sidecar(entry(provider), **settings) as port:
        for story in stories:
            provider.story = story
            for target in ("/v1/chat/completions", "/routing/v1/chat/completions", f"/v1/{canaries['path']}"):
                sent = post(*carried, target=f"{target}?{canaries['query']}=1", prompt=f"{CODE} {canaries['prompt']}")
                await ask(port, sent)
        await ask(port, post(*carried, target=f"/{canaries['path']}"))
    received = b"".join(receiver.bodies)
    assert len(receiver.all("server")) == 3 * len(stories) + 1
    assert not [name for name, canary in canaries.items() if canary.encode() in received]
    assert b"provider-key" not in received


async def test_a_receiver_that_hangs_slows_neither_requests_nor_the_stop_beyond_its_bound(receiver, provider):
    async def hang(_request):
        await asyncio.sleep(60)

    receiver.behave = hang
    async with sidecar(entry(provider), tracing=tracing(receiver, random_sampling=100)) as port:
        await ask(port, post())
        await asyncio.wait_for(receiver.asked.wait(), 10)
        async with asyncio.timeout(20):
            for _ in range(50):
                assert (await ask(port, post())).status == 200
        stopping = time.monotonic()
    assert time.monotonic() - stopping < STOP_S + 5

"""The same head again and again: what a provider gets is the same each time, from the first to the remembered."""

import json

import pytest
from provider import CHAT_EVENTS, COMPLETION, KEYS, answers, before, entry, streams
from rawclient import connected, request

ROUNDS = 5
"""The listener knows a head from its third time on, and what becomes of it is remembered from then on."""
OF_ONE_REQUEST = ("x-request-id", "traceparent", "content-length")
DIGESTS = ("content-digest: sha-256=:x:", "repr-digest: sha-256=:x:", "digest: sha-256=x", "content-md5: x")


def body(model="first", said="hi", **more):
    messages = [{"role": "user", "content": said}]
    return json.dumps({"model": model, "max_tokens": 9, "messages": messages, **more}).encode()


def chat(*headers, sent=None, target="/v1/chat/completions"):
    return request("POST", target, "content-type: application/json", *headers, body=sent or body())


async def asked(port, *requests):
    """All of them on one connection, one after the other."""
    async with connected(port) as client:
        for each in requests:
            await client.send(each)
            assert (await client.heard()).status == 200


def lasting(received):
    return [header for header in received.headers if header[0].lower() not in OF_ONE_REQUEST]


CLIENTS = (
    (),
    ("X-B: 1", "x-b: 2", "User-Agent: client/1.0", "x-stainless-lang: js"),
    ("Connection: keep-alive, X-Once", "x-once: 1", "x-sidecar-anything: 1", "cookie: a=b"),
    ("authorization: Bearer client", "x-api-key: client", "OpenAI-Organization: o", "Accept-Encoding: gzip"),
    ("tracestate: a=1", "anthropic-beta: x", "x-odd: caf\xe9", "x-empty:"),
)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("openai/first", "/v1/chat/completions"),
        ("anthropic/first", "/v1/messages"),
        ("groq/first", "/v1/messages"),  # translated
    ],
)
@pytest.mark.parametrize("passthrough_auth", [False, True])
async def test_a_provider_gets_the_same_headers_each_time(start, provider, model, target, passthrough_auth):
    sidecar = await start(before(entry(provider, model, passthrough_auth=passthrough_auth)), KEYS)
    provider.story = answers(COMPLETION)
    bodies = [body(said="x" * number) for number in range(1, ROUNDS + 1)]
    for headers in CLIENTS:
        provider.requests.clear()
        requests = [chat(f"x-session-id: s-{len(sent)}", *headers, sent=sent, target=target) for sent in bodies]
        await asked(sidecar.port, *requests)
        first, *others = map(lasting, provider.requests)
        assert others == [first] * (ROUNDS - 1)
        for received in provider.requests:
            assert [received.one("content-length"), len(received.all("x-request-id"))] == [str(len(received.body)), 1]
        for name in ("x-request-id", "traceparent"):
            assert len({received.one(name) for received in provider.requests}) == ROUNDS


async def test_clients_that_take_turns_are_each_sent_on_with_their_own_key(start, provider):
    sidecar = await start(before(entry(provider, passthrough_auth=True)), KEYS)
    keys = [f"client-{number}" for number in range(3)] * ROUNDS
    await asked(sidecar.port, *(chat(f"authorization: Bearer {key}") for key in keys))
    assert [received.all("authorization") for received in provider.requests] == [[f"Bearer {key}"] for key in keys]


async def test_what_is_true_of_one_body_is_not_said_of_another_under_the_same_head(start, provider):
    sidecar = await start(before(entry(provider), model_aliases={"second": {"target": "first"}}), KEYS)
    models = ["first", "second"] * ROUNDS
    await asked(sidecar.port, *(chat(*DIGESTS, sent=body(model)) for model in models))
    said = [sum(bool(received.all(line.partition(":")[0])) for line in DIGESTS) for received in provider.requests]
    assert said == [4, 0] * ROUNDS


async def test_only_a_stream_whose_usage_nobody_asked_for_is_asked_for_plain(start, provider):
    sidecar = await start(before(entry(provider)), KEYS)
    provider.story = streams(*CHAT_EVENTS)
    streamed = [True, False] * ROUNDS
    bodies = [body("openai/first", stream=stream) for stream in streamed]  # both are written anew, for the model's name
    await asked(sidecar.port, *(chat("accept-encoding: gzip", sent=sent) for sent in bodies))
    assert [received.all("accept-encoding") for received in provider.requests] == [["identity"], ["gzip"]] * ROUNDS


async def test_one_head_at_two_places_is_written_for_each(start, provider):
    sidecar = await start(before(entry(provider)), KEYS)
    targets = ["/v1/chat/completions", "/v1/chat/completions?a=b", "/v1/embeddings"] * ROUNDS
    await asked(sidecar.port, *(chat(target=target) for target in targets))
    assert [received.target for received in provider.requests] == targets

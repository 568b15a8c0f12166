"""What answers cost is known of each, and no client sees a byte of the trouble that was taken to know it."""

import asyncio
import gzip
import json

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider import (
    CHAT_EVENTS,
    COMPLETION,
    DONE,
    END,
    EVENTS_HEAD,
    KEYS,
    MESSAGES_EVENTS,
    RESPONSES_EVENTS,
    answers,
    before,
    chunk,
    delta,
    entry,
    event,
    head,
    sends,
    serving,
    streams,
    then_cut,
)
from rawclient import connected, request
from running import CODE, chat

from sidecar.errors import UpstreamError
from sidecar.listener.passage import Filtered
from sidecar.wire.formats import Format

USAGE = {"prompt_tokens": 70, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 50}}
EXTRA = event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE})
CHAT_WITH_USAGE = (*CHAT_EVENTS[:-1], EXTRA, DONE)
MESSAGES_USAGE = {"input_tokens": 20, "cache_read_input_tokens": 50, "output_tokens": 30}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": MESSAGES_USAGE,
}  # fmt: skip
RESPONSES_USAGE = {
    "input_tokens": 70, "output_tokens": 30, "total_tokens": 100, "input_tokens_details": {"cached_tokens": 50},
}  # fmt: skip
OUTPUT = [{"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}]  # fmt: skip
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": OUTPUT, "usage": RESPONSES_USAGE}  # fmt: skip
MESSAGES_STREAM = b"".join(MESSAGES_EVENTS).replace(
    b'"usage": {"output_tokens": 2}', b'"usage": ' + json.dumps(MESSAGES_USAGE).encode()
)
RESPONSES_STREAM = b"".join((*RESPONSES_EVENTS[:-1], event({"type": "response.completed", "response": RESPONSE}, "response.completed")))  # fmt: skip

ASKED = {
    "chat/completions": chat(),
    "messages": {"model": "first", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "first", "input": "x"},
}
TOLD = {
    # form: (model, whole answer, stream)
    "chat/completions": (
        "openai/first",
        COMPLETION.replace(b'"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}', b'"usage": ' + json.dumps(USAGE).encode()),
        b"".join(CHAT_WITH_USAGE),
    ),
    "messages": ("anthropic/first", json.dumps(MESSAGE).encode(), MESSAGES_STREAM),
    "responses": ("openai/first", json.dumps(RESPONSE).encode(), RESPONSES_STREAM),
}  # fmt: skip
JSON = "content-type: application/json"


def post(form="chat/completions", *headers, **more):
    return request("POST", f"/v1/{form}", JSON, *headers, body=json.dumps({**ASKED[form], **more}).encode())


def proxy(provider, model="openai/first", telemetry=None, **more):
    return before(entry(provider, model, **more), telemetry=telemetry or {})


def in_chunks(body, *headers, size=40, kind="text/event-stream"):
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return sends(
        head(200, "OK", f"content-type: {kind}", "transfer-encoding: chunked", *headers), *map(chunk, pieces), END
    )


async def spent(sidecar, count=1):
    """(prompt, of it cached, output) in tokens, once so many answers were counted."""
    for _ in range(2000):
        found = await sidecar.metrics()
        said = {name: value for name, value in found.items() if name.startswith("gen_ai_client_token_usage_")}
        if sum(value for name, value in said.items() if "_count{" in name and '"output"' in name) >= count:
            output = sum(value for name, value in said.items() if "_sum{" in name and '"output"' in name)
            prompt = await sidecar.total("sidecar_prompt_tokens_total")
            return prompt, await sidecar.total("sidecar_cached_prompt_tokens_total"), output
        await asyncio.sleep(0.005)
    return None


# Every format, every packing


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", TOLD)
async def test_what_an_answer_costs_is_counted(start, provider, ask, form, stream, packed):
    model, body, events = TOLD[form]
    body = events if stream else body
    headers = ("content-encoding: gzip",) if packed else ()
    kind = "text/event-stream" if stream else "application/json"
    provider.story = in_chunks(gzip.compress(body) if packed else body, *headers, kind=kind)
    sidecar = await start(proxy(provider, model), KEYS)
    options = {"stream_options": {"include_usage": True}} if stream and form == "chat/completions" else {}
    heard = await ask(sidecar.port, post(form, "accept-encoding: gzip", stream=stream, **options))
    assert heard.ending == "whole"
    assert (gzip.decompress(heard.body) if packed else heard.body) == body
    assert await spent(sidecar) == (70, 50, 30)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("form", "model"), [("chat/completions", "anthropic/first"), ("responses", "anthropic/first"), ("messages", "openai/first")]
)  # fmt: skip
async def test_what_a_translated_answer_costs_is_counted(start, provider, ask, form, model, stream):
    _, body, events = TOLD["messages" if model.startswith("anthropic") else "chat/completions"]
    provider.story = in_chunks(events) if stream else answers(body)
    sidecar = await start(proxy(provider, model), KEYS)
    assert (await ask(sidecar.port, post(form, stream=stream))).ending == "whole"
    assert await spent(sidecar) == (70, 50, 30)


async def test_what_embeddings_cost_is_counted(start, provider, ask):
    provider.story = answers(json.dumps({"data": [], "model": "m", "usage": {"prompt_tokens": 7}}).encode())
    sidecar = await start(proxy(provider), KEYS)
    await ask(sidecar.port, request("POST", "/v1/embeddings", JSON, body=b'{"model":"first","input":"x"}'))
    assert await spent(sidecar) == (7, 0, 0)


async def test_a_stream_that_breaks_off_costs_what_it_told(start, provider, ask):
    events = MESSAGES_STREAM.partition(b"event: content_block_stop")[0].replace(
        b'"input_tokens": 1,', b'"input_tokens": 11,'
    )
    provider.story = then_cut(EVENTS_HEAD, chunk(events))
    sidecar = await start(proxy(provider, "anthropic/first"), KEYS)
    heard = await ask(sidecar.port, post("messages", stream=True))
    assert heard.ending == "cut"
    assert await spent(sidecar) == (11, 0, 1)


async def test_an_answer_that_is_no_answer_costs_nothing_and_arrives(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    for body in (b"", b"{", b'{"usage": 1}', b'{"usage": {"prompt_tokens": "many"}}', b"[" * 5000):
        provider.story = answers(body)
        assert (await ask(sidecar.port, post())).body == body
    assert await sidecar.total("sidecar_prompt_tokens_total") == 0


@pytest.mark.parametrize("form", ["messages", "responses"])
async def test_mistral_which_refuses_to_be_asked_is_not_asked_when_translated_and_tells_all_the_same(
    start, provider, ask, form
):
    *rest, last = [line for line in CHAT_EVENTS if line != DONE]
    finish = json.loads(last.removeprefix(b"data: "))
    provider.story = in_chunks(b"".join((*rest, event({**finish, "usage": USAGE}), DONE)))
    sidecar = await start(proxy(provider, "mistral/first"), KEYS)
    assert (await ask(sidecar.port, post(form, stream=True))).ending == "whole"
    assert (provider.last.json["stream"], "stream_options" in provider.last.json) == (True, False)
    assert await spent(sidecar) == (70, 50, 30)


# Asked for in the client's place


def sent_body(**more):
    """What the provider gets: the client's bytes but for the model and the question."""
    sent = json.dumps({**chat(), "stream": True, **more}).encode()
    return sent.replace(b'"model": "gpt-4o-mini"', b'"model": "first","stream_options":{"include_usage":true}')


@pytest.mark.parametrize("injected", [True, False])
async def test_a_client_that_did_not_ask_sees_the_same_bytes(start, provider, ask, injected):
    provider.story = in_chunks(b"".join(CHAT_WITH_USAGE if injected else CHAT_EVENTS))
    sidecar = await start(proxy(provider, telemetry={"inject_usage": injected}), KEYS)
    heard = await ask(sidecar.port, post(stream=True))
    assert (heard.body, heard.ending) == (b"".join(CHAT_EVENTS), "whole")
    assert heard.all("content-type") == ["text/event-stream"]
    assert ("stream_options" in provider.last.json) is injected
    assert await spent(sidecar, injected) == ((70, 50, 30) if injected else (0, 0, 0))


async def test_only_the_question_is_added_to_the_body(start, provider, ask):
    provider.story = streams(*CHAT_WITH_USAGE)
    sidecar = await start(proxy(provider), KEYS)
    await ask(sidecar.port, post(stream=True, temperature=1.10, seed=7))
    assert provider.last.body == sent_body(temperature=1.10, seed=7)
    await ask(sidecar.port, post(stream=True, stream_options={"include_usage": False, "include_obfuscation": False}))
    assert provider.last.json["stream_options"] == {"include_usage": True, "include_obfuscation": False}


@pytest.mark.parametrize(
    "options", [{"include_usage": True}, {"include_usage": "yes"}, {"include_usage": None}, None, []]
)
async def test_what_a_client_says_itself_is_left_as_it_is_and_so_is_the_answer(start, provider, ask, options):
    provider.story = streams(*CHAT_WITH_USAGE)
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(
        sidecar.port, post("chat/completions", "accept-encoding: br", stream=True, stream_options=options)
    )
    assert heard.body == b"".join(CHAT_WITH_USAGE)
    assert provider.last.json["stream_options"] == options
    assert provider.last.all("accept-encoding") == ["br"]


async def test_a_whole_answer_is_not_asked_for_what_it_tells_anyway(start, provider, ask):
    provider.story = answers(COMPLETION, "etag: x", "content-md5: y")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post("chat/completions", "accept-encoding: br"))
    assert "stream_options" not in provider.last.json
    assert provider.last.all("accept-encoding") == ["br"]
    assert (heard.body, heard.all("etag"), heard.all("content-length")) == (COMPLETION, ["x"], [str(len(COMPLETION))])


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("mistral/first", {}),
        ("gemini/first", {}),
        ("openrouter/first", {}),
        ("mine/first", {"provider_interface": "openai"}),
        ("azure_openai/first", {"api_version": "2024-02-01"}),
    ],
)
async def test_who_tells_unasked_or_might_refuse_is_not_asked_and_its_stream_comes_untouched(
    start, provider, ask, model, more
):
    provider.story = streams(*CHAT_WITH_USAGE)
    sidecar = await start(proxy(provider, model, **more), KEYS)
    heard = await ask(sidecar.port, post(stream=True))
    assert heard.body == b"".join(CHAT_WITH_USAGE)
    assert "stream_options" not in provider.last.json
    assert await spent(sidecar) == (70, 50, 30)


@pytest.mark.parametrize("model", ["vllm/first", "ollama/first", "deepseek/first", "groq/first"])
async def test_who_is_known_to_take_the_question_is_asked(start, provider, ask, model):
    provider.story = streams(*CHAT_WITH_USAGE)
    sidecar = await start(proxy(provider, model), KEYS)
    assert (await ask(sidecar.port, post(stream=True))).body == b"".join(CHAT_EVENTS)


async def test_a_stream_of_which_something_is_taken_out_is_asked_for_in_plain_bytes(start, provider, ask):
    digests = ("content-digest: x", "digest: x", "etag: x", "content-length: 9999", "x-kept: y")
    provider.story = then_cut(
        head(200, "OK", "content-type: text/event-stream; charset=utf-8", *digests), b"".join(CHAT_WITH_USAGE)
    )
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post("chat/completions", "accept-encoding: gzip, br", stream=True))
    assert provider.last.all("accept-encoding") == ["identity"]
    assert {name.lower() for name, _ in heard.headers} & {"content-digest", "digest", "etag", "content-length"} == set()
    assert (heard.all("content-type"), heard.all("x-kept")) == (["text/event-stream; charset=utf-8"], ["y"])


async def test_a_provider_that_compresses_unasked_is_relayed_as_it_is(start, provider, ask):
    body = gzip.compress(b"".join(CHAT_WITH_USAGE))
    provider.story = in_chunks(body, "content-encoding: gzip")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(stream=True))
    assert (heard.body, heard.all("content-encoding")) == (body, ["gzip"])
    assert await spent(sidecar) == (70, 50, 30)


async def test_a_refusal_of_a_stream_arrives_as_it_is(start, provider, ask):
    refusal = b'{"error":{"message":"no","choices":[],"usage":{}}}'
    provider.story = answers(refusal, "x-kept: y", status=400, reason="No")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(stream=True))
    assert (heard.status, heard.body, heard.all("x-kept")) == (400, refusal, ["y"])


async def test_after_a_failover_each_provider_is_asked_what_it_takes(start, ask):
    async with serving(answers(b"{}", status=503)) as first, serving(streams(*CHAT_WITH_USAGE)) as second:
        entries = entry(first, "openai/first"), entry(second, "mistral/second")
        routes = [{"name": "code", "description": "writing code", "models": ["openai/first", "mistral/second"]}]
        sidecar = await start(before(*entries, routing_preferences=routes), KEYS)
        heard = await ask(sidecar.port, post(stream=True, messages=[{"role": "user", "content": CODE}]))
    assert first.last.json["stream_options"] == {"include_usage": True}
    assert "stream_options" not in second.last.json
    assert heard.body == b"".join(CHAT_WITH_USAGE)


async def test_a_stream_of_10_000_chunks_comes_whole_and_is_counted(start, provider, ask):
    events = [delta(str(number)) for number in range(10_000)]
    batches = [b"".join(map(chunk, events[at : at + 10])) for at in range(0, len(events), 10)]
    provider.story = sends(EVENTS_HEAD, *batches, chunk(delta("", "stop")), chunk(EXTRA), chunk(DONE), END)
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(stream=True))
    assert heard.body == b"".join(events) + delta("", "stop") + DONE
    assert await spent(sidecar) == (70, 50, 30)


async def test_a_client_that_reads_slowly_gets_each_event_when_it_comes(start, provider):
    gate = asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(CHAT_EVENTS[0]))
        await gate.wait()
        await call.send(*map(chunk, CHAT_WITH_USAGE[1:]), END)

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(stream=True))
        await client.head()
        assert await client.chunk() == CHAT_EVENTS[0]
        gate.set()
        assert b"".join([piece async for piece in client.chunks()]) == b"".join(CHAT_EVENTS[1:])


# The official SDK


async def told(sidecar, **more):
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{sidecar.port}/v1", api_key="k") as client:
        stream = await client.chat.completions.create(**{**chat(), **more}, stream=True)
        return [part.model_dump() async for part in stream]


NULLS = [piece.replace(b'"choices"', b'"usage": null, "choices"') for piece in CHAT_EVENTS]


async def test_the_official_sdk_sees_what_it_would_have_seen(start, provider):
    async def story(call):
        asked = call.request.json.get("stream_options") == {"include_usage": True}
        await streams(*(*NULLS[:-1], EXTRA, DONE) if asked else CHAT_EVENTS)(call)

    provider.story = story
    asking = await start(proxy(provider), KEYS)
    quiet = await start(proxy(provider, telemetry={"inject_usage": False}), KEYS)
    parts = await told(asking)
    assert parts == await told(quiet)
    assert all(part["choices"] for part in parts)
    asked_itself = await told(asking, stream_options={"include_usage": True})
    assert asked_itself[-1]["usage"]["prompt_tokens"] == 70


# Under any cut


def passed(chunks, end):
    passage = Filtered(Format.CHAT)
    out = b"".join(map(passage.feed, chunks))
    return out + end(passage), passage.account


def cut(stream, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@settings(max_examples=150)
@given(st.sampled_from([b"\n", b"\r\n", b"\r"]), st.sampled_from([CHAT_EVENTS, NULLS]), st.data())
def test_whatever_the_cut_only_the_extra_event_goes(end, events, data):
    with_usage = b"".join((*events[:-1], EXTRA, DONE)).replace(b"\n", end)
    out, account = passed(cut(with_usage, data), Filtered.finish)
    assert out == b"".join(events).replace(b"\n", end)
    assert (account.usage.input, account.finish, account.response_model, account.complete) == (70, "stop", "m", True)


@settings(max_examples=150)
@given(st.data())
def test_wherever_it_breaks_off_the_client_sees_no_more_than_without_us(data):
    stream = b"".join(CHAT_WITH_USAGE)
    place = data.draw(st.integers(0, len(stream)))
    out, _ = passed(cut(stream[:place], data), lambda passage: passage.fail(UpstreamError("gone")))
    before_error = out.partition(b'data: {"error"')[0]
    assert b"".join(CHAT_EVENTS).startswith(before_error) or EXTRA.startswith(before_error.rpartition(b"\n\n")[2])
    assert b'"usage"' not in out


@pytest.mark.parametrize("half", [b"", CHAT_EVENTS[1][:40], EXTRA[:-20]])
def test_an_error_event_is_put_in_only_between_events(half):
    out, _ = passed([CHAT_EVENTS[0], half], lambda passage: passage.fail(UpstreamError("gone")))
    shown = half if half == CHAT_EVENTS[1][:40] else b""
    assert out.startswith(CHAT_EVENTS[0] + shown)
    assert (b'"error"' in out) is (not shown)

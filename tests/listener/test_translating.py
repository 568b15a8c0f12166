"""What the proxy itself adds to translation: ids, headers of refusals, answers that come in another way than asked for."""

import gzip
import json
import zlib

import pytest
from aiohttp import web
from scripted import config
from speaking import CHAT, MESSAGES, RESPONSES, Script, Words, events, whole

HELLO = Script((Words("Grüß Gott, 你好 👋" * 20),))
ASKED = {"model": "c/m", "max_tokens": 10, "messages": [{"role": "user", "content": "x"}]}
TRACE = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}


@pytest.fixture
async def serving(start, aiohttp_server):
    """`await serving(handler)`: a sidecar whose providers are all that one aiohttp handler."""

    async def begin(handler):
        app = web.Application()
        app.router.add_post("/v1/{form:.*}", handler)
        server = await aiohttp_server(app)
        return (await start(config(str(server.make_url("")).rstrip("/")))).client

    return begin


async def plainly(request):
    body = await request.json()
    return web.json_response(whole(request.match_info["form"], HELLO, body))


def compressed(compress, encoding):
    """A provider that compresses although nobody asked it to."""

    async def answer(request):
        form, body = request.match_info["form"], await request.json()
        if body.get("stream"):
            said, kind = b"".join(events(form, HELLO, body)), "text/event-stream"
        else:
            said, kind = json.dumps(whole(form, HELLO, body)).encode(), "application/json"
        return web.Response(body=compress(said), headers={"content-encoding": encoding, "content-type": kind})

    return answer


async def test_two_answers_in_one_trace_have_two_ids(serving):
    client = await serving(plainly)
    found = set()
    for _ in range(2):
        async with client.post("/v1/messages", json=ASKED, headers=TRACE) as answer:
            found.add((await answer.json())["id"])
    assert len(found) == 2


@pytest.mark.parametrize(("compress", "encoding"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_compressed_unasked_is_translated_all_the_same(serving, compress, encoding, stream):
    client = await serving(compressed(compress, encoding))
    async with client.post("/v1/messages", json={**ASKED, "stream": stream}) as answer:
        assert (answer.status, answer.headers.get("content-encoding")) == (200, None)
        told = (await answer.read()).decode()
    assert "Grüß" in told
    assert "message_stop" in told if stream else json.loads(told)["stop_reason"] == "end_turn"


async def test_an_answer_that_is_compressed_in_a_way_we_cannot_read_is_an_error(serving):
    client = await serving(compressed(lambda said: said, "br"))
    for stream in (False, True):
        async with client.post("/v1/messages", json={**ASKED, "stream": stream}) as answer:
            assert (answer.status, (await answer.json())["error"]["type"]) == (502, "api_error")


async def test_what_cannot_be_translated_is_refused_with_the_decision_in_the_headers(serving):
    client = await serving(plainly)
    async with client.post("/v1/responses", json={"model": "c/m", "input": "x", "previous_response_id": "r"}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, "unsupported_field")
        assert (answer.headers["x-sidecar-model"], answer.headers["x-sidecar-pin"]) == ("c/m", "none")


ANSWERS = {MESSAGES: "message_stop", RESPONSES: "response.completed", CHAT: "[DONE]"}


@pytest.mark.parametrize("form", ANSWERS)
async def test_a_provider_that_does_not_stream_never_ends_a_stream_silently(serving, form):
    client = await serving(plainly)
    asked = {**ASKED, "model": "a/m" if form == CHAT else "c/m", "input": "x", "stream": True}
    async with client.post(f"/v1/{form}", json=asked) as answer:
        told = await answer.text()
    assert answer.status == 502 or ANSWERS[form] in told

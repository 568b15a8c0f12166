"""What is forwarded as it is: whatever the client sends arrives, streamed or whole."""

import asyncio

import pytest
from provider import COMPLETION, answers, serving, whole
from rawclient import connected, request
from running import chat

UPLOAD = b"--x\r\ncontent-disposition: form-data; name=f\r\n\r\nhello\r\n--x--\r\n"
MULTIPART = "content-type: multipart/form-data; boundary=x"


def config(provider, model="gpt-4o-mini"):
    return f"model_providers: [{{model: 'openai/{model}', base_url: '{provider.url}', access_key: $KEY}}]"


@pytest.fixture
async def forwarding(start):
    """A sidecar, and the provider it forwards to."""
    async with serving(answers(b"{}")) as provider:
        yield await start(config(provider), {"KEY": "our-key"}), provider


async def test_a_small_upload_that_comes_with_its_head_arrives(forwarding):
    sidecar, provider = forwarding
    async with connected(sidecar.port) as client:
        await client.send(request("POST", "/v1/files", MULTIPART, body=UPLOAD))
        assert (await client.heard()).status == 200
    assert (provider.last.body, provider.last.framed) == (UPLOAD, UPLOAD)


async def test_the_beginning_of_an_upload_leaves_before_its_end_arrives(forwarding):
    sidecar, provider = forwarding
    provider.reads_body = False
    body = asyncio.get_running_loop().create_future()

    async def story(call):
        body.set_result(await call._reader.readexactly(5))
        await call._reader.readexactly(len(UPLOAD) - 5)
        await call.send(whole(b"{}"))

    provider.story = story
    async with connected(sidecar.port) as client:
        await client.send(request("POST", "/v1/files", MULTIPART, framing=f"content-length: {len(UPLOAD)}"))
        await client.send(UPLOAD[:5])
        assert await asyncio.wait_for(body, 5) == UPLOAD[:5]
        await client.send(UPLOAD[5:])
        assert (await client.heard()).status == 200


async def test_an_upload_that_waits_for_our_word_gets_it(forwarding):
    sidecar, provider = forwarding
    async with connected(sidecar.port) as client:
        waiting = request(
            "POST", "/v1/files", MULTIPART, "expect: 100-continue", framing=f"content-length: {len(UPLOAD)}"
        )
        await client.send(waiting)
        assert (await client.head())[0] == 100
        await client.send(UPLOAD)
        assert (await client.heard()).status == 200
    assert provider.last.body == UPLOAD


async def test_a_provider_with_a_wildcard_only_is_forwarded_to(start):
    async with serving(answers(b"{}")) as provider:
        sidecar = await start(config(provider, "*"), {"KEY": "our-key"})
        async with connected(sidecar.port) as client:
            await client.send(request("GET", "/v1/files?limit=2"))
            answer = await client.heard()
    assert (answer.status, answer.one("x-sidecar-model")) == (200, "openai/-")
    assert provider.last.target == "/v1/files?limit=2"


async def test_a_large_body_goes_out_with_its_length(forwarding):
    sidecar, provider = forwarding
    provider.story = answers(COMPLETION)
    async with sidecar.client.post("/v1/chat/completions", json=chat("x" * 400_000)) as answer:
        assert answer.status == 200
    assert provider.last.one("content-length") == str(len(provider.last.framed))
    assert provider.last.json["messages"] == chat("x" * 400_000)["messages"]


@pytest.mark.parametrize("side", ["client", "provider"])
async def test_a_header_as_long_as_a_large_token_passes(forwarding, side):
    sidecar, provider = forwarding
    long = "x-long: " + "y" * 40_000
    provider.story = answers(b"{}", *([long] if side == "provider" else []))
    async with connected(sidecar.port) as client:
        await client.send(request("GET", "/v1/files", *([long] if side == "client" else [])))
        answer = await client.heard()
    assert answer.status == 200
    assert len((answer if side == "provider" else provider.last).one("x-long")) == 40_000


async def test_an_error_too_long_to_keep_is_not_relayed_in_part(forwarding):
    sidecar, provider = forwarding
    provider.story = answers(b"x" * (1024 * 1024 + 1), status=422)
    async with connected(sidecar.port) as client:
        await client.send(request("GET", "/v1/files"))
        answer = await client.heard()
    assert (answer.status, answer.ending) == (502, "whole")
    assert "answered 422" in answer.json["error"]["message"]


async def test_who_asks_for_a_websocket_is_told_what_there_is_instead(forwarding):
    sidecar, provider = forwarding
    async with connected(sidecar.port) as client:
        await client.send(request("GET", "/v1/responses", "connection: Upgrade", "upgrade: websocket"))
        answer = await client.heard()
    assert (answer.status, answer.one("upgrade"), answer.one("connection")) == (426, "HTTP/1.1", "upgrade, close")
    assert (answer.json["error"]["code"], provider.requests) == ("upgrade_required", [])

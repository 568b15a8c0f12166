"""An endpoint double whose behaviour each test writes, asked over a real socket."""

import asyncio
import json
import traceback

import pytest
from aiohttp import web
from ports import free_port

from sidecar.config.models import Secret
from sidecar.errors import ConfigError, UpstreamError, UpstreamTimeout
from sidecar.upstream.endpoint import Endpoint, open_session

KEY = Secret("sk-very-secret", "SOME_API_KEY")
PROMPT = {"input": "words nobody else may read"}


@pytest.fixture
async def session():
    async with open_session() as session:
        yield session


@pytest.fixture
async def endpoint_of(aiohttp_server, session):
    async def made(answer, access_key=None, suffix="/v1", **options):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        server = await aiohttp_server(app)
        return Endpoint(session, f"{server.make_url('')}".rstrip("/") + suffix, access_key, **options)

    return made


async def what_arrived(request):
    return web.json_response(
        {
            "method": request.method,
            "target": request.path_qs,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": await request.json(),
        }
    )


def answering(*args, **kwargs):
    async def answer(request):
        await request.read()
        return web.Response(*args, **kwargs)

    return answer


def whole_story(exc):
    return "".join(traceback.format_exception(exc))


async def test_the_body_goes_out_as_json_and_the_answer_comes_back_decoded(endpoint_of):
    endpoint = await endpoint_of(what_arrived, KEY)
    arrived = await endpoint.post("/embeddings", PROMPT)
    assert (arrived["method"], arrived["target"], arrived["body"]) == ("POST", "/v1/embeddings", PROMPT)
    assert arrived["headers"]["content-type"] == "application/json"
    assert arrived["headers"]["authorization"] == "Bearer sk-very-secret"


async def test_without_a_key_nothing_is_said_of_one(endpoint_of):
    endpoint = await endpoint_of(what_arrived)
    assert "authorization" not in (await endpoint.post("/embeddings", {}))["headers"]


@pytest.mark.parametrize(
    ("suffix", "target"),
    [
        ("", "/x"),
        ("/", "/x"),
        ("/v1/", "/v1/x"),
        ("/a%2Fb/v1", "/a%2Fb/v1/x"),
        ("/v1?api-version=3", "/v1/x?api-version=3"),
        ("/v1#part", "/v1/x"),
    ],
)
async def test_the_base_url_is_taken_as_it_is_and_the_path_appended(endpoint_of, suffix, target):
    endpoint = await endpoint_of(what_arrived, suffix=suffix)
    assert (await endpoint.post("/x", {}))["target"] == target


@pytest.mark.parametrize("base_url", ["", "localhost:11434/v1", "$BASE_URL", "ftp://host/v1", "http://", "http://["])
async def test_what_is_no_whole_url_is_refused_when_the_endpoint_is_made(session, base_url):
    with pytest.raises(ConfigError):
        Endpoint(session, base_url, None)


async def test_a_key_that_is_not_set_is_named_and_nothing_is_asked(endpoint_of):
    asked = []

    async def answer(request):
        asked.append(request)

    endpoint = await endpoint_of(answer, Secret(None, "SOME_API_KEY"))
    with pytest.raises(UpstreamError, match="SOME_API_KEY is not set"):
        await endpoint.post("/x", {})
    assert asked == []


async def test_the_key_goes_before_a_user_in_the_url(aiohttp_server, session):
    app = web.Application()
    app.router.add_post("/x", what_arrived)
    server = await aiohttp_server(app)
    endpoint = Endpoint(session, str(server.make_url("").with_user("me").with_password("pass")), KEY)
    assert (await endpoint.post("/x", {}))["headers"]["authorization"] == "Bearer sk-very-secret"


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 429, 500, 503])
async def test_an_answer_that_is_not_2xx_is_an_error_that_names_the_status(endpoint_of, status):
    headers = {"Location": "/v1/elsewhere"}
    endpoint = await endpoint_of(answering(status=status, text="{}", headers=headers))
    with pytest.raises(UpstreamError, match=rf"/v1/x answered {status}$"):
        await endpoint.post("/x", {})


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"{} {}"])
async def test_an_answer_that_is_not_json_is_an_error(endpoint_of, body):
    endpoint = await endpoint_of(answering(body=body))
    with pytest.raises(UpstreamError, match="not JSON"):
        await endpoint.post("/x", {})


async def test_an_endless_answer_is_given_up_at_the_limit(endpoint_of):
    async def endless(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"[" * 1000)

    endpoint = await endpoint_of(endless)
    with pytest.raises(UpstreamError, match="more than 5000 bytes"):
        await endpoint.post("/x", {}, limit_bytes=5000)


async def test_an_answer_of_exactly_the_limit_is_taken(endpoint_of):
    endpoint = await endpoint_of(answering(body=b'"' + b"a" * 98 + b'"'))
    assert await endpoint.post("/x", {}, limit_bytes=100) == "a" * 98


async def test_compression_is_not_asked_for_and_not_accepted(endpoint_of):
    async def compressed(request):
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    endpoint = await endpoint_of(compressed)
    with pytest.raises(UpstreamError, match="compressed"):
        await endpoint.post("/x", {})


async def test_silence_is_a_timeout(endpoint_of):
    async def silent(request):
        await asyncio.Event().wait()

    endpoint = await endpoint_of(silent, timeout_s=0.05)
    with pytest.raises(UpstreamTimeout, match="did not answer in time"):
        await endpoint.post("/x", {})


async def test_an_answer_that_begins_and_never_ends_is_a_timeout_too(endpoint_of):
    async def unfinished(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()

    endpoint = await endpoint_of(unfinished, timeout_s=0.05)
    with pytest.raises(UpstreamTimeout):
        await endpoint.post("/x", {})


async def test_nobody_there_is_an_error_with_its_cause(session):
    endpoint = Endpoint(session, f"http://127.0.0.1:{free_port()}", None)
    with pytest.raises(UpstreamError, match="could not be asked") as caught:
        await endpoint.post("/x", {})
    assert isinstance(caught.value.__cause__, ConnectionRefusedError | OSError)


async def test_an_answer_that_is_cut_is_an_error(endpoint_of):
    async def cut(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{}")
        request.transport.close()
        return response

    endpoint = await endpoint_of(cut)
    with pytest.raises(UpstreamError, match="ClientPayloadError"):
        await endpoint.post("/x", {})


async def test_a_kept_connection_that_was_just_closed_is_replaced_by_a_new_one(session):
    questions = []

    async def one_answer_each(reader, writer):
        """Answers the first request of a connection and hangs up on the second, as a server does that tidies up."""
        for turn in range(2):
            questions.append(await reader.readuntil(b"{}"))
            if turn == 0:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(one_answer_each, "127.0.0.1", 0)
    async with server:
        endpoint = Endpoint(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        assert [await endpoint.post("/x", {}), await endpoint.post("/x", {})] == [{}, {}]
        assert len(questions) == 3
        await session.close()


async def test_a_proxy_from_the_environment_is_not_used(endpoint_of, monkeypatch):
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
    endpoint = await endpoint_of(what_arrived)
    assert (await endpoint.post("/x", PROMPT))["body"] == PROMPT


async def test_cookies_are_not_kept(aiohttp_server, session):
    async def with_cookie(request):
        response = web.json_response(request.headers.get("Cookie"))
        response.set_cookie("who", "me")
        return response

    app = web.Application()
    app.router.add_post("/x", with_cookie)
    server = await aiohttp_server(app)
    # By its name: no cookie jar keeps what came from a bare address.
    endpoint = Endpoint(session, str(server.make_url("").with_host("localhost")), None)
    assert [await endpoint.post("/x", {}), await endpoint.post("/x", {})] == [None, None]


async def test_half_a_surrogate_pair_in_a_prompt_is_sent_as_json_writes_it(endpoint_of):
    async def raw(request):
        return web.json_response((await request.read()).decode())

    endpoint = await endpoint_of(raw)
    assert json.loads(await endpoint.post("/x", {"input": "\ud83d é"})) == {"input": "\ud83d é"}


@pytest.mark.parametrize(
    "answer",
    [
        answering(status=400, text=f"sk-very-secret said {PROMPT['input']}"),
        answering(status=302, headers={"Location": f"http://sk-very-secret/{PROMPT['input']}"}),
        answering(text=PROMPT["input"]),
        answering(text="x", headers={"Content-Encoding": "br"}),
    ],
)
async def test_no_message_quotes_the_key_the_prompt_or_the_answer(endpoint_of, answer):
    endpoint = await endpoint_of(answer, KEY, suffix="/v1?key=sk-very-secret")
    with pytest.raises(UpstreamError) as caught:
        await endpoint.post("/x", PROMPT)
    assert "secret" not in whole_story(caught.value)
    assert "nobody" not in whole_story(caught.value)


async def test_a_key_that_cannot_be_a_header_is_an_error_that_does_not_quote_it(endpoint_of):
    endpoint = await endpoint_of(what_arrived, Secret("sk-very-secret\r\nx: y"))
    with pytest.raises(UpstreamError) as caught:
        await endpoint.post("/x", {})
    assert "secret" not in whole_story(caught.value)

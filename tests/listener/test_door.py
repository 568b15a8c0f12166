"""What every request meets: bad input, wrong paths, odd HTTP. Never a 5xx, never a traceback, always an answer."""

import asyncio
import gzip
import json
import logging
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import CODE, CONFIG, chat

ENDPOINTS = ("chat/completions", "messages", "responses")
GOOD = json.dumps(chat()).encode()


def post(body=GOOD, path="/routing/v1/chat/completions", **headers):
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{named}\r\n"
    return head.encode() + body


@pytest.mark.parametrize("form", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_request"),
        (b"{}", "invalid_request"),
        (b'{"model": "\xff"}', "invalid_json"),
        (b'{"messages": [], "input": []}', "invalid_request"),
        (b'{"messages": 1, "input": 1}', "invalid_request"),
    ],
)
async def test_a_bad_body_is_refused_in_the_clients_own_shape(start, form, body, code):
    sidecar = await start()
    status, answer, headers = await sidecar.decide(body, form=form, X_Session_Id="run-1")
    assert status == 400
    if form == "messages":
        assert (answer["type"], answer["error"]["type"]) == ("error", "invalid_request_error")
    else:
        assert (answer["error"]["type"], answer["error"]["code"]) == ("invalid_request_error", code)
    assert headers["x-sidecar-model"] == "-"
    metrics = await sidecar.metrics()
    assert metrics[f'sidecar_errors_total{{code="{code}"}}'] == 1
    assert await sidecar.total("sidecar_pins") == 0


@pytest.mark.parametrize("name", ["X-Session-Id", "X-Model-Affinity"])
@pytest.mark.parametrize("bad", ["", "a b", "x" * 257])
async def test_a_bad_session_id_is_refused(start, name, bad):
    sidecar = await start()
    status, body, _ = await sidecar.decide(**{name: bad})
    assert (status, body["error"]["code"]) == (400, "invalid_session_id")


async def test_an_unknown_wish_about_pins_is_refused(start):
    status, body, _ = await (await start()).decide(X_Sidecar_Pin="sometimes")
    assert (status, body["error"]["param"]) == (400, "x-sidecar-pin")


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/", 404, "not_found", None),
        ("POST", "/routing/v1/embeddings", 404, "not_found", None),
        ("POST", "/routing/v1/chat/completions/", 404, "not_found", None),
        ("GET", "/routing/v1/chat/completions", 405, "method_not_allowed", "POST"),
        ("DELETE", "/routing/v1/responses", 405, "method_not_allowed", "POST"),
        ("POST", "/healthz", 405, "method_not_allowed", "GET, HEAD"),
    ],
)
async def test_a_wrong_path_or_method_says_so(start, method, path, status, code, allow):
    sidecar = await start()
    async with sidecar.client.request(method, path) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)
        assert answer.headers.get("allow") == allow


async def test_health_is_ok(start):
    sidecar = await start()
    async with sidecar.client.get("/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    async with sidecar.client.head("/healthz") as answer:
        assert (answer.status, await answer.read()) == (200, b"")


SMALL = f"listener: {{max_body_bytes: 1000}}\n{CONFIG}"


async def test_a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not(start, raw):
    sidecar = await start(SMALL)
    status, body, _ = await sidecar.decide(chat("x" * 1000))
    assert (status, body["error"]["code"]) == (413, "body_too_large")
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    head = b"POST /routing/v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (await raw(sidecar.port, head + chunk + b"0\r\n\r\n")).startswith(b"HTTP/1.1 413")


async def test_a_small_body_that_unpacks_to_one_over_the_limit_is_refused(start, raw):
    sidecar = await start(SMALL)
    bomb = gzip.compress(json.dumps(chat("x" * 1_000_000)).encode())
    assert len(bomb) > 1000 or (await raw(sidecar.port, post(bomb, content_encoding="gzip"))).startswith(
        b"HTTP/1.1 413"
    )
    bomb = gzip.compress(json.dumps(chat("x" * 100_000)).encode())
    assert len(bomb) < 1000
    assert (await raw(sidecar.port, post(bomb, content_encoding="gzip"))).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", gzip.compress(GOOD), 200),
        ("deflate", zlib.compress(GOOD), 200),
        ("identity", GOOD, 200),
        ("gzip", GOOD, 400),
        ("gzip", gzip.compress(GOOD)[:-9], 400),
        ("zstd", GOOD, 400),
        ("br", GOOD, 415),
    ],
)
async def test_a_compressed_body_is_read_or_refused(start, raw, encoding, body, status):
    sidecar = await start()
    answer = await raw(sidecar.port, post(body, content_encoding=encoding, connection="close"))
    assert answer.startswith(f"HTTP/1.1 {status}".encode())


async def test_a_client_that_waits_for_our_word_before_its_body_gets_it(start, raw):
    sidecar = await start()
    head, _, body = post(expect="100-continue").partition(b"\r\n\r\n")
    said = await raw(sidecar.port, head + b"\r\n\r\n")
    assert said == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b"200 OK" in await raw(sidecar.port, head + b"\r\n\r\n" + body)


async def test_a_body_that_never_comes_is_a_408(start, raw, caplog):
    sidecar = await start(f"listener: {{timeout: 50ms}}\n{CONFIG}")
    answer = await raw(sidecar.port, post(GOOD)[:-10], patience_s=5)
    assert answer.startswith(b"HTTP/1.1 408")
    assert "Traceback" not in caplog.text


async def test_pipelined_requests_are_answered_in_order(start, raw):
    sidecar = await start()
    both = post(GOOD, x_request_id="one") + post(b"{", x_request_id="two")
    answer = await raw(sidecar.port, both)
    assert answer.index(b"200 OK") < answer.index(b"x-request-id: one") < answer.index(b"400 Bad Request")


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /routing/v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /routing/v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%zz%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /routing/v1/messages HTTP/1.1\r\nhost: x\r\nx-session-id: a\x00b\r\n\r\n",
        b"A" * 20_000,
    ],
)
async def test_what_is_not_http_is_refused_and_the_next_client_is_served(start, raw, rubbish, caplog):
    sidecar = await start()
    answer = await raw(sidecar.port, rubbish)
    assert b" 50" not in answer[:16]
    assert (await sidecar.decide())[0] == 200
    assert "Traceback" not in caplog.text


async def test_a_client_that_hangs_up_in_the_middle_leaves_no_traceback(start, caplog):
    import asyncio  # noqa: PLC0415 - beside its only use

    sidecar = await start()
    for cut in (10, 60, 120, len(post()) - 1):
        _, writer = await asyncio.open_connection("127.0.0.1", sidecar.port)
        writer.write(post()[:cut])
        await writer.drain()
        writer.transport.abort()
    assert (await sidecar.decide())[0] == 200
    assert "Traceback" not in caplog.text


KEYS = ("model", "messages", "input", "system", "instructions", "routing_preferences", "role", "content", "name")
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(KEYS)
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)
BODIES = st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode())


async def test_arbitrary_bytes_and_json_never_make_a_5xx_or_a_traceback(start, caplog):
    sidecar = await start()
    sent = []

    @settings(max_examples=300, suppress_health_check=list(HealthCheck))
    @given(form=st.sampled_from(ENDPOINTS), body=BODIES, session=st.none() | st.text(max_size=5))
    def collect(form, body, session):
        sent.append((form, body, session))

    collect()
    for form, body, session in sent:
        visible = session is not None and session.isascii() and session.isprintable()
        status, _, _ = await sidecar.decide(body, form=form, **({"X_Session_Id": session} if visible else {}))
        assert status < 500, (form, body)
    assert (await sidecar.decide())[0] == 200
    assert "Traceback" not in caplog.text


async def logged(path, count):
    """The lines of an access log, once there are so many."""
    async with asyncio.timeout(10):
        while len(lines := path.read_text().splitlines()) < count:  # noqa: ASYNC110 - a thread writes it
            await asyncio.sleep(0.01)
    return [json.loads(line) for line in lines]


async def test_a_request_is_a_line_of_the_access_log_without_prompt_session_or_key(start, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "access.log"
    text = CONFIG.replace("openai/gpt-4o}", "openai/gpt-4o, access_key: $KEY}")
    sidecar = await start(f"{text}\ntelemetry: {{access_log: {path}}}", {"KEY": "canary-key"})
    bodies = [(await sidecar.decide(chat("canary-prompt"), X_Session_Id="canary-session"))[1] for _ in range(2)]
    await sidecar.decide(b'{"messages": "canary-body"', X_Session_Id="canary-session")
    lines = await logged(path, 3)
    assert [line["trace_id"] for line in lines[:2]] == [body["trace_id"] for body in bodies]
    assert [line.get("pin") for line in lines] == ["miss", "hit", None]
    assert [line["status"] for line in lines] == [200, 200, 400]
    assert lines[0]["session"] == lines[1]["session"] != ""
    assert "canary" not in path.read_text() + caplog.text
    assert not any(body["trace_id"] in caplog.text for body in bodies)


@pytest.mark.parametrize("number", ["1e999", "9" * 6000])
async def test_preferences_that_only_a_second_look_finds_unreadable_are_the_clients_mistake(start, number, caplog):
    body = f'{{"messages":[{{"role":"user","content":"x"}}],"routing_preferences":[{number}]}}'.encode()
    status, answer, headers = await (await start()).decide(body)
    assert (status, answer["error"]["param"]) == (400, "routing_preferences")
    assert (headers["x-sidecar-error"], "Traceback" in caplog.text) == ("invalid_request", False)


async def test_a_web_page_that_may_not_ask_gets_no_decision(start):
    status, body, _ = await (await start()).decide(Origin="https://evil.example.com")
    assert (status, body["error"]["code"]) == (403, "origin_not_allowed")


async def test_a_route_name_from_a_request_cannot_pretend_to_be_more_of_the_log(start, tmp_path):
    path = tmp_path / "access.log"
    sidecar = await start(f"{CONFIG}\ntelemetry: {{access_log: {path}}}")
    name = 'code","reason":"forged'
    inline = [{"name": name, "description": CODE, "models": ["gpt-4o"], "examples": [CODE]}]
    await sidecar.decide(chat(CODE, routing_preferences=inline))
    [line] = await logged(path, 1)
    assert (line["route"], line["reason"], line["status"]) == (name, "routed", 200)

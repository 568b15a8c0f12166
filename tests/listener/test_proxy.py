"""The HTTP around an answer: what may cross and what may not, connections, oddities, and our own list of models."""

import asyncio
import gc
import gzip
import json

import pytest
from provider import (
    COMPLETION,
    END,
    EVENTS_HEAD,
    KEYS,
    answers,
    before,
    chunk,
    entry,
    hangs,
    head,
    in_turn,
    is_cut,
    is_reset,
    sends,
    serving,
    then_hangs,
    whole,
)
from rawclient import connected, request
from running import chat

JSON = "content-type: application/json"
ASK = json.dumps(chat()).encode()
MESSAGES = json.dumps({"model": "first", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}).encode()
MULTIPART = b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nparrot\r\n--b--\r\n'
CHUNKED = "transfer-encoding: chunked"


def post(body=ASK, *headers, target="/v1/chat/completions", **more):
    return request("POST", target, JSON, *headers, body=body, **more)


def upload(body, **more):
    return request("POST", "/v1/files", "content-type: audio/wav", body=body, **more)


def proxy(provider, model="openai/first", **more):
    return before(entry(provider, model, **more))


# Credentials


SECRETS = (
    "authorization: Bearer client-key",
    "x-api-key: client-key",
    "api-key: client-key",
    "cookie: client-key=1",
    "x-session-id: run-1",
    "x-model-affinity: run-1",
    "x-sidecar-pin: refresh",
    "openai-organization: client-key",
)
SCHEMES = [("openai/first", "authorization", "Bearer {}"), ("anthropic/first", "x-api-key", "{}")]


@pytest.mark.parametrize(("model", "name", "value"), SCHEMES)
async def test_a_provider_gets_its_own_key_and_nothing_that_is_the_clients(start, provider, ask, model, name, value):
    sidecar = await start(proxy(provider, model), KEYS)
    for sent in (post(MESSAGES, *SECRETS, target="/v1/messages"), post(ASK, *SECRETS)):
        await ask(sidecar.port, sent)
        sent_on = {name.lower(): value for name, value in provider.last.headers}
        assert b"client-key" not in provider.last.head
        assert not {"cookie", "x-session-id", "x-model-affinity", "x-sidecar-pin"} & sent_on.keys()
        assert sent_on[name] == value.format("provider-key")


@pytest.mark.parametrize("sent", ["authorization: Bearer client-key", "x-api-key: client-key"])
@pytest.mark.parametrize(("model", "name", "value"), SCHEMES)
async def test_passthrough_auth_sends_the_clients_key_in_the_providers_scheme(
    start, provider, ask, sent, model, name, value
):
    sidecar = await start(proxy(provider, model, passthrough_auth=True), KEYS)
    await ask(sidecar.port, post(ASK, sent, "cookie: a=b"))
    sent_on = {name.lower(): value for name, value in provider.last.headers}
    assert sent_on[name] == value.format("client-key")
    assert {"cookie", "authorization", "x-api-key"} & sent_on.keys() == {name}
    assert b"provider-key" not in provider.last.head


async def test_a_refused_key_of_the_clients_own_is_the_clients_to_hear(start, provider, ask):
    provider.story = answers(b'{"error":{"message":"bad key"}}', status=401, reason="Unauthorized")
    sidecar = await start(proxy(provider, passthrough_auth=True), KEYS)
    heard = await ask(sidecar.port, post(ASK, "authorization: Bearer client-key"))
    assert (heard.status, heard.body, len(provider.requests)) == (401, b'{"error":{"message":"bad key"}}', 1)


DIGESTS = ("content-digest: sha-256=:x:", "repr-digest: sha-256=:x:", "digest: sha-256=x", "content-md5: x")
IDENTITY = "content-encoding: identity"


def digests(received):
    return [name for name in (line.partition(":")[0] for line in DIGESTS) if received.all(name)]


@pytest.mark.parametrize(
    ("target", "asked"), [("/v1/chat/completions", chat()), ("/v1/embeddings", {"model": "first", "input": "x"})]
)
async def test_what_a_client_says_of_its_bytes_crosses_only_with_those_bytes(start, provider, ask, target, asked):
    sidecar = await start(before(entry(provider), model_aliases={"second": {"target": "first"}}), KEYS)
    for model, crossing in (("first", 4), ("second", 0)):
        body = json.dumps({**asked, "model": model}).encode()
        await ask(sidecar.port, post(body, *DIGESTS, IDENTITY, target=target))
        assert (provider.last.body == body, len(digests(provider.last))) == (crossing == 4, crossing)
        assert provider.last.all("content-encoding") == ["identity"]  # still true
    await ask(sidecar.port, post(gzip.compress(body), *DIGESTS, "content-encoding: gzip", target=target))
    assert (provider.last.json["model"], digests(provider.last)) == ("first", [])
    assert provider.last.all("content-encoding") == []


async def test_what_a_client_says_of_bytes_that_are_not_looked_at_crosses(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    said = ("content-type: audio/wav", "content-encoding: br", *DIGESTS)
    await ask(sidecar.port, request("POST", "/v1/files", *said, body=MULTIPART))
    assert (len(digests(provider.last)), provider.last.all("content-encoding")) == (4, ["br"])


async def test_a_provider_cannot_pass_its_headers_off_as_ours(start, provider, ask):
    spoofed = ("x-sidecar-model: evil", "X-Sidecar-Pin: evil", "x-sidecar-new: evil", "x-request-id: evil")
    provider.story = answers(COMPLETION, *spoofed, "set-cookie: evil=1", "access-control-allow-origin: evil")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(ASK, "x-request-id: mine"))
    assert "evil" not in str(heard.headers)
    assert (heard.all("x-sidecar-model"), heard.all("x-request-id")) == (["openai/first"], ["mine"])


async def test_a_provider_learns_which_request_and_which_trace_it_belongs_to(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await ask(sidecar.port, post(ASK, "x-request-id: mine", f"traceparent: {trace}"))
    assert (provider.last.all("x-request-id"), provider.last.all("traceparent")) == (["mine"], [trace])
    await ask(sidecar.port, post(ASK))
    assert len(provider.last.one("x-request-id")) == 32
    assert len(provider.last.one("traceparent")) == len(trace)


# What a provider may answer


async def test_a_redirect_is_relayed_and_not_followed(start, provider, ask):
    provider.story = sends(head(307, "Temporary Redirect", f"location: {provider.url}/other", "content-length: 0"))
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.one("location"), len(provider.requests)) == (307, f"{provider.url}/other", 1)


async def test_a_101_that_nobody_asked_for_is_a_502(start, provider, ask):
    provider.story = sends(head(101, "Switching Protocols", "connection: upgrade", "upgrade: x"))
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.json["error"]["code"]) == (502, "upstream_unreachable")


@pytest.mark.parametrize("interim", [head(100, "Continue"), head(103, "Early Hints", "link: </x>")])
async def test_an_interim_answer_is_not_taken_for_the_answer(start, provider, ask, interim):
    provider.story = sends(interim, whole(COMPLETION))
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.body) == (200, COMPLETION)


async def test_a_body_that_ends_with_its_connection_comes_whole(start, provider, ask):
    async def story(call):
        await call.send(head(200, "OK", JSON), COMPLETION)
        await call.cut()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.body, heard.ending) == (COMPLETION, "whole")


async def test_a_refusal_of_the_request_is_relayed_as_it_is(start, provider, ask):
    refusal = b'{"error":{"message":"too hot","param":"temperature"},  "x":1.0}'
    provider.story = answers(refusal, "x-why: a", "x-why: b", status=422, reason="Unprocessable")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.body, heard.all("x-why")) == (422, refusal, ["a", "b"])
    metrics = await sidecar.metrics()
    assert metrics['sidecar_errors_total{code="refused"}'] == 1
    assert 'sidecar_errors_total{code="upstream_unreachable"}' not in metrics


async def test_an_error_whose_body_stalls_is_not_waited_for_longer_than_a_first_byte(start, provider, ask):
    async def story(call):
        await call.send(head(500, "No", JSON, "content-length: 9"), b"{")
        await hangs(call)

    provider.story = story
    sidecar = await start(proxy(provider, timeouts={"first_byte": "50ms"}), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.json["error"]["code"]) == (504, "upstream_timeout")


async def test_a_head_may_take_longer_than_a_silence_between_chunks(start, provider, ask):
    async def story(call):
        await asyncio.sleep(0.1)
        await call.send(whole(COMPLETION))

    provider.story = story
    sidecar = await start(proxy(provider, timeouts={"idle": "30ms"}), KEYS)
    assert (await ask(sidecar.port, post())).status == 200


# Connections


async def test_connections_to_a_provider_are_used_again(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    for _ in range(5):
        assert (await ask(sidecar.port, post())).status == 200
    assert (provider.opened, len(provider.requests)) == (1, 5)


@pytest.mark.parametrize("closing", [is_cut, is_reset])
async def test_a_connection_that_was_just_being_closed_is_replaced_and_nobody_calls_it_failover(
    start, provider, ask, closing
):
    provider.story = in_turn(answers(COMPLETION), closing, answers(COMPLETION))
    sidecar = await start(proxy(provider), KEYS)
    await ask(sidecar.port, post())
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.one("x-sidecar-attempts"), heard.one("x-sidecar-failover")) == (200, "1", None)
    assert (provider.opened, len(provider.requests)) == (2, 3)
    metrics = await sidecar.metrics()
    assert metrics['sidecar_upstream_attempts_total{outcome="answered",provider="openai/first"}'] == 2
    assert not [name for name in metrics if name.startswith("sidecar_failovers_total")]


@pytest.mark.parametrize("closing", [is_cut, is_reset])
async def test_a_new_connection_that_is_closed_is_one_failed_attempt(start, provider, ask, closing):
    provider.story = in_turn(closing, answers(COMPLETION))
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post())
    assert (heard.status, heard.one("x-sidecar-attempts"), heard.one("x-sidecar-failover")) == (200, "2", "reset")
    assert len(provider.requests) == 2


async def test_a_kept_connection_that_is_reset_later_is_nothing_to_complain_about(start, provider, ask, caplog):
    began, answered, reset = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def story(call):
        await call.send(EVENTS_HEAD, chunk(b"data: 1\n\n"))
        await began.wait()
        await call.send(END)
        await answered.wait()
        await call.reset()
        reset.set()

    provider.story = in_turn(story, answers(COMPLETION))
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post())
        assert (await client.heard(began=began)).ending == "whole"
    answered.set()
    await asyncio.wait_for(reset.wait(), 5)
    await asyncio.sleep(0.02)  # so that it has come
    assert (await ask(sidecar.port, post())).status == 200
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_bytes_after_the_end_of_an_answer_do_not_begin_the_next_one(start, provider, ask):
    provider.story = in_turn(sends(whole(COMPLETION), whole(b"smuggled")), answers(COMPLETION))
    sidecar = await start(proxy(provider), KEYS)
    for _ in range(3):
        heard = await ask(sidecar.port, post())
        assert (heard.status, heard.body) == (200, COMPLETION)


async def test_two_ports_of_one_host_are_two_providers(start, provider, ask):
    async with serving(answers(b"second")) as other:
        sidecar = await start(before(entry(provider), entry(other, "openai/second")), KEYS)
        assert (await ask(sidecar.port, post(json.dumps(chat(model="first")).encode()))).body == COMPLETION
        assert (await ask(sidecar.port, post(json.dumps(chat(model="second")).encode()))).body == b"second"
    assert (len(provider.requests), len(other.requests)) == (1, 1)


async def test_who_finds_no_place_with_a_provider_in_time_is_told_when_to_come_back(start, provider, ask):
    """One runs, one waits; a third has no place to wait, and the second waits no longer than its time."""
    provider.story = in_turn(then_hangs(EVENTS_HEAD, chunk(b"data: 1\n\n")), answers(COMPLETION))
    limits = {"max_connections": 1, "max_pending_requests": 1}
    sidecar = await start(before(entry(provider), circuit_breakers=limits, listener={"timeout": "500ms"}), KEYS)
    async with connected(sidecar.port) as running:
        await running.send(post(json.dumps(chat(stream=True)).encode()))
        await running.head()
        for heard in await asyncio.gather(*(ask(sidecar.port, post()) for _ in range(2))):
            assert (heard.status, heard.json["error"]["code"], heard.one("retry-after")) == (503, "overloaded", "1")
    await asyncio.wait_for(provider.gone.wait(), 10)
    assert (await ask(sidecar.port, post())).status == 200


# How a client may send


async def test_expect_100_continue_gets_its_word_before_the_body_is_sent(start, provider):
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(b"", "expect: 100-continue", framing=f"content-length: {len(ASK)}"))
        assert (await client.head())[0] == 100
        await client.send(ASK)
        assert (await client.heard()).body == COMPLETION
    assert provider.last.all("expect") == []


async def test_pipelined_requests_are_answered_in_order_even_when_the_next_is_malformed(start, provider):
    gate = asyncio.Event()

    async def waits(call):
        await gate.wait()
        await call.send(whole(b'{"n":0}'))

    provider.story = in_turn(waits, answers(b'{"n":1}'))
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post() + post())
        await provider.began.wait()
        await client.send(b"rubbish\r\n\r\n")
        gate.set()
        heard = [await client.heard() for _ in range(3)]
    assert [(one.status, one.body) for one in heard[:2]] == [(200, b'{"n":0}'), (200, b'{"n":1}')]
    assert heard[2].status == 400


async def test_a_chunked_body_is_read_whole(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    framed = b"".join(chunk(ASK[at : at + 7]) for at in range(0, len(ASK), 7)) + b"0\r\n\r\n"
    heard = await ask(sidecar.port, post(framed, framing=CHUNKED))
    assert (heard.status, provider.last.json["messages"]) == (200, chat()["messages"])
    assert provider.last.all("transfer-encoding") == []


async def test_a_body_that_turns_out_malformed_is_refused_at_once(start, provider):
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(post(chunk(ASK), framing=CHUNKED))
        await asyncio.sleep(0.02)
        await client.send(b"zz\r\n")
        heard = await client.heard()
    assert (heard.status, heard.json["error"]["code"], provider.requests) == (400, "invalid_request", [])


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_an_upload_passes_as_it_is_and_keeps_its_framing(start, provider, ask, framing):
    chunked = framing == "chunked"
    sidecar = await start(proxy(provider), KEYS)
    sent = request(
        "POST", "/v1/files?purpose=x", "content-type: multipart/form-data; boundary=b",
        body=chunk(MULTIPART) + b"0\r\n\r\n" if chunked else MULTIPART,
        framing=CHUNKED if chunked else None,
    )  # fmt: skip
    heard = await ask(sidecar.port, sent)
    assert (heard.status, heard.body) == (200, COMPLETION)
    assert (provider.last.body, provider.last.target) == (MULTIPART, "/v1/files?purpose=x")
    assert provider.last.all("content-length") == ([] if chunked else [str(len(MULTIPART))])
    assert provider.last.one("content-type") == "multipart/form-data; boundary=b"


async def test_an_upload_goes_on_as_it_comes(start, provider):
    provider.reads_body = False
    arrived = asyncio.Event()

    async def story(call):
        assert await call.read(len(chunk(b"one"))) == chunk(b"one")
        arrived.set()
        await call.body()
        await call.send(whole(b"{}"))

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(upload(chunk(b"one"), framing=CHUNKED))
        await asyncio.wait_for(arrived.wait(), 5)
        await client.send(chunk(b"two") + b"0\r\n\r\n")
        assert (await client.heard()).status == 200


async def test_a_client_that_takes_its_time_with_an_upload_is_no_silent_provider(start, provider):
    sidecar = await start(proxy(provider, timeouts={"first_byte": "200ms"}), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(upload(chunk(b"one"), framing=CHUNKED))
        await asyncio.sleep(0.3)
        await client.send(b"0\r\n\r\n")
        assert (await client.heard()).status == 200


async def test_an_upload_that_stalls_for_good_gives_its_place_back(start, provider):
    sidecar = await start(before(entry(provider), listener={"timeout": "80ms"}), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(upload(chunk(b"one"), framing=CHUNKED))
        assert (await asyncio.wait_for(client.heard(), 5)).status in {400, 408}


async def test_a_stream_that_says_nothing_after_its_head_is_given_up_like_any_first_byte(start, provider, ask):
    provider.story = then_hangs(EVENTS_HEAD)
    slow = entry(provider, timeouts={"first_byte": "150ms", "idle": "60s"})
    sidecar = await start(before(slow, listener={"sse_keepalive_seconds": 0.03}), KEYS)
    heard = await asyncio.wait_for(ask(sidecar.port, post(json.dumps(chat(stream=True)).encode())), 5)
    assert b"upstream_timeout" in heard.body


async def test_a_limit_of_one_clients_own_key_does_not_eject_the_provider_for_others(start, provider, ask):
    async with serving(answers(COMPLETION)) as other:
        provider.story = answers(b"{}", status=429, reason="Slow down")
        routes = [{"name": "code", "description": "writing code", "models": ["first", "second"]}]
        entries = entry(provider, passthrough_auth=True), entry(other, "openai/second")
        sidecar = await start(before(*entries, routing_preferences=routes), KEYS)
        body = json.dumps(chat("Write a function in Python")).encode()
        for _ in range(7):
            heard = await ask(sidecar.port, post(body, "authorization: Bearer poor"))
            assert (heard.one("x-sidecar-attempts"), heard.one("x-sidecar-failover")) == ("2", "rate_limited")


async def test_a_provider_that_comes_back_is_tried_by_one_of_many(start, provider):
    provider.story = in_turn(*[answers(b"{}", status=500)] * 2, hangs)
    async with serving(answers(COMPLETION)) as other:
        routes = [{"name": "code", "description": "writing code", "models": ["first", "second"]}]
        detection = {"consecutive_5xx": 2, "base_ejection_time": "50ms"}
        text = before(
            entry(provider), entry(other, "openai/second"), routing_preferences=routes, outlier_detection=detection
        )
        sidecar = await start(text, KEYS)
        body = chat("Write a function in Python")
        for _ in range(2):
            async with sidecar.client.post("/v1/chat/completions", json=body) as answer:
                await answer.read()
        await asyncio.sleep(0.06)

        async def once():
            async with sidecar.client.post("/v1/chat/completions", json=body) as answer:
                return answer.status

        waiting = {asyncio.ensure_future(once()) for _ in range(20)}
        async with asyncio.timeout(10):
            while len(waiting) > 1:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                assert {task.result() for task in done} == {200}
        assert len(provider.requests) == 3
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_provider_that_is_silent_after_an_upload_is_a_504(start, provider, ask):
    provider.story = hangs
    sidecar = await start(proxy(provider, timeouts={"first_byte": "60ms"}), KEYS)
    assert (await ask(sidecar.port, upload(chunk(b"one") + b"0\r\n\r\n", framing=CHUNKED))).status == 504


async def test_an_upload_that_breaks_off_reaches_the_provider_as_broken_off(start, provider):
    provider.reads_body = False
    ended = asyncio.get_running_loop().create_future()

    async def story(call):
        try:
            await call.body()
        except asyncio.IncompleteReadError:
            ended.set_result("cut")
            raise
        ended.set_result("whole")

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(upload(chunk(b"one"), framing=CHUNKED))
        await provider.began.wait()
        client.writer.close()
        assert await asyncio.wait_for(ended, 10) == "cut"


async def test_a_malformed_upload_is_the_clients_fault_and_not_the_providers(start, provider):
    provider.reads_body = False

    async def story(call):
        await call.body()

    provider.story = story
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(upload(chunk(b"one"), framing=CHUNKED))
        await provider.began.wait()
        await client.send(b"zz\r\n")
        assert (await client.heard()).status == 400
    assert 'outcome="reset"' not in str(await sidecar.metrics())


async def test_head_gets_the_head_of_what_get_gets(start, provider):
    provider.story = sends(head(200, "OK", JSON, "content-length: 4321", "x-file: 1"))
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        for _ in range(2):  # the connection is as good as new
            await client.send(request("HEAD", "/v1/files/f1"))
            heard = await client.heard("HEAD")
            assert (heard.status, heard.one("content-length"), heard.one("x-file")) == (200, "4321", "1")
    assert provider.last.method == "HEAD"


async def test_a_request_without_a_body_is_given_none(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    for method in ("GET", "DELETE"):
        sent = f"{method} /v1/files/f%2F1?a=%20 HTTP/1.1\r\nhost: x\r\n{JSON}\r\n\r\n".encode()
        assert (await ask(sidecar.port, sent)).status == 200
        assert (provider.last.method, provider.last.target) == (method, "/v1/files/f%2F1?a=%20")
        assert provider.last.one("content-length") in (None, "0" if method == "DELETE" else None)


async def test_a_body_for_another_path_reaches_the_provider_of_the_model_it_names(start, provider, ask):
    async with serving(answers(b"embedded")) as other:
        sidecar = await start(before(entry(provider), entry(other, "openai/second")), KEYS)
        body = b'{"model": "second", "input":  [1.0]}'
        heard = await ask(sidecar.port, post(body, target="/v1/embeddings"))
        assert (heard.body, heard.one("x-sidecar-model")) == (b"embedded", "openai/second")
        assert other.last.body == body
        heard = await ask(sidecar.port, post(b'{"model": "unheard-of"}', target="/v1/embeddings"))
        assert (heard.body, provider.last.body) == (COMPLETION, b'{"model": "unheard-of"}')


async def test_a_malformed_body_for_another_path_is_the_providers_to_judge(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, post(b"{oops", target="/v1/embeddings"))).status == 200
    assert provider.last.body == b"{oops"


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [("POST", "/v1/batches", 1), ("POST", "/v1/embeddings", 3), ("GET", "/v1/batches/b", 3)],
)
async def test_what_leaves_something_behind_is_not_asked_for_twice(start, provider, ask, method, path, asked):
    provider.story = answers(b"{}", status=500, reason="No")
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, request(method, path, JSON, body=b"{}" if method == "POST" else b""))
    assert (heard.status, len(provider.requests)) == (500, asked)


async def test_what_may_not_be_sent_twice_is_not_sent_again_over_a_new_connection_either(start, provider, ask):
    provider.story = in_turn(answers(b"{}"), is_cut, answers(b"{}"))
    sidecar = await start(proxy(provider), KEYS)
    await ask(sidecar.port, request("GET", "/v1/files"))
    heard = await ask(sidecar.port, post(b"{}", target="/v1/batches"))
    assert (heard.status, len(provider.requests)) == (502, 2)


async def test_a_name_that_is_not_utf8_is_the_providers_to_judge(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    body = b'{"model": "first", "\xff": 1}'
    assert (await ask(sidecar.port, post(body, target="/v1/embeddings"))).status == 200
    assert provider.last.body == body


# What is ours to answer


async def test_the_models_are_ours_in_the_form_of_whoever_asks(start, provider, ask):
    text = before(entry(provider), entry(provider, "anthropic/second"), model_aliases={"fast": {"target": "first"}})
    sidecar = await start(text, KEYS)
    names = ["openai/first", "anthropic/second", "fast", "auto"]
    openai = (await ask(sidecar.port, request("GET", "/v1/models"))).json
    assert [model["id"] for model in openai["data"]] == names
    assert (openai["object"], openai["data"][0]["object"], openai["data"][1]["owned_by"]) == (
        "list",
        "model",
        "anthropic",
    )
    anthropic = (await ask(sidecar.port, request("GET", "/v1/models", "anthropic-version: 2023-06-01"))).json
    assert [model["id"] for model in anthropic["data"]] == names
    assert (anthropic["has_more"], anthropic["data"][0]["type"]) == (False, "model")
    assert provider.requests == []


@pytest.mark.parametrize(
    ("name", "status"),
    [("openai/first", 200), ("openai%2Ffirst", 200), ("first", 200), ("auto", 200), ("nobody", 404), ("", 404)],
)
async def test_one_model_is_ours_to_know_or_not(start, provider, ask, name, status):
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, request("GET", f"/v1/models/{name}"))
    assert heard.status == status
    assert heard.json.get("error", {}).get("code") == (None if status == 200 else "model_not_found")
    assert provider.requests == []


async def test_head_of_our_models_has_no_body(start, provider):
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        for method in ("HEAD", "GET"):
            await client.send(request(method, "/v1/models"))
            assert (await client.heard(method)).status == 200


async def test_a_websocket_is_refused_at_once_and_the_plain_request_after_it_is_served(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    upgrade = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: AAAA")
    heard = await asyncio.wait_for(ask(sidecar.port, request("GET", "/v1/responses", *upgrade)), 5)
    assert heard.status == 426
    assert (await ask(sidecar.port, post(b'{"model":"first","input":"x"}', target="/v1/responses"))).status == 200
    assert len(provider.requests) == 1


async def test_a_client_that_offers_http_2_is_served_over_http_1(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    offer = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AA")
    heard = await ask(sidecar.port, post(ASK, *offer))
    assert (heard.status, heard.body) == (200, COMPLETION)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_probe_of_claude_code_is_answered(start, provider, ask, method):
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, request(method, "/api/hello"), method=method)).status == 200


async def test_options_of_a_path_below_v1_names_its_methods_and_asks_nobody(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, request("OPTIONS", "/v1/chat/completions"), method="OPTIONS")
    assert (heard.status, "POST" in heard.one("allow"), provider.requests) == (204, True, [])


async def test_a_target_in_absolute_form_is_understood(start, provider, ask):
    sidecar = await start(proxy(provider), KEYS)
    heard = await ask(sidecar.port, post(ASK, target="http://sidecar/v1/chat/completions?a=b"))
    assert (heard.status, provider.last.target) == (200, "/v1/chat/completions?a=b")


@pytest.mark.parametrize("path", ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/files/..%2f..%2fadmin"])
async def test_no_path_climbs_out_of_the_providers_own(start, provider, ask, path):
    sidecar = await start(proxy(provider), KEYS)
    assert (await ask(sidecar.port, request("GET", path))).status in (400, 404)
    assert provider.requests == []

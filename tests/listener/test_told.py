"""What telemetry is told of a request: where its time went, what it weighed, who was asked."""

import asyncio
import json
import time
from functools import partial

import aiohttp
from provider import (
    CHAT_EVENTS,
    COMPLETION,
    END,
    EVENTS_HEAD,
    KEYS,
    MESSAGES_EVENTS,
    answers,
    before,
    chunk,
    entry,
    hangs,
    head,
    in_turn,
    sends,
    whole,
)
from rawclient import connected, request
from running import chat

from sidecar.errors import Draining
from sidecar.listener.body import Bodies
from sidecar.listener.door import Door
from sidecar.listener.ended import Ended
from sidecar.listener.http import HttpServer
from sidecar.telemetry.pseudonym import Pseudonyms
from sidecar.telemetry.telling import Telling
from sidecar.telemetry.trace import Traces

ENDPOINT = "/v1/chat/completions"
ASK = json.dumps(chat()).encode()
CODE = {
    "name": "code_generation",
    "description": "generating new code, writing functions, or creating boilerplate",
}
LISTENER = {"type": "model", "name": "llm", "port": 12000}


def proxy(provider, model="openai/first", **more):
    return before(entry(provider, model), **more)


async def test_a_providers_slowness_is_not_counted_as_ours(start, provider):
    async def slow(call):
        await asyncio.sleep(0.3)
        await call.send(EVENTS_HEAD + chunk(CHAT_EVENTS[0]))
        await asyncio.sleep(0.3)
        await call.send(b"".join(chunk(event) for event in CHAT_EVENTS[1:]) + END)

    provider.story = slow
    sidecar = await start(proxy(provider), KEYS)
    async with sidecar.client.post(ENDPOINT, json=chat(stream=True)) as answer:
        await answer.read()
    took = await sidecar.total("sidecar_http_request_duration_seconds_sum")
    added = await sidecar.total("sidecar_added_latency_seconds_sum")
    assert took > 0.55
    assert added < took - 0.5
    assert await sidecar.total("sidecar_upstream_first_byte_seconds_sum") > 0.25
    assert await sidecar.total("sidecar_upstream_duration_seconds_sum") > 0.55


async def test_a_clients_slowness_to_ask_is_not_counted_as_ours(start, provider):
    provider.story = answers(COMPLETION)
    sidecar = await start(proxy(provider), KEYS)
    sent = request("POST", ENDPOINT, "content-type: application/json", "connection: close", body=ASK)
    async with connected(sidecar.port) as client:
        await client.send(sent[:-10])
        await asyncio.sleep(0.4)
        await client.send(sent[-10:])
        await client.heard("POST")
    took = await sidecar.total("sidecar_http_request_duration_seconds_sum")
    assert await sidecar.total("sidecar_added_latency_seconds_sum") < took - 0.3


async def test_bytes_are_counted_both_ways(start, provider):
    provider.story = answers(COMPLETION)
    sidecar = await start(proxy(provider), KEYS)
    async with sidecar.client.post(ENDPOINT, data=ASK, headers={"content-type": "application/json"}) as answer:
        body = await answer.read()
    metrics = await sidecar.metrics()
    assert metrics[f'sidecar_http_request_bytes_total{{endpoint="{ENDPOINT}"}}'] == len(ASK)
    assert metrics[f'sidecar_http_response_bytes_total{{endpoint="{ENDPOINT}"}}'] == len(body)


async def test_a_request_is_in_flight_until_it_is_over(start, provider):
    arrived, go = asyncio.Event(), asyncio.Event()

    async def waits(call):
        arrived.set()
        await go.wait()
        await call.send(whole(b"{}"))

    provider.story = waits
    sidecar = await start(proxy(provider), KEYS)
    asked = asyncio.ensure_future(sidecar.client.post(ENDPOINT, json=chat()))
    await arrived.wait()
    during = await sidecar.metrics()
    go.set()
    await (await asked).read()
    name = f'sidecar_http_requests_in_flight{{endpoint="{ENDPOINT}"}}'
    active = 'sidecar_upstream_requests_active{provider="openai/first"}'
    assert (during[name], during[active]) == (1, 1)
    await sidecar.shows(name, 0)
    await sidecar.shows(active, 0)
    assert during['sidecar_upstream_connections{state="active"}'] == 1


async def test_a_client_that_does_not_wait_leaves_an_abandoned_attempt(start, provider):
    arrived = asyncio.Event()

    async def silent(call):
        arrived.set()
        await call.gone.wait()

    provider.story = silent
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(request("POST", ENDPOINT, "content-type: application/json", body=ASK))
        await arrived.wait()
    name = 'sidecar_upstream_attempts_total{outcome="abandoned",provider="openai/first"}'
    metrics = await sidecar.shows(name, 1)
    assert metrics['sidecar_errors_total{code="client_gone"}'] == 1


async def test_every_attempt_of_a_request_is_told(start, provider):
    async def fails(call):
        if call.request.json["model"] == "first":
            await call.send(whole(b"{}", status=500))
        else:
            await answers(COMPLETION)(call)

    provider.story = fails
    both = before(
        entry(provider),
        entry(provider, "openai/second"),
        routing_preferences=[{**CODE, "models": ["openai/first", "openai/second"]}],
    )
    sidecar = await start(both, KEYS)
    async with sidecar.client.post(ENDPOINT, json=chat(), headers={"x-session-id": "s"}) as answer:
        assert (answer.status, answer.headers["x-sidecar-attempts"]) == (200, "2")
    metrics = await sidecar.metrics()
    assert metrics['sidecar_upstream_attempts_total{outcome="server_error",provider="openai/first"}'] == 1
    assert metrics['sidecar_upstream_duration_seconds_count{provider="openai/second"}'] == 1
    assert metrics['sidecar_failovers_total{pin="kept",reason="server_error"}'] == 1


async def test_what_a_broken_off_stream_had_cost_so_far_is_told(start, provider):
    begun = asyncio.Event()

    async def stays(call):
        await call.send(EVENTS_HEAD + chunk(MESSAGES_EVENTS[0]))
        begun.set()
        await call.gone.wait()

    provider.story = stays
    sidecar = await start(proxy(provider, "anthropic/first"), KEYS)
    asked = {"model": "first", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "x"}]}
    async with connected(sidecar.port) as client:
        await client.send(
            request("POST", "/v1/messages", "content-type: application/json", body=json.dumps(asked).encode())
        )
        await begun.wait()
        await client.head()
        await client.chunk()
    labels = 'model="anthropic/first",pinned="false"'
    await sidecar.shows('sidecar_errors_total{code="client_gone"}', 1)
    assert f"sidecar_prompt_tokens_total{{{labels}}}" in await sidecar.metrics()


async def test_a_whole_answer_that_comes_slowly_is_not_counted_as_ours(start, provider):
    async def slow(call):
        await call.send(head(200, "OK", "content-type: application/json", "transfer-encoding: chunked") + chunk(b" "))
        await asyncio.sleep(0.4)
        await call.send(chunk(COMPLETION) + END)

    provider.story = slow
    sidecar = await start(proxy(provider), KEYS)
    asked = {"model": "first", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    async with sidecar.client.post("/v1/messages", json=asked) as answer:
        await answer.read()
    took = await sidecar.total("sidecar_http_request_duration_seconds_sum")
    assert await sidecar.total("sidecar_added_latency_seconds_sum") < took - 0.35


async def test_a_first_byte_that_comes_after_keepalives_is_as_late_as_it_was(start, provider):
    async def thinks(call):
        await call.send(EVENTS_HEAD)
        await asyncio.sleep(2.2)  # a second until the head goes on, and one more until something is to be said
        await call.send(b"".join(map(chunk, CHAT_EVENTS)) + END)

    provider.story = thinks
    sidecar = await start(proxy(provider, listeners=[{**LISTENER, "sse_keepalive_seconds": 1}]), KEYS)
    async with sidecar.client.post(ENDPOINT, json=chat(stream=True)) as answer:
        body = await answer.read()
    metrics = await sidecar.metrics()
    assert metrics['sidecar_upstream_first_byte_seconds_sum{provider="openai/first"}'] > 2.1
    assert metrics['sidecar_upstream_first_byte_seconds_count{provider="openai/first"}'] == 1
    assert body.startswith(b": keep-alive")
    assert metrics[f'sidecar_http_response_bytes_total{{endpoint="{ENDPOINT}"}}'] == len(body)


async def test_what_a_client_got_before_it_went_is_counted(start, provider):
    begun = asyncio.Event()

    async def stays(call):
        await call.send(EVENTS_HEAD + chunk(CHAT_EVENTS[0]))
        begun.set()
        await call.gone.wait()

    provider.story = stays
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        ask = json.dumps(chat(stream=True)).encode()
        await client.send(request("POST", ENDPOINT, "content-type: application/json", body=ask))
        await begun.wait()
        await client.head()
        await client.chunk()
    await sidecar.shows(f'sidecar_http_response_bytes_total{{endpoint="{ENDPOINT}"}}', len(CHAT_EVENTS[0]))


async def test_a_client_that_goes_is_a_499_whatever_was_under_way(start, provider):
    async def floods(call):
        await call.send(EVENTS_HEAD)
        while not call.gone.is_set():
            await call.send(chunk(CHAT_EVENTS[0]) * 100)

    provider.story = floods
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        ask = json.dumps(chat(stream=True)).encode()
        await client.send(request("POST", ENDPOINT, "content-type: application/json", body=ask))
        await client.head()
    metrics = await sidecar.shows('sidecar_errors_total{code="client_gone"}', 1)
    assert metrics[f'sidecar_http_requests_total{{endpoint="{ENDPOINT}",status="4xx"}}'] == 1


async def test_a_client_that_stops_reading_and_then_goes_is_not_counted_as_ours(start, provider):
    sent = 0

    async def floods(call):
        nonlocal sent
        await call.send(EVENTS_HEAD)
        while not call.gone.is_set():
            await call.send(chunk(CHAT_EVENTS[0]) * 100)
            sent += 1

    provider.story = floods
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        ask = json.dumps(chat(stream=True)).encode()
        began = time.monotonic()
        await client.send(request("POST", ENDPOINT, "content-type: application/json", body=ask))
        await client.head()
        looks = [-1]
        while looks[-1] != sent or len(looks) < 3 or looks[-3] != sent:  # until nobody on the way takes any more
            looks.append(sent)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.8 + time.monotonic() - began)  # however long it took: most of the time is the client's
    await sidecar.shows('sidecar_errors_total{code="client_gone"}', 1)
    took = await sidecar.total("sidecar_http_request_duration_seconds_sum")
    assert await sidecar.total("sidecar_added_latency_seconds_sum") < took / 2


async def test_an_answer_to_head_has_no_bytes(start, provider):
    sidecar = await start(proxy(provider), KEYS)
    async with sidecar.client.head("/healthz") as answer:
        assert answer.status == 200
    assert await sidecar.total("sidecar_http_response_bytes_total") == 0


async def test_a_wait_that_a_client_does_not_sit_out_is_not_counted_as_ours(start, provider):
    asked = asyncio.Event()

    async def busy(call):
        await call.send(whole(b"{}", "retry-after: 3", status=503))
        asked.set()

    provider.story = busy
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        await client.send(request("POST", ENDPOINT, "content-type: application/json", body=ASK))
        await asked.wait()
        await asyncio.sleep(0.4)
    await sidecar.shows('sidecar_errors_total{code="client_gone"}', 1)
    took = await sidecar.total("sidecar_http_request_duration_seconds_sum")
    assert await sidecar.total("sidecar_added_latency_seconds_sum") < took - 0.3


async def test_embeddings_that_a_client_does_not_wait_for_are_an_operation_too(start, provider):
    provider.story = hangs
    sidecar = await start(proxy(provider), KEYS)
    async with connected(sidecar.port) as client:
        ask = json.dumps({"model": "first", "input": "x"}).encode()
        await client.send(request("POST", "/v1/embeddings", "content-type: application/json", body=ask))
        await provider.began.wait()
    labels = 'error_type="client_gone",gen_ai_operation_name="embeddings"'
    labels += ',gen_ai_provider_name="openai",gen_ai_request_model="openai/first"'
    await sidecar.shows(f"gen_ai_client_operation_duration_seconds_count{{{labels}}}", 1)


async def test_a_second_try_of_the_sessions_own_model_is_no_failover_of_its_pin(start, provider):
    provider.story = in_turn(sends(whole(b"{}", status=503)), answers(COMPLETION))
    sidecar = await start(proxy(provider), KEYS)
    async with sidecar.client.post(ENDPOINT, json=chat(), headers={"x-session-id": "s"}) as answer:
        assert (answer.status, answer.headers["x-sidecar-attempts"]) == (200, "2")
    async with sidecar.client.get(f"{sidecar.admin}/pins/s") as answer:
        assert (await answer.json())["last_failover"] is None


async def test_a_pin_says_that_its_model_was_ejected_even_when_nobody_asked_it_for_this_session(start, provider):
    async def ails(call):
        await (
            answers(COMPLETION) if call.request.json["model"] == "second" or well else sends(whole(b"{}", status=503))
        )(call)

    async def ask(session):
        async with sidecar.client.post(ENDPOINT, json=chat(), headers={"x-session-id": session}) as answer:
            return answer.headers["x-sidecar-model"], answer.headers["x-sidecar-pin"].partition(";")[0]

    provider.story = ails
    both = before(
        entry(provider),
        entry(provider, "openai/second"),
        routing_preferences=[{**CODE, "models": ["openai/first", "openai/second"]}],
        outlier_detection={"consecutive_gateway_failure": 1},
    )
    sidecar, well = await start(both, KEYS), True
    assert await ask("s") == ("openai/first", "miss")
    well = False
    assert await ask("another") == ("openai/second", "moved")
    assert await ask("s") == ("openai/second", "moved")
    async with sidecar.client.get(f"{sidecar.admin}/pins/s") as answer:
        story = (await answer.json())["last_failover"]
    assert (story["reason"], story["answered_by"]) == ("provider_ejected", "openai/second")


def a_door(tells, forwarder=None):
    return Door(
        bodies=Bodies(1000, 1.0),
        decider=None,
        proxy=None,
        forwarder=forwarder,
        tells=tells,
        traces=Traces(),
        cors_origins=(),
        clock=time.monotonic,
        wall=time.time,
    )


async def test_a_teller_that_breaks_costs_nobody_an_answer(caplog):
    told = []

    def breaks(_record):
        raise RuntimeError

    telling = Telling(partial(Ended.record, pseudonyms=Pseudonyms()), [breaks, told.append], Ended.count, [])
    server = await asyncio.get_running_loop().create_server(HttpServer(a_door(telling.told)), "127.0.0.1", 0)
    async with (
        server,
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/healthz") as answer,
    ):
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    telling.catch_up()
    assert "in telemetry" in caplog.text
    assert [record.endpoint for record in told] == ["/healthz"], "the others are told all the same"


class LetsGoSlowly:
    """A forwarder whose answer is out before it has let go of what it holds, which never is."""

    def __init__(self):
        self.letting_go = asyncio.Event()

    async def forward(self, _request, outlet, _way):
        outlet.begin(200, None, [("content-length", "9")], b"all of it")
        outlet.end()
        await asyncio.sleep(0)  # so that the public path has written it
        self.letting_go.set()
        await asyncio.Event().wait()


async def test_who_is_broken_off_with_the_answer_out_is_not_answered_twice(fast_path):
    told, forwarder = [], LetsGoSlowly()
    http = HttpServer(a_door(told.append, forwarder=forwarder), fast=fast_path)
    server = await asyncio.get_running_loop().create_server(http, "127.0.0.1", 0)
    async with server, connected(server.sockets[0].getsockname()[1]) as client:
        await client.send(request("POST", "/v1/files", body=b"x"))
        async with asyncio.timeout(5):
            await forwarder.letting_go.wait()
        assert http.cut(Draining("It ends.")) == 1
        assert (await client.heard()).body == b"all of it"
        await http.shutdown(1)
        assert await client.reader.read() == b""
    assert [(record.status, record.code) for record in told] == [(200, "draining")]
    assert (http.under_way(), http.bounds.requests) == (0, 0)
